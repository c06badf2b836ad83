import subprocess
from pathlib import Path

import pytest

from tritonsmith.generator.errors import RepositoryError, UsageError
from tritonsmith.perf.gate.contenders import contender


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A model repository in a git repository: max_batch_size is 8 in the first commit, 16 since."""
    folder = tmp_path / "work" / "models"
    (folder / "digits" / "1").mkdir(parents=True)
    for size in (8, 16):
        (folder / "digits" / "config.pbtxt").write_text(f"max_batch_size: {size}\n")
        for words in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", str(size)]):
            identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
            subprocess.run(["git", *identity, *words], cwd=tmp_path / "work", check=True)
    return folder


def config(folder: Path) -> str:
    return (folder / "digits" / "config.pbtxt").read_text()


def test_a_folder_is_itself(repository: Path) -> None:
    with contender(str(repository), Path("elsewhere")) as folder:
        assert folder == repository


def test_a_revision_is_the_repository_as_it_was_then(repository: Path) -> None:
    (repository / "digits" / "config.pbtxt").write_text("max_batch_size: 32\n")
    for revision, size in (("HEAD~1", 8), ("HEAD", 16)):
        with contender(revision, repository) as folder:
            assert config(folder) == f"max_batch_size: {size}\n"
        assert not folder.exists()
    assert config(repository) == "max_batch_size: 32\n"


def test_a_repository_that_is_gone_since_is_found_at_its_revision(repository: Path) -> None:
    moved = repository.rename(repository.with_name("moved"))
    with contender("HEAD", moved.with_name("models")) as folder:
        assert config(folder) == "max_batch_size: 16\n"


def test_a_revision_without_the_repository_is_refused(repository: Path) -> None:
    with (
        pytest.raises(RepositoryError, match="'HEAD' has no folder others"),
        contender("HEAD", repository.parent / "others"),
    ):
        pass


@pytest.mark.parametrize("name", ["nowhere", "--help", "HEAD~7"])
def test_what_is_neither_folder_nor_revision_is_refused(name: str, repository: Path) -> None:
    with pytest.raises(UsageError, match="neither a folder nor a revision"), contender(name, repository):
        pass


def test_without_git_a_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="this is no git repository"), contender("main", tmp_path / "models"):
        pass
