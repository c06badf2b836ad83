"""`deploy --container` on the committed demo: what it writes where, and what it refuses."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml

from tritonsmith.backends.deploy.commands import deploy
from tritonsmith.backends.deploy.containers.write import shipped_backends, write_container
from tritonsmith.generator.errors import RepositoryError

DEMO = Path(__file__).parents[4] / "model_repository"


def test_the_demo_is_built_from_where_it_lies_with_what_the_image_lacks(tmp_path: Path) -> None:
    repository = shutil.copytree(DEMO, tmp_path / "models")
    written = write_container(repository, tmp_path / "out" / "container", is_dry=False, is_forced=False)
    assert written.files == (".dockerignore", "Dockerfile", "compose.yaml", "requirements.txt", "start.sh")
    assert (written.folder / "requirements.txt").read_text() == "pillow==11.3.0\n"
    build = yaml.safe_load((written.folder / "compose.yaml").read_text())["services"]["triton"]["build"]
    assert (written.folder / build["additional_contexts"]["models"]).resolve() == repository


def test_a_second_time_changes_nothing_and_nothing_edited_is_overwritten(tmp_path: Path) -> None:
    write_container(DEMO, tmp_path, is_dry=False, is_forced=False)
    assert write_container(DEMO, tmp_path, is_dry=False, is_forced=False).changed == ()
    (tmp_path / "start.sh").write_text("exec something else\n")
    with pytest.raises(RepositoryError, match=r"start\.sh would be lost"):
        write_container(DEMO, tmp_path, is_dry=False, is_forced=False)


def test_a_file_to_which_the_repository_links_is_mounted_where_it_lies(tmp_path: Path) -> None:
    repository = shutil.copytree(DEMO, tmp_path / "models")
    model = repository / "classifier" / "1" / "model.onnx"
    shutil.move(model, tmp_path / "model.onnx")
    model.symlink_to(tmp_path / "model.onnx")
    written = write_container(repository, tmp_path / "out", is_dry=False, is_forced=False)
    volumes = yaml.safe_load((written.folder / "compose.yaml").read_text())["services"]["triton"]["volumes"]
    place = str(tmp_path / "model.onnx")
    assert volumes == [{"type": "bind", "source": place, "target": place, "read_only": True}]


def test_a_dry_run_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    deploy.main([str(DEMO), "--container", "-o", str(tmp_path), "--dry-run", "--json"], standalone_mode=False)
    said = json.loads(capsys.readouterr().out)
    assert said["base"] == "nvcr.io/nvidia/tritonserver:24.10-py3"
    assert list(tmp_path.iterdir()) == []


def test_shipped_backends_are_as_in_a_backend_directory() -> None:
    paths = shipped_backends().keys()
    assert {"onnxruntime/model.py", "tensorrtllm/model.py", "tensorrtllm/llm/__init__.py"} <= paths
    assert not any("__pycache__" in path or path.endswith("runtime/__init__.py") for path in paths)
