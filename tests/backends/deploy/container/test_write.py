"""`deploy --container` on the committed demo: what it writes where, and what it refuses."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tritonsmith.backends.deploy.commands import deploy
from tritonsmith.backends.deploy.container.write import shipped_backends, write_container
from tritonsmith.generator.errors import RepositoryError

DEMO = Path(__file__).parents[4] / "model_repository"


def test_the_demo_is_built_from_where_it_lies_with_what_the_image_lacks(tmp_path: Path) -> None:
    repository = shutil.copytree(DEMO, tmp_path / "models")
    made = write_container(repository, tmp_path / "out" / "container", is_dry=False, is_forced=False).written
    assert made.files == (".dockerignore", "Dockerfile", "compose.yaml", "requirements.txt", "start.sh")
    assert (made.folder / "requirements.txt").read_text() == "pillow==11.3.0\n"
    build = yaml.safe_load((made.folder / "compose.yaml").read_text())["services"]["triton"]["build"]
    assert (made.folder / build["additional_contexts"]["models"]).resolve() == repository


def test_a_second_time_changes_nothing_and_nothing_edited_is_overwritten(tmp_path: Path) -> None:
    write_container(DEMO, tmp_path, is_dry=False, is_forced=False)
    assert write_container(DEMO, tmp_path, is_dry=False, is_forced=False).written.changed == ()
    (tmp_path / "start.sh").write_text("exec something else\n")
    with pytest.raises(RepositoryError, match=r"start\.sh would be lost"):
        write_container(DEMO, tmp_path, is_dry=False, is_forced=False)


def test_a_file_to_which_the_repository_links_is_mounted_where_it_lies(tmp_path: Path) -> None:
    repository = shutil.copytree(DEMO, tmp_path / "models")
    model = repository / "classifier" / "1" / "model.onnx"
    shutil.move(model, tmp_path / "model.onnx")
    model.symlink_to(tmp_path / "model.onnx")
    made = write_container(repository, tmp_path / "out", is_dry=False, is_forced=False)
    volumes = yaml.safe_load((tmp_path / "out" / "compose.yaml").read_text())["services"]["triton"]["volumes"]
    place = str(tmp_path / "model.onnx")
    assert volumes == [{"type": "bind", "source": place, "target": place, "read_only": True}]
    (notice,) = made.container.notices
    assert notice.startswith(f"classifier/1/model.onnx is a link to {place}, which the image lacks")


def test_links_within_the_repository_are_whole_in_the_image(tmp_path: Path) -> None:
    repository = shutil.copytree(DEMO, tmp_path / "models")
    (repository / "classifier" / "1" / "again.onnx").symlink_to("model.onnx")
    assert write_container(repository, tmp_path / "out", is_dry=True, is_forced=False).container.notices == ()


def test_a_dry_run_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    deploy.main([str(DEMO), "--container", "-o", str(tmp_path), "--dry-run", "--json"], standalone_mode=False)
    said = json.loads(capsys.readouterr().out)
    assert said["base"] == "nvcr.io/nvidia/tritonserver:24.10-py3"
    assert list(tmp_path.iterdir()) == []


def test_no_secret_is_written_or_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AZURE_STORAGE_KEY"):
        monkeypatch.setenv(name, "very-secret")
    for store in ("s3://bucket/digits", "as://account/container/digits"):
        repository = with_deploy(tmp_path / store.partition(":")[0], {"repository": {"store": store}})
        out = tmp_path / f"{repository.name}-out"
        deploy.main([str(repository), "--container", "-o", str(out), "--json"], standalone_mode=False)
        written = {path.name: path.read_text() for path in out.rglob("*") if path.is_file()}
        said = capsys.readouterr()
        assert store in written["start.sh"]
        assert not [name for name, text in written.items() if "very-secret" in text]
        assert "very-secret" not in said.out + said.err


def test_what_is_written_does_not_depend_on_how_python_hashes(tmp_path: Path) -> None:
    repository = with_deploy(tmp_path / "models", {"repository": {"store": "s3://bucket/digits"}})
    model = repository / "preprocessing" / "1" / "more.py"
    model.write_text("import PIL, tokenizers, transformers, cv2, sklearn, requests\n")
    written = []
    for seed in "12":
        out = tmp_path / seed / "out"
        argv: list[Any] = [
            Path(sys.executable).with_name("tritonsmith"),
            "deploy",
            repository,
            "--container",
            "-o",
            out,
            "--json",
        ]
        done = subprocess.run(
            argv, env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True, timeout=300
        )
        files = {path.name: path.read_bytes() for path in out.rglob("*") if path.is_file()}
        written.append((json.loads(done.stdout)["notices"], files))
    assert written[0] == written[1]


def with_deploy(target: Path, settings: object) -> Path:
    """Copy the demo, as if its spec had this `deploy:`."""
    shutil.copytree(DEMO, target)
    lock = json.loads((target / "tritonsmith.lock").read_text())
    lock["settings"] = {**lock.get("settings", {}), "deploy": settings}
    (target / "tritonsmith.lock").write_text(json.dumps(lock))
    return target


def test_shipped_backends_are_as_in_a_backend_directory() -> None:
    paths = shipped_backends().keys()
    assert {"onnxruntime/model.py", "tensorrtllm/model.py", "tensorrtllm/llm/__init__.py"} <= paths
    assert not any("__pycache__" in path or path.endswith("runtime/__init__.py") for path in paths)
