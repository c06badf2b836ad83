"""The verb `deploy --kubernetes`, from a built repository to a folder that kustomize takes."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from tritonsmith.backends.deploy.commands import deploy
from tritonsmith.generator.errors import RepositoryError, UsageError

MODEL = 'name: "m"\nbackend: "python"\ninstance_group [{ kind: KIND_CPU, count: 2 }]\n'


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Return a repository with a lock, as a build leaves it."""
    folder = tmp_path / "model_repository"
    (folder / "m" / "1").mkdir(parents=True)
    (folder / "m" / "config.pbtxt").write_text(MODEL)
    (folder / "m" / "1" / "model.py").write_text("class TritonPythonModel: ...\n")
    write_lock(folder, {"deploy": {"image": "registry.example/m:1", "replicas": 3}})
    return folder


def write_lock(repository: Path, settings: object) -> None:
    lock = {"format": 1, "repository": "m", "spec_sha256": "", "written_by": "", "settings": settings, "files": {}}
    (repository / "tritonsmith.lock").write_text(json.dumps(lock))


def run(*words: object) -> Result:
    result = CliRunner().invoke(deploy, [str(word) for word in words], standalone_mode=False)
    if result.exception:
        raise result.exception
    return result


def test_a_repository_s_manifests_say_what_its_spec_says(repository: Path, tmp_path: Path) -> None:
    done = run(repository, "--kubernetes", "-o", tmp_path / "out")
    assert f"kubectl apply -k {tmp_path}/out/overlays/production" in done.stdout
    (deployment,) = yaml.safe_load_all((tmp_path / "out/base/deployment.yaml").read_text())
    assert deployment["spec"]["replicas"] == 3
    assert deployment["spec"]["template"]["spec"]["containers"][0]["image"] == "registry.example/m:1"


def test_what_is_written_is_the_same_to_the_byte(repository: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        run(repository, "--kubernetes", "-o", tmp_path / name)
    one, two = (
        {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        for folder in (tmp_path / "one", tmp_path / "two")
    )
    assert one == two


def test_a_dry_run_tells_a_machine_what_a_pod_would_have(repository: Path, tmp_path: Path) -> None:
    said = json.loads(run(repository, "--kubernetes", "-o", tmp_path / "out", "--dry-run", "--json").stdout)
    assert "base/deployment.yaml" in said["changed"]
    assert said["pod"]["memory_mib"] > said["pod"]["shm_mib"] > 0
    assert not (tmp_path / "out").exists()


def test_what_no_manifest_can_mend_is_said(repository: Path, tmp_path: Path) -> None:
    source = {"store": "s3://bucket/path", "secret": "keys"}
    write_lock(repository, {"deploy": {"image": "registry.example/m:1", "replicas": 1, "repository": source}})
    told = json.loads(run(repository, "--kubernetes", "-o", tmp_path / "out", "--dry-run", "--json").stdout)["notices"]
    starts = [notice.partition(":")[0].partition(" is ")[0] for notice in told]
    assert starts == ["s3", "Secret keys in namespace triton", "one replica"]


def test_an_engine_for_other_nodes_is_said(tmp_path: Path, write_engine: Callable[..., Path]) -> None:
    folder = write_engine("llama-0.19.0-tp4", folder="model_repository/tensorrt_llm/1").parent.parent
    config = (
        'backend: "tensorrtllm" parameters { key: "gpt_model_path" value { string_value: "/models/tensorrt_llm/1" } }'
    )
    (folder / "tensorrt_llm" / "config.pbtxt").write_text(config)
    deploy = {"image": "registry.example/m:1"}
    write_lock(folder, {"triton": "25.05", "hardware": {"gpu": "L4", "count": 2}, "deploy": deploy})
    done = run(folder, "--kubernetes", "-o", tmp_path / "out")
    assert "built for nodes of 8 GPUs (mapping.gpus_per_node), and a pod has 2" in done.output
    assert (tmp_path / "out/base/leader_worker_set.yaml").exists()


def test_what_was_edited_since_is_kept(repository: Path, tmp_path: Path) -> None:
    run(repository, "--kubernetes", "-o", tmp_path / "out")
    edited = tmp_path / "out/base/service.yaml"
    edited.write_text("mine")
    with pytest.raises(RepositoryError, match=r"base/service\.yaml would be lost"):
        run(repository, "--kubernetes", "-o", tmp_path / "out")
    assert edited.read_text() == "mine"
    run(repository, "--kubernetes", "-o", tmp_path / "out", "--force")
    assert edited.read_text() != "mine"


def test_a_lock_that_is_not_understood_is_no_reason_to_guess(repository: Path, tmp_path: Path) -> None:
    write_lock(repository, {"deploy": {"replicaz": 3}})
    with pytest.raises(RepositoryError, match="settings cannot be understood"):
        run(repository, "--kubernetes", "-o", tmp_path / "out")


def test_deploy_goes_to_one_place_at_a_time(repository: Path) -> None:
    with pytest.raises(UsageError, match="one place at a time"):
        run(repository, "--kubernetes", "--container")


@pytest.mark.parametrize(
    ("words", "foreign"),
    [
        (["--kubernetes", "--keep", "2"], "--keep"),
        (["--push", "s3://bucket/path", "--force"], "--force"),
        (["--pull", "s3://bucket/path", "-o", "out"], "--output"),
        (["--container", "--grpc-url", "host:8001", "--smoke", "x.json"], "--grpc-url and --smoke"),
    ],
)
def test_an_option_of_another_place_is_not_ignored(words: list[str], foreign: str, repository: Path) -> None:
    with pytest.raises(UsageError, match=f"^{foreign}: not with {words[0]}"):
        run(repository, *words)


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
def test_kustomize_takes_every_overlay(repository: Path, tmp_path: Path) -> None:
    run(repository, "--kubernetes", "-o", tmp_path / "out")
    built = {}
    for overlay in ("staging", "production"):
        done = subprocess.run(
            ["kubectl", "kustomize", tmp_path / "out/overlays" / overlay], capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr
        built[overlay] = {(one["kind"], one["metadata"]["name"]): one for one in yaml.safe_load_all(done.stdout)}
    assert built["staging"]["Deployment", "m"]["spec"]["replicas"] == 1
    assert {one["metadata"]["namespace"] for one in built["staging"].values()} == {"triton-staging"}
    assert built["production"]["Deployment", "m"]["spec"]["replicas"] == 3
