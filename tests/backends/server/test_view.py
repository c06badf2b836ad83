from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

import pytest

from tritonsmith.backends.server.view import make_backends, make_view
from tritonsmith.backends.toolchain.find import find_toolchain
from tritonsmith.generator.errors import RepositoryError


def test_a_view_mirrors_models_with_links_and_leaves_bytecode_out(tmp_path: Path) -> None:
    repository = tmp_path / "r"
    (repository / "m" / "1" / "__pycache__").mkdir(parents=True)
    (repository / "m" / "1" / "__pycache__" / "model.cpython-27.pyc").write_text("old")
    (repository / "m" / "1" / "model.py").write_text("x = 1\n")
    (repository / "m" / "1" / "weights").write_bytes(b"w" * 100)
    (repository / "m" / "config.pbtxt").write_text("")
    (repository / "empty" / "1").mkdir(parents=True)
    (repository / ".git").mkdir()
    (repository / "tritonsmith.lock").write_text("{}")
    before = sorted(str(path) for path in repository.rglob("*"))
    assert make_view(repository, tmp_path / "view") == ["empty", "m"]
    view = tmp_path / "view"
    assert sorted(str(path.relative_to(view)) for path in view.rglob("*")) == [
        "empty",
        "empty/1",
        "m",
        "m/1",
        "m/1/__pycache__",
        f"m/1/__pycache__/model.{sys.implementation.cache_tag}.pyc",
        "m/1/model.py",
        "m/1/weights",
        "m/config.pbtxt",
    ]
    assert (view / "m" / "1" / "weights").samefile(repository / "m" / "1" / "weights")
    assert sorted(str(path) for path in repository.rglob("*")) == before


def test_bytecode_in_the_view_is_taken_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "r" / "m" / "1").mkdir(parents=True)
    (tmp_path / "r" / "m" / "1" / "model.py").write_text("x = 1\n")
    make_view(tmp_path / "r", tmp_path / "view")
    folder = tmp_path / "view" / "m" / "1"
    before = {path: path.stat().st_mtime_ns for path in [folder, *folder.rglob("*")]}
    spec = importlib.util.spec_from_file_location("model", folder / "model.py")
    assert spec
    assert spec.loader
    spec.loader.exec_module(importlib.util.module_from_spec(spec))
    assert {path: path.stat().st_mtime_ns for path in [folder, *folder.rglob("*")]} == before


def test_links_of_the_user_are_followed(tmp_path: Path) -> None:
    (tmp_path / "r" / "m" / "1").mkdir(parents=True)
    (tmp_path / "big").write_text("big")
    (tmp_path / "r" / "m" / "1" / "model.onnx").symlink_to("../../../big")
    make_view(tmp_path / "r", tmp_path / "elsewhere")
    assert (tmp_path / "elsewhere" / "m" / "1" / "model.onnx").read_text() == "big"


def test_linked_folders_are_mirrored_and_links_that_lead_nowhere_are_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder in ("r/m/1", "elsewhere"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "model.py").write_text("")
    model = tmp_path / "r" / "m"
    (model / "2").symlink_to(tmp_path / "elsewhere")
    for name in ("a", "b"):  # two circles: each way through them is another path
        (model / "1" / name).symlink_to("..")
    (model / "labels").symlink_to("nowhere")
    make_view(tmp_path / "r", tmp_path / "view")
    view = tmp_path / "view" / "m"
    assert sorted(str(path.relative_to(view)) for path in view.rglob("*") if "__pycache__" not in path.parts) == [
        "1",
        "1/model.py",
        "2",
        "2/model.py",
    ]
    assert capsys.readouterr().err.splitlines() == [
        f"{model}/labels is a link to nothing: left out",
        f"{model}/1/a is a link to a folder that holds it: left out",
        f"{model}/1/b is a link to a folder that holds it: left out",
    ]


def test_what_is_broken_is_mirrored_for_a_verdict_on_it_where_that_is_safe(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / "r" / "m"
    (model / "1").mkdir(parents=True)
    (model / "gone").symlink_to("nowhere")
    (model / "self").symlink_to("self")
    os.mkfifo(model / "pipe")
    (model / "1" / "up").symlink_to("..")
    (model / "endless").symlink_to("/dev/zero")
    make_view(tmp_path / "r", tmp_path / "view", with_faults=True)
    view = tmp_path / "view" / "m"
    assert sorted(path.name for path in view.iterdir()) == ["1", "gone", "pipe", "self"]
    assert not (view / "gone").exists()
    with pytest.raises(OSError, match="Too many levels"):
        (view / "self").stat()
    assert (view / "pipe").is_fifo()
    assert not (view / "pipe").samefile(model / "pipe")
    assert capsys.readouterr().err.splitlines() == [
        f"{model}/endless is neither a file nor a folder: left out",
        f"{model}/1/up is a link to a folder that holds it: left out",
    ]


def test_what_does_not_compile_is_left_to_the_server(tmp_path: Path) -> None:
    (tmp_path / "r" / "m" / "1").mkdir(parents=True)
    (tmp_path / "r" / "m" / "1" / "model.py").write_text("def (\n")
    assert make_view(tmp_path / "r", tmp_path / "view") == ["m"]


def test_a_folder_that_no_request_can_name_is_left_out(tmp_path: Path) -> None:
    for name in (b"m", b"m\xff"):
        (tmp_path / "r" / os.fsdecode(name) / "1").mkdir(parents=True)
    assert make_view(tmp_path / "r", tmp_path / "view") == ["m"]


@pytest.mark.parametrize("make", [lambda folder: None, lambda folder: folder.mkdir(), lambda folder: folder.touch()])
def test_a_repository_without_models_is_refused(make: object, tmp_path: Path) -> None:
    assert callable(make)
    make(tmp_path / "r")
    with pytest.raises(RepositoryError):
        make_view(tmp_path / "r", tmp_path / "view")


def test_the_backend_directory_holds_a_real_library_and_links_to_the_rest(tmp_path: Path) -> None:
    names = make_backends(find_toolchain(), tmp_path / "backends")
    assert names == ["onnxruntime", "python", "tensorrtllm"]
    python = tmp_path / "backends" / "python"
    assert not (python / "libtriton_python.so").is_symlink()
    assert os.access(python / "triton_python_backend_stub", os.X_OK)
    assert not (tmp_path / "backends" / "onnxruntime").is_symlink()
    assert (tmp_path / "backends" / "onnxruntime" / "model.py").exists()
    assert not (tmp_path / "backends" / "onnxruntime" / "__init__.py").exists()


def test_a_package_of_a_backend_is_linked_as_one_with_its_bytecode(tmp_path: Path) -> None:
    make_backends(find_toolchain(), tmp_path / "backends")
    package = tmp_path / "backends" / "tensorrtllm" / "llm"
    assert not package.is_symlink()
    for folder in (package, package / "wire", package / "cpu"):
        assert (folder / "__init__.py").is_symlink()
        assert (folder / "__pycache__" / f"__init__.{sys.implementation.cache_tag}.pyc").exists()
