"""Where a side comes from: a repository in a folder, or as it was at a git revision."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from tritonsmith.generator.errors import RepositoryError, UsageError
from tritonsmith.generator.process import Completed, run

GIT_LIMIT_S = 300.0


@contextmanager
def contender(name: str, repository: Path) -> Iterator[Path]:
    """Yield the folder of a repository, or that of `repository` as it was at the git revision of this name.

    Raises: UsageError where it is neither; RepositoryError where the revision has no such folder.
    """
    if Path(name).is_dir():
        yield Path(name)
        return
    with TemporaryDirectory(prefix="tritonsmith-gate-") as folder:
        yield checked_out(name, repository, Path(folder))


def checked_out(revision: str, repository: Path, folder: Path) -> Path:
    """Write a repository as it was at a git revision into a folder and return where it is.

    Raises: UsageError where there is no such revision; RepositoryError where it has no such folder.
    """
    here = next((one for one in (repository.absolute(), *repository.absolute().parents) if one.is_dir()), Path.cwd())
    top = _git(here, "rev-parse", "--show-toplevel")
    commit = _git(here, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
    if top.returncode or commit.returncode:
        why = "git knows no such revision" if not top.returncode else "this is no git repository"
        hint = "name a folder, or a revision such as main or HEAD~1"
        raise UsageError(f"'{revision}' is neither a folder nor a revision: {why}", hint=hint)
    place = repository.resolve().relative_to(Path(top.stdout.strip()).resolve()).as_posix()
    archive = folder / "archive.tar"
    tree = commit.stdout.strip() + ("" if place == "." else f":{place}")
    # git archive takes the folder that it runs in for a part of the tree
    if _git(Path(top.stdout.strip()), "archive", "--format=tar", f"--output={archive}", tree).returncode:
        hint = "--repository names it where it is not model_repository; it must be committed"
        raise RepositoryError(f"the revision '{revision}' has no folder {place}", hint=hint)
    target = folder / "repository"
    with tarfile.open(archive) as packed:
        packed.extractall(target, filter="data")
    archive.unlink()
    return target


def _git(folder: Path, *words: str) -> Completed:
    return run(["git", "-C", str(folder), *words], timeout_s=GIT_LIMIT_S, is_shown=False)
