"""Copy a pushed repository from an object store into a folder, each file checked against the push's manifest.

This file stands alone: Python and fsspec, with s3fs, gcsfs or adlfs, are all it needs, so that an init container can
run it as `python3 fetch.py s3://bucket/path/DIGEST /models`. `deploy` knows stores and manifests from here, too.

What a push leaves, names relative to its URL:
    tritonsmith.current.json                {"format": 1, "digest": DIGEST}, switched last
    DIGEST/tritonsmith.manifest.json        what the repository consists of; where it is, all else is
    DIGEST/MODEL/config.pbtxt, ...          the models, as a server loads them
    DIGEST/NAME.HASH                        files at the repository's root, where Triton does not look
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Any

FORMAT = 1
POINTER = "tritonsmith.current.json"
MANIFEST = "tritonsmith.manifest.json"
FETCHED = ".tritonsmith-fetched.json"  # the paths that were ever fetched into a folder
PART = ".part"  # ends the name, which begins with ".", of a file that is being made
LOCK = f".tritonsmith-fetch{PART}"
BYTECODE, LOST_AND_FOUND = "__pycache__", "lost+found"  # what a server and a file system put into a folder
WIDTH = 8  # requests at once
BLOCK_BYTES = 32 << 20
CONNECT_LIMIT_S, READ_LIMIT_S = 5, 60
PACKAGES = {"s3": "s3fs", "gs": "gcsfs", "as": "adlfs"}
DIGEST = re.compile(r"[0-9a-f]{64}")
_PLAIN = re.compile(r"[A-Za-z0-9_.-]+")
_ENDPOINT = re.compile(r"(https?://)?([A-Za-z0-9.-]+:[0-9]+)/(.+)")
_FAULTS = (  # what a store's implementation raises beside OSError, by the module that has it
    ("botocore.exceptions", "BotoCoreError"),
    ("botocore.exceptions", "ClientError"),
    ("aiohttp", "ClientError"),
    ("google.auth.exceptions", "GoogleAuthError"),
    ("gcsfs.retry", "HttpError"),
    ("azure.core.exceptions", "AzureError"),
)


class StoreError(Exception):
    """Raised where a store has no repository that was pushed, or not the one that was."""


@dataclass(frozen=True)
class Address:
    """A place in a store: as the user and Triton write it, and as fsspec does; both without a slash at the end."""

    url: str
    protocol: str
    path: str
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def below(self, name: str) -> Address:
        """Return the place of this name below it."""
        return Address(f"{self.url}/{name}", self.protocol, f"{self.path}/{name}", self.options)


@dataclass(frozen=True)
class Stored:
    """A file's content, and its object's entity tag, by which a store says that nobody has changed it since."""

    sha256: str
    size: int
    etag: str = ""


@dataclass(frozen=True)
class Manifest:
    """What a repository consists of: its files, and the folders in which there is none, by relative path.

    `digest` names what a server loads: the models' files and folders.
    """

    files: Mapping[str, Stored]
    folders: tuple[str, ...] = ()
    written_by: str = ""

    @property
    def digest(self) -> str:
        """Return the SHA-256 over the models' paths and contents."""
        lines = [f"{path}\0{stored.sha256}" for path, stored in sorted(self.files.items()) if "/" in path]
        return hashlib.sha256("\n".join([*lines, *sorted(self.folders)]).encode()).hexdigest()


def object_name(path: str, sha256: str) -> str:
    """Return the name of a file's object: one at the root is told by its content, since it may change within a digest.

    There lies what no server loads, such as the lock with the spec's digest.
    """
    return path if "/" in path else f"{path}.{sha256[:16]}"


def parse_address(url: str) -> Address:
    """Return the place that a URL names: Triton's own forms.

    s3://bucket/path, s3://host:port/bucket/path, s3://https://host:port/bucket/path, gs://bucket/path and
    as://account/container/path. Source: server, docs/user_guide/model_repository.md; core: filesystem/implementations.

    Raises: ValueError where it is none of them; a URL with a password in it is not repeated.
    """
    scheme, found, rest = url.partition("://")
    if "@" in rest:
        raise ValueError("a store's URL holds no credentials: they come from the environment or a profile")
    if not found or scheme not in PACKAGES:
        raise ValueError(f"'{url}' is no store's URL: s3://bucket/path, gs://bucket/path, as://account/container/path")
    rest = rest.rstrip("/")
    endpoint = _ENDPOINT.fullmatch(rest) if scheme == "s3" else None
    path = endpoint[3] if endpoint else rest
    parts = path.split("/")
    least = 3 if scheme == "as" else 2
    if len(parts) < least or not all(_PLAIN.fullmatch(part) and part not in (".", "..") for part in parts):
        raise ValueError(f"'{url}' has no bucket and path of letters, digits, '_', '.' and '-'")
    if scheme == "as":
        return Address(f"as://{path}", "abfs", "/".join(parts[1:]), _azure_options(parts[0]))
    if scheme == "gs":
        return Address(f"gs://{path}", "gs", path)
    host = (endpoint[1] or "http://") + endpoint[2] if endpoint else None
    return Address(f"s3://{rest}", "s3", path, _s3_options(host))


