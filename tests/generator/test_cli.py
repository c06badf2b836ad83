import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import click
import pytest

from tritonsmith.generator import cli
from tritonsmith.generator.errors import ServerError, TritonsmithError

TENSOR = 'name: "x" data_type: TYPE_FP32 dims: [4]'
SCRIPT = "class TritonPythonModel:\n    def execute(self, requests):\n        return []\n"
IMPORTS_OF_HELP = """
import json, sys
from tritonsmith.generator.cli import cli
try:
    cli.main(["--help"], prog_name="tritonsmith")
except SystemExit:
    pass
files = {name: str(getattr(module, "__file__", "")) for name, module in sys.modules.items()}
foreign = {name.partition(".")[0] for name, file in files.items() if "site-packages" in file}
ours = sorted(name for name in sys.modules if name.startswith("tritonsmith."))
print(json.dumps([sorted(foreign), ours]), file=sys.stderr)
"""


def test_help_imports_click_and_almost_nothing_of_ours() -> None:
    answer = subprocess.run([sys.executable, "-c", IMPORTS_OF_HELP], capture_output=True, text=True, check=True)
    foreign, ours = json.loads(answer.stderr.strip().splitlines()[-1])
    starters = {"_distutils_hack", "_virtualenv", "sitecustomize"}  # what an environment itself imports
    assert {name for name in foreign if "tritonsmith" not in name} - starters == {"click"}
    assert ours == ["tritonsmith.generator", "tritonsmith.generator.cli", "tritonsmith.generator.errors"]
    assert all(f"  {verb} " in answer.stdout for verb in cli.VERBS)


@pytest.mark.parametrize("verb", cli.VERBS)
def test_every_verb_of_the_table_exists_and_explains_itself(verb: str) -> None:
    command = cli.cli.get_command(click.Context(cli.cli), verb)
    assert command is not None
    assert command.help
    undocumented = [p.name for p in command.params if isinstance(p, click.Option) and not p.help and not p.show_default]
    assert not undocumented


def run(*argv: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, "-m", "tritonsmith.generator", *argv]
    return subprocess.run(program, capture_output=True, text=True, cwd=cwd, check=False)


@pytest.mark.parametrize(
    ("argv", "status", "said"),
    [
        (["--help"], 0, "Usage: tritonsmith"),
        (["--version"], 0, "tritonsmith, version"),
        (["bild"], 2, "No such verb 'bild'. Did you mean 'build'?"),
        (["build", "--nope"], 2, "No such option"),
        (["build", "none.yaml"], 3, "none.yaml: cannot read the spec: No such file or directory"),
        (["init", "image_clasification"], 2, "Did you mean 'image_classification'?"),
        (["init"], 2, "the blueprints are image_classification, streaming_sequence"),
        (["init", "--from", "nowhere"], 4, "nowhere: no model repository: no such folder"),
    ],
)
def test_each_outcome_has_its_exit_status(argv: list[str], status: int, said: str, tmp_path: Path) -> None:
    answer = run(*argv, cwd=tmp_path)
    assert answer.returncode == status, answer.stderr
    assert said in answer.stdout + answer.stderr
    assert "Traceback" not in answer.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("problem", "status"),
    [
        (ServerError("no"), 6),
        (TritonsmithError("ours"), 70),
        (ValueError("unforeseen"), 70),
        (KeyboardInterrupt(), 130),
        (SystemExit(143), 143),
        (click.UsageError("no"), 2),
    ],
)
def test_an_error_ends_with_its_status(
    problem: BaseException, status: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli, "_listen_to_signals", list)

    def fail() -> None:
        raise problem

    assert cli.guarded(fail) == status
    assert ("this is a bug in tritonsmith" in capsys.readouterr().err) == isinstance(problem, ValueError)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 143)])
