"""What a repository on this machine consists of, as a push sends it."""

from __future__ import annotations

import stat
from importlib.metadata import version
from pathlib import Path

from tritonsmith.backends.deploy.store.fetch import Manifest, Stored, is_portable
from tritonsmith.backends.server.view import model_paths
from tritonsmith.generator.errors import RepositoryError
from tritonsmith.generator.repository.hashes import HashCache
from tritonsmith.generator.repository.lock import read_lock
from tritonsmith.generator.repository.names import LOCK_FILE
from tritonsmith.generator.repository.states import parent_folders


def read_contents(repository: Path) -> Manifest:
    """Return a repository's models, its lock and the lock's files at the root, by hash; links are followed.

    Raises: RepositoryError where there is no repository, or where a part of it cannot be read or cannot travel.
    """
    folders, paths, faults = model_paths(repository)
    if faults:
        listed = "\n  ".join(f"{path} is {fault}" for path, fault in faults.items())
        raise RepositoryError(f"what cannot be read cannot be pushed:\n  {listed}", where=str(repository))
    paths += [path for path in _root_files(repository) if (repository / path).is_file()]
    strange = [path for path in (*folders, *paths) if not is_portable(path)]
    if strange:
        raise RepositoryError(
            f"a store's and Triton's URLs do not take '{strange[0]}'",
            where=str(repository),
            hint="names have only letters, digits, '_', '.' and '-'",
        )
    empty = sorted({*folders} - parent_folders([*paths, *folders]))
    return Manifest(_hashed(repository, paths), tuple(empty), f"tritonsmith {version('tritonsmith')}")


def _root_files(repository: Path) -> list[str]:
    return [LOCK_FILE, *(path for path in read_lock(repository).files if "/" not in path)]


def _hashed(repository: Path, paths: list[str]) -> dict[str, Stored]:
    hashes, files = HashCache(), {}
    for path in sorted(paths):
        try:
            state = (repository / path).stat()
            if not stat.S_ISREG(state.st_mode):
                raise OSError(0, "not a file")
            files[path] = Stored(hashes.sha256(str(repository / path), state), state.st_size)
        except OSError as problem:
            raise RepositoryError(f"cannot read {repository / path}: {problem.strerror}") from None
    hashes.save()
    return files