def open_store(address: Address) -> Any:
    """Return fsspec's file system for a place; credentials are found as the implementation finds them.

    Nothing is remembered of what was listed.

    Raises: ImportError where fsspec or the store's implementation is not installed.
    """
    import fsspec

    store = fsspec.filesystem(
        address.protocol, skip_instance_cache=True, use_listings_cache=False, **dict(address.options)
    )
    if address.protocol == "s3":
        store.retries = 2  # of requests that botocore has tried three times already
    return store


def faults() -> tuple[type[Exception], ...]:
    """Return what reaching a store may raise, by the implementations that were loaded."""
    known = [getattr(sys.modules[module], name) for module, name in _FAULTS if module in sys.modules]
    return (OSError, asyncio.TimeoutError, *known)


def render_manifest(manifest: Manifest) -> bytes:
    """Return a manifest as JSON, a line per file."""
    entries = sorted(manifest.files.items())
    files = ",\n".join(f"  {json.dumps(path)}: {json.dumps(_entry(stored))}" for path, stored in entries)
    head = {"format": FORMAT, "digest": manifest.digest, "written_by": manifest.written_by}
    lines = [f" {json.dumps(key)}: {json.dumps(value)}" for key, value in head.items()]
    folders = f' "folders": {json.dumps(list(manifest.folders))}'
    return ("{\n" + ",\n".join([*lines, folders]) + f',\n "files": {{\n{files}\n }}\n}}\n').encode()


def parse_manifest(text: bytes, where: str) -> Manifest:
    """Return a manifest; its paths stay below its folder, and its digest is theirs.

    Raises: StoreError where it is none of ours.
    """
    try:
        found = json.loads(text)
        if found["format"] > FORMAT:
            raise StoreError(f"{where} has format {found['format']}; this tritonsmith knows {FORMAT}")
        files = {
            str(path): Stored(str(entry["sha256"]), int(entry["size"]), str(entry.get("etag", "")))
            for path, entry in found["files"].items()
        }
        manifest = Manifest(files, tuple(map(str, found["folders"])), str(found.get("written_by", "")))
    except (KeyError, TypeError, AttributeError, json.JSONDecodeError):
        raise StoreError(f"{where} is no manifest of a push") from None
    strange = [path for path in (*manifest.files, *manifest.folders) if not is_portable(path)]
    if strange or manifest.digest != found["digest"]:
        raise StoreError(f"{where} is not as it was written: {strange or 'its digest is not that of its files'}")
    return manifest


def is_portable(path: str) -> bool:
    """Whether a relative path stays below its folder and every store, and Triton's reading of URLs, takes it."""
    return all(_PLAIN.fullmatch(part) and part not in (".", "..") for part in path.split("/"))


def find_repository(store: Any, address: Address) -> tuple[Address, Manifest]:
    """Return where the repository lies that a URL names, be it a push's URL or the path that was pushed to.

    Raises: StoreError where there is none, or where what is there cannot be understood; `faults`.
    """
    with contextlib.suppress(FileNotFoundError):
        return address, parse_manifest(store.cat_file(f"{address.path}/{MANIFEST}"), f"{address.url}/{MANIFEST}")
    digest = current_digest(store, address)
    if digest is None:
        raise StoreError(f"no repository was pushed to {address.url}: it has neither {MANIFEST} nor {POINTER}")
    place = address.below(digest)
    try:
        return place, parse_manifest(store.cat_file(f"{place.path}/{MANIFEST}"), f"{place.url}/{MANIFEST}")
    except FileNotFoundError:
        raise StoreError(f"{address.url}/{POINTER} names {digest}, which is not there") from None


