"""Files at a repository's root: written, changed, removed, refused as those of models are, whichever way is taken."""

import dataclasses
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tritonsmith.generator.errors import RepositoryError
from tritonsmith.generator.repository.core import Content, Model, Repository
from tritonsmith.generator.repository.lock import read_lock
from tritonsmith.generator.repository.read import read_repository
from tritonsmith.generator.repository.write import write_repository


@pytest.fixture(autouse=True)
def cache_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture(params=["renamed", "a mount point"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A repository's root: one that can be exchanged, and one that cannot."""
    root = tmp_path / "models"
    if request.param == "renamed":
        yield root
        return
    root.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(root)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("this test mounts, which needs root")
    try:
        yield root
    finally:
        subprocess.run(["umount", "--lazy", str(root)], check=True)


def repository(script: bytes | None, name: str = "launch.sh") -> Repository:
    model = Model("m", ModelConfig(name="m", backend="python"), {"1/x": Content(b"x")})
    files = {} if script is None else {name: Content(script)}
    return Repository("r", {"m": model}, files=files)


def test_a_file_at_the_root_comes_changes_and_goes(target: Path) -> None:
    for script in (b"one", b"two", b"two", None, b"three"):
        write_repository(target, repository(script))
        assert ((target / "launch.sh").read_bytes() if script else None) == script
        assert (target / "launch.sh").exists() == (script is not None)
        assert ("launch.sh" in read_lock(target).files) == (script is not None)
        assert (target / "m" / "1" / "x").read_bytes() == b"x"
        assert sorted(path.name for path in target.iterdir() if path.name.startswith(".")) == []
    assert list(read_repository(target).models) == ["m"]


def test_an_unchanged_build_writes_nothing(target: Path) -> None:
    write_repository(target, repository(b"one"))
    before = (target / "launch.sh").stat()
    assert not write_repository(target, repository(b"one"))
    assert (target / "launch.sh").stat() == before


def test_a_user_s_own_file_is_not_overwritten(target: Path) -> None:
    write_repository(target, repository(None))
    (target / "launch.sh").write_text("mine")
    with pytest.raises(RepositoryError, match=r"launch\.sh was not written by tritonsmith"):
        write_repository(target, repository(b"ours"))
    assert (target / "launch.sh").read_text() == "mine"


def test_an_edited_file_is_not_overwritten(target: Path) -> None:
    write_repository(target, repository(b"ours"))
    (target / "launch.sh").write_text("edited")
    with pytest.raises(RepositoryError, match=r"launch\.sh was edited since"):
        write_repository(target, repository(b"new"))
    write_repository(target, repository(b"new"), is_forced=True)
    assert (target / "launch.sh").read_bytes() == b"new"


@pytest.mark.parametrize("name", ["m", "tritonsmith.lock", "a/b", "..", "a b"])
def test_a_name_that_is_taken_or_leads_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(RepositoryError, match="cannot be a file at the repository's root"):
        write_repository(tmp_path / "models", repository(b"x", name))


def test_a_model_that_was_a_file_is_told(tmp_path: Path) -> None:
    write_repository(tmp_path / "models", repository(b"x", "extra"))
    plain = repository(None)
    models = {"extra": dataclasses.replace(plain.models["m"], name="extra")}
    write_repository(tmp_path / "models", dataclasses.replace(plain, models=models))
    assert (tmp_path / "models" / "extra" / "1" / "x").exists()
