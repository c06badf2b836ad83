"""A repository that travels: to hosts that share no files with this one, and compared there by hash."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from tritonsmith.backends.server.view import model_paths
from tritonsmith.generator.errors import RepositoryError, ServerError
from tritonsmith.generator.repository.hashes import HashCache
from tritonsmith.generator.repository.names import LOCK_FILE

MAX_PARCEL_BYTES = 2 << 30
Sent = TypeVar("Sent")


@dataclass(frozen=True)
class ParcelFile:
    """A file, its path relative to the repository, and its content's hash."""

    path: str
    sha256: str
    is_executable: bool


@dataclass(frozen=True)
class Parcel:
    """What a repository consists of; folders too, since an ensemble's version folder may be empty."""

    folders: tuple[str, ...]
    files: tuple[ParcelFile, ...]

    @property
    def digest(self) -> str:
        """Return what names the repository's content."""
        lines = [f"{file.path}\0{file.sha256}\0{file.is_executable}" for file in self.files]
        return hashlib.sha256("\n".join([*self.folders, *lines]).encode()).hexdigest()

    @property
    def content_digest(self) -> str:
        """Return what names its files alone: object stores keep neither empty folders nor who may run a file."""
        lines = sorted(f"{file.path}\0{file.sha256}" for file in self.files)
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def send_repository(repository: Path, send: Callable[[bytes], Sent]) -> tuple[Parcel, dict[str, Sent]]:
    """Send each content of a repository's models once; return the parcel, and by hash what `send` gave for it.

    Raises: RepositoryError where the repository is too big to travel, or cannot be read.
    """
    folders, paths = _content(repository)
    require_portable(repository, paths)
    files, sent = [], {}
    for path in paths:
        try:
            content, mode = (repository / path).read_bytes(), (repository / path).stat().st_mode
        except OSError as problem:
            raise RepositoryError(f"cannot read {repository / path}: {problem.strerror}") from None
        sha256 = hashlib.sha256(content).hexdigest()
        files.append(ParcelFile(path, sha256, bool(mode & 0o100)))
        if sha256 not in sent:
            sent[sha256] = send(content)
    return Parcel(tuple(folders), tuple(files)), sent


def parcel_of(repository: Path) -> Parcel:
    """Return what a repository consists of, whatever its size; each file is read once, a big one's hash remembered.

    Raises: RepositoryError where it cannot be read.
    """
    folders, paths = _content(repository)
    hashes, files = HashCache(), []
    for path in paths:
        try:
            state = (repository / path).stat()
            files.append(ParcelFile(path, hashes.sha256(str(repository / path), state), bool(state.st_mode & 0o100)))
        except OSError as problem:
            raise RepositoryError(f"cannot read {repository / path}: {problem.strerror}") from None
    hashes.save()
    return Parcel(tuple(folders), tuple(files))


def require_portable(repository: Path, paths: list[str]) -> None:
    """Refuse what is too big to be sent to every worker.

    Raises: RepositoryError that names the biggest file.
    """
    sizes = {path: (repository / path).stat().st_size for path in paths}
    if sum(sizes.values()) > MAX_PARCEL_BYTES:
        biggest = max(sizes, key=lambda path: sizes[path])
        raise RepositoryError(
            f"{repository} has {_gib(sum(sizes.values()))}, {_gib(sizes[biggest])} of it in {biggest}; what travels to "
            f"Ray's workers may have {_gib(MAX_PARCEL_BYTES)}",
            hint="serve it on each host and measure there: `tritonsmith sweep --url HOST:PORT`",
        )


def unpack(parcel: Parcel, contents: Mapping[str, bytes], repository: Path) -> None:
    """Write a parcel's repository into a new folder.

    Raises: ServerError where a content is not what was sent.
    """
    repository.mkdir()
    for folder in parcel.folders:
        (repository / folder).mkdir(parents=True)
    for file in parcel.files:
        content = contents[file.sha256]
        if hashlib.sha256(content).hexdigest() != file.sha256:
            raise ServerError(f"{file.path} did not arrive as it was sent", hint="measure again")
        path = repository / file.path
        path.write_bytes(content)
        path.chmod(0o755 if file.is_executable else 0o644)


def _content(repository: Path) -> tuple[list[str], list[str]]:
    """Return the paths of all models' folders and files, and of the lock, which says how they want to be served."""
    folders, files, _ = model_paths(repository)
    return folders, [*([LOCK_FILE] if (repository / LOCK_FILE).is_file() else []), *files]


def _gib(count: int) -> str:
    return f"{count / 2**30:.2g} GiB"
