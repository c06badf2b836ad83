"""The verb on Kubernetes manifests: recognised by what they hold, told in every form, silenced by comments."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tritonsmith.backends.checking.formats import FORMATS
from tritonsmith.backends.commands import check
from tritonsmith.generator.errors import UsageError

SERVICE = """apiVersion: v1
kind: Service
metadata:
  name: chat
spec:
  ports:
    - port: 8000
    - name: grpc
      port: 8001
"""


def run(*argv: str | Path) -> Result:
    return CliRunner().invoke(check, [str(part) for part in argv])


@pytest.fixture
def service(tmp_path: Path) -> Path:
    path = tmp_path / "service.yaml"
    path.write_text(SERVICE)
    return path


@pytest.mark.parametrize("below", ["", "service.yaml"])
def test_a_file_and_a_folder_of_manifests_are_judged(service: Path, below: str) -> None:
    result = run(service.parent / below)
    assert result.exit_code == 1
    first, quoted, caret, hint, summary = result.stdout.splitlines()
    assert first == (
        f"{service}:7:7: error[TK115] Service/chat: port 8000 has no name among 2 (the cluster refuses it)"
    )
    assert (quoted, caret) == ("    7 |     - port: 8000", "      |       ^")
    assert (hint, summary) == ("  hint: name each port", "1 error")


@pytest.mark.parametrize("below", ["", "config.yaml"])
@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("sharing:\n  mps:\n    resources:\n      - name: nvidia.com/gpu\n        replicas: 49\n", "TK313"),
        ("version: v1\nflags:\n  migStrategy: all\n", "TK310"),
        ("version: v1\nmig-configs:\n  a: []\n", "TK310"),
        ("mig-configs:\n  a:\n    - devices: all\n      mig-enabled: false\n      mig-devices: {}\n", "TK310"),
    ],
)
def test_a_lone_file_of_how_gpus_are_shared_is_judged(tmp_path: Path, text: str, code: str, below: str) -> None:
    (tmp_path / "config.yaml").write_text(text)
    result = run(tmp_path / below)
    assert (result.exit_code, result.stdout.count("error[")) == (1, 1)
    assert f"error[{code}]" in result.stdout


@pytest.mark.parametrize("form", FORMATS)
def test_every_form_tells_of_manifests(service: Path, form: str) -> None:
    result = run(service, "--format", form)
    assert result.exit_code == 1
    assert "TK115" in result.stdout


def test_a_finding_in_json_has_its_title_and_source(service: Path) -> None:
    (found,) = json.loads(run(service, "--json").stdout)
    assert (found["code"], found["phase"], found["line"], found["key"]) == ("TK115", "apply", 7, "Service/chat")
    assert found["title"] == "ports have names, each its own"
    assert found["source"].startswith("kubernetes: ")


@pytest.mark.parametrize(
    ("text", "options", "status"),
    [
        (SERVICE, ["--ignore", "TK1"], 0),
        (SERVICE, ["--select", "TK2"], 0),
        (SERVICE, ["--load-only"], 1),
        (SERVICE.replace("port: 8000", "port: 8000  # tritonsmith: ignore[TK115]"), [], 0),
        (f"# tritonsmith: ignore[TK]\n---\n{SERVICE}", [], 0),
        (SERVICE.replace("port: 8000", "port: 8000\n      name: http"), [], 0),
    ],
)
def test_findings_are_chosen_and_silenced_as_those_of_models_are(
    service: Path, text: str, options: list[str], status: int
) -> None:
    service.write_text(text)
    assert run(service, *options).exit_code == status


@pytest.mark.parametrize("options", [["--profile", "x"], ["--triton", "26.07"], ["--gpus", "1"], ["--fix"], ["--live"]])
def test_what_is_about_servers_and_repositories_is_refused(service: Path, options: list[str]) -> None:
    result = run(service, *options)
    assert isinstance(result.exception, UsageError)
    assert str(service) in result.exception.hint or "manifests" in str(result.exception)


def test_a_rule_is_explained() -> None:
    told = run("--explain", "TK220").stdout
    assert told.startswith("TK220: a pod leaves its Services before its server ends\n")
    assert "lifecycle: {preStop: {sleep: {seconds: 15}}}" in told