def current_digest(store: Any, address: Address) -> str | None:
    """Return the digest that was pushed last to a path; None where none was.

    Raises: StoreError where the pointer cannot be understood; `faults`.
    """
    try:
        found = json.loads(store.cat_file(f"{address.path}/{POINTER}"))
        if DIGEST.fullmatch(found["digest"]):
            return str(found["digest"])
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        pass
    raise StoreError(f"{address.url}/{POINTER} names no digest")


def download(store: Any, source: str, target: Path, stored: Stored, ended: Event) -> None:
    """Copy an object to a file, which gets its name once its content is right; an interrupted copy is gone on with.

    `ended` is set where nobody waits for it any more.

    Raises: StoreError where the object is not what was pushed; OSError; `faults`.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    part = _part_of(target)
    was_begun = part.exists()
    while (
        _copy(store, source, part, stored.size, ended) != stored.sha256
        or part.stat().st_size != stored.size  # another one wrote into it, too, where a file system has no locks
    ):
        part.unlink()
        if not was_begun:
            raise StoreError(f"{source} is not what was pushed: another SHA-256")
        was_begun = False  # what an earlier copy left may be wrong
    part.replace(target)


def is_there(target: Path, stored: Stored) -> bool:
    """Whether a file holds a content already."""
    try:
        if not target.is_file() or target.is_symlink() or target.stat().st_size != stored.size:
            return False
        digest = hashlib.sha256()
        with target.open("rb") as file:
            for block in iter(lambda: file.read(1 << 20), b""):
                digest.update(block)
        return digest.hexdigest() == stored.sha256
    except OSError:
        return False


def fetch(url: str, folder: Path) -> str:
    """Make a folder of one's own hold the repository that a URL names, and return its digest.

    What is right already stays, what an earlier call fetched and this repository lacks goes.

    Raises: ImportError, ValueError, StoreError, OSError, `faults`.
    """
    address = parse_address(url)
    store = open_store(address)
    place, manifest = find_repository(store, address)
    with alone_in(folder):
        stale = _stale(folder, manifest)
        _record(folder, {*manifest.files, *stale})
        for path in stale:
            (folder / path).unlink(missing_ok=True)
            _part_of(folder / path).unlink(missing_ok=True)
        _remove_empty(folder, manifest.folders)
        for path in manifest.folders:
            (folder / path).mkdir(parents=True, exist_ok=True)
        missing = {path: stored for path, stored in manifest.files.items() if not is_there(folder / path, stored)}
        download_all(store, place, missing, folder)
    return manifest.digest


@contextlib.contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Make a folder, and keep other fetches out of it meanwhile; the kernel lets go of the lock, however we end.

    It is a file's, since NFS has no locks of folders; where a file system has none at all, nobody is kept out.

    Raises: StoreError where another one is at it; OSError.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / LOCK
    with path.open("a+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StoreError(f"another process is fetching into {folder}: wait until it has ended") from None
        except OSError:
            pass  # a file system without locks
        if not path.exists() or path.stat().st_ino != os.fstat(file.fileno()).st_ino:
            raise StoreError(f"another process has just fetched into {folder}: try again")
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def download_all(store: Any, place: Address, files: Mapping[str, Stored], folder: Path) -> None:
    """Copy files of a repository into a folder, several at once.

    Raises: as `download`, the first that failed; what was begun ends.
    """

    def one(path: str, ended: Event) -> None:
        stored = files[path]
        download(store, f"{place.path}/{object_name(path, stored.sha256)}", folder / path, stored, ended)

    for_all(one, files)


def for_all(
    work: Callable[[str, Event], None], paths: Iterable[str], told: Callable[[int], None] | None = None
) -> None:
    """Do something for each path, several at once; after the first failure nothing more is begun.

    The event is set then, so that what takes long can end early. `told` hears how many are done.
    """
    ended = Event()
    with ThreadPoolExecutor(WIDTH) as workers:
        running = [workers.submit(work, path, ended) for path in paths]
        try:
            for count, one in enumerate(running, start=1):
                one.result()
                if told is not None:
                    told(count)
        except BaseException:
            ended.set()
            workers.shutdown(wait=False, cancel_futures=True)
            raise


def _record(folder: Path, paths: Iterable[str]) -> None:
    stage = folder / f"{FETCHED}{PART}"
    stage.write_text(json.dumps(sorted(paths)), encoding="utf-8")
    stage.replace(folder / FETCHED)


def _recorded(folder: Path) -> set[str]:
    """Return the paths that were fetched before; none where there is no record, or one that cannot be understood."""
    try:
        found = json.loads((folder / FETCHED).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return set()
    return {path for path in found if isinstance(path, str) and is_portable(path)} if isinstance(found, list) else set()


def _stale(folder: Path, manifest: Manifest) -> list[str]:
    """Return the files of earlier fetches that the repository lacks, be they whole or begun.

    Raises: StoreError that names files of others: a server would load what lies beside the repository.
    """
    ours, there = _recorded(folder), set(_files_in(folder))
    others = sorted(there - ours - manifest.files.keys())
    if others:
        raise StoreError(
            f"{folder} holds what was not fetched into it: {', '.join(others[:5])}; fetch into a new folder"
        )
    return sorted(path for path in ours - manifest.files.keys() if path in there or _part_of(folder / path).exists())


def _remove_empty(folder: Path, kept: Collection[str]) -> None:
    """Remove bytecode, and folders that are then empty but those kept: Triton would take one called 2 for a version."""
    for root, folders, _ in os.walk(folder, topdown=False):
        for path in (Path(root) / name for name in folders):
            if path.name == BYTECODE:
                shutil.rmtree(path, ignore_errors=True)
            elif path.name != LOST_AND_FOUND and path.relative_to(folder).as_posix() not in kept:
                with contextlib.suppress(OSError):  # not empty
                    path.rmdir()


def _files_in(folder: Path) -> Iterator[str]:
    for root, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name not in (BYTECODE, LOST_AND_FOUND)]
        for name in files:
            if name != FETCHED and not (name.startswith(".") and name.endswith(PART)):
                yield (Path(root) / name).relative_to(folder).as_posix()


def _part_of(target: Path) -> Path:
    return target.with_name(f".{target.name}{PART}")


def _copy(store: Any, source: str, part: Path, size: int, ended: Event) -> str:
    """Append to a file what it lacks of an object, and return its SHA-256."""
    digest, have = hashlib.sha256(), 0
    with part.open("a+b") as file:
        file.seek(0)
        while block := file.read(1 << 20):
            digest.update(block)
            have += len(block)
        while have < size:
            if ended.is_set():
                raise InterruptedError(f"{source} was not copied to its end")
            block = store.cat_file(source, start=have, end=min(have + BLOCK_BYTES, size))
            if not block:
                break
            file.write(block)
            digest.update(block)
            have += len(block)
    return digest.hexdigest()


def _entry(stored: Stored) -> dict[str, str | int]:
    entry: dict[str, str | int] = {"sha256": stored.sha256, "size": stored.size}
    return {**entry, "etag": stored.etag} if stored.etag else entry


def _s3_options(endpoint: str | None) -> dict[str, Any]:
    limits = {"connect_timeout": CONNECT_LIMIT_S, "read_timeout": READ_LIMIT_S}
    config: dict[str, Any] = {**limits, "retries": {"total_max_attempts": 3, "mode": "standard"}}
    if endpoint is None:
        return {"config_kwargs": config}
    return {"endpoint_url": endpoint, "config_kwargs": {**config, "s3": {"addressing_style": "path"}}}


def _azure_options(account: str) -> dict[str, Any]:
    """Return adlfs' options: AZURE_STORAGE_KEY is Triton's name for what adlfs calls AZURE_STORAGE_ACCOUNT_KEY."""
    key = os.environ.get("AZURE_STORAGE_KEY")
    limits = {"connection_timeout": CONNECT_LIMIT_S, "read_timeout": READ_LIMIT_S}
    return {"account_name": account, "anon": False, **limits} | ({"account_key": key} if key else {})


def main(arguments: Iterable[str]) -> int:
    """Fetch, and return the exit status: 0; 2 wrong usage; 4 no repository; 5 no fsspec; 6 no store."""
    given = list(arguments)
    if len(given) != 2:
        sys.stderr.write("usage: python3 fetch.py URL FOLDER\n")
        return 2
    try:
        digest = fetch(given[0], Path(given[1]))
    except ImportError as problem:
        sys.stderr.write(f"error: {problem}: pip install fsspec {' or '.join(PACKAGES.values())}\n")
        return 5
    except (ValueError, StoreError) as problem:
        sys.stderr.write(f"error: {problem}\n")
        return 4
    except faults() as problem:
        sys.stderr.write(f"error: cannot reach the store: {type(problem).__name__}: {problem}\n")
        return 6
    sys.stdout.write(f"{digest}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