def test_a_signal_counts_whatever_becomes_of_what_it_raised(number: signal.Signals, status: int) -> None:
    program = f"""
import os, sys
from tritonsmith.generator.cli import guarded
def work():
    try:
        os.kill(os.getpid(), {number:d})
    except BaseException:
        raise ImportError("Error importing numpy")  # as numpy's C code does
sys.exit(guarded(work))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (status, "", "interrupted\n" if status == 130 else "")


@pytest.mark.parametrize(
    ("verb", "model", "status"),
    [
        ("build", "{python: ./p, max_batch_size: 4}", 0),  # it is built, with a finding for each model
        ("build", "{backend: python}", 3),
        ("build", "{backend: python, max_batch: 4}", 3),
        ("check", "{backend: python}", 1),
        ("check", "{backend: python, max_batch: 4}", 3),
    ],
)
def test_the_status_is_the_works_though_the_reader_has_gone(tmp_path: Path, verb: str, model: str, status: int) -> None:
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "model.py").write_text(SCRIPT)
    (tmp_path / "p" / "config.pbtxt").write_text(f'backend: "python" input {{ {TENSOR} }} output {{ {TENSOR} }}')
    lines = [f"  m{index}: {model}" for index in range(1000)]  # the findings are more than a pipe holds
    (tmp_path / "tritonsmith.yaml").write_text("\n".join(["models:", *lines]))
    program = [sys.executable, "-m", "tritonsmith.generator", verb]
    with subprocess.Popen(program, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        process.stdout.close()
    assert process.returncode == status
    if verb == "build":
        assert (tmp_path / "model_repository").exists() == (status == 0)


def test_a_result_that_the_disk_does_not_take_is_told(tmp_path: Path) -> None:
    program = [sys.executable, "-m", "tritonsmith.generator", "init", "--schema"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(program, stdout=full, stderr=subprocess.PIPE, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("error: cannot write the result: No space left on device")


def test_init_build_and_build_again(tmp_path: Path) -> None:
    assert run("init", "image_classification", cwd=tmp_path).returncode == 0
    first, second = run("build", cwd=tmp_path), run("build", "--json", cwd=tmp_path)
    assert first.stdout == "model_repository: 4 models; files: 13 added (written)\n"
    assert json.loads(second.stdout)["files"] == {"added": 0, "changed": 0, "removed": 0, "unchanged": 13, "refused": 0}
    again = run("init", "image_classification", cwd=tmp_path)
    assert (again.returncode, "exists already" in again.stderr) == (2, True)


def test_a_dry_run_and_a_diff_write_nothing(tmp_path: Path) -> None:
    run("init", "image_classification", cwd=tmp_path)
    assert "13 added (not written)" in run("build", "--dry-run", cwd=tmp_path).stdout
    assert '+backend: "onnxruntime"' in run("build", "--diff", cwd=tmp_path).stdout
    assert not (tmp_path / "model_repository").exists()


def test_a_dry_run_ends_as_the_build_would(tmp_path: Path) -> None:
    run("init", "image_classification", cwd=tmp_path)
    run("build", cwd=tmp_path)
    edited = tmp_path / "model_repository" / "classifier" / "config.pbtxt"
    edited.write_text(edited.read_text() + "# mine\n")
    (tmp_path / "tritonsmith.yaml").write_text((tmp_path / "tritonsmith.yaml").read_text().replace("64", "32"))
    for option in ("--dry-run", "--diff"):
        answer = run("build", option, cwd=tmp_path)
        assert answer.returncode == 4
        assert "classifier/config.pbtxt" in answer.stderr
    assert run("build", "--force", cwd=tmp_path).returncode == 0


def test_findings_of_a_check_are_the_answer(tmp_path: Path) -> None:
    (tmp_path / "tritonsmith.yaml").write_text("models: {m: {backend: python}}\n")
    answer = run("check", cwd=tmp_path)
    assert answer.returncode == 1
    assert "error[TS202] m: version 1 has no model.py" in answer.stdout
    assert " error" in answer.stdout.splitlines()[-1]
    assert answer.stderr == ""


def test_machines_get_the_findings_of_a_bad_spec_too(tmp_path: Path) -> None:
    (tmp_path / "tritonsmith.yaml").write_text("models: {m: {backend: python, max_batch_size: x}}\n")
    answer = run("check", "--json", cwd=tmp_path)
    assert answer.returncode == 3
    assert json.loads(answer.stdout)[0]["key"] == "models.m.max_batch_size"


def test_the_schema_is_printed_for_editors(tmp_path: Path) -> None:
    schema = json.loads(run("init", "--schema").stdout)
    assert {"models", "pipelines", "server", "profiles"} <= schema["properties"].keys()
    assert "image_classification" in schema["$defs"]


def test_a_name_that_the_terminal_cannot_show_is_no_bug(tmp_path: Path) -> None:
    (tmp_path / "tritonsmith.yaml").write_text("models: {a: {backend: identity}}")
    program = [sys.executable, "-m", "tritonsmith.generator", "build", "-o", "grün"]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(program, capture_output=True, cwd=tmp_path, env=environment, check=False)
    assert (done.returncode, done.stdout.partition(b":")[0]) == (0, rb"gr\xfcn")
