"""The objects of a pushed repository: listed, written so that none is ever half there, barred while it is unfinished.

A bar is a config.pbtxt that Triton cannot parse: as long as it stands in a model's place, no server loads the model.
"""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any, BinaryIO

from tritonsmith.backends.deploy.store.fetch import BLOCK_BYTES, Address, Stored, for_all
from tritonsmith.generator.errors import RepositoryError
from tritonsmith.generator.files import open_regular
from tritonsmith.generator.repository.names import CONFIG_FILE

PLACEHOLDER = ".gitkeep"  # in a folder without files, which stores drop and Triton asks for
# Triton's log then says: Message type "inference.ModelConfig" has no field named "tritonsmith_has_not_...".
UNFINISHED = b"tritonsmith_has_not_finished_to_push_this_model: true\n"
REMOVED = b"tritonsmith_has_removed_this_model: true\n"
_MOST_PARTS = 9000  # S3 takes 10,000
_CONFIGS = "configs"  # --model-config-name picks one of them in place of config.pbtxt


@dataclass(frozen=True)
class Found:
    """An object as a store lists it; `modified_s` is the store's clock, in seconds since 1970."""

    size: int
    etag: str
    modified_s: float


def list_objects(store: Any, place: Address) -> dict[str, Found]:
    """Return all objects below a place by their path relative to it; none where there is nothing.

    Raises: FileNotFoundError where there is no bucket; `faults`.
    """
    start = f"{place.path}/"
    listed = store.find(place.path, detail=True).items()
    return {
        path[len(start) :]: _found(entry)
        for path, entry in listed
        if path.startswith(start) and entry["type"] == "file" and not path.endswith("/")
    }


def is_bar(path: str) -> bool:
    """Whether a server would read a model's configuration from this path: bars go there."""
    _, _, inner = path.partition("/")
    return inner == CONFIG_FILE or (inner.startswith(f"{_CONFIGS}/") and inner.endswith(".pbtxt"))


def bars_of(paths: Iterable[str]) -> list[str]:
    """Return where bars go to keep every model of these paths from being loaded, by configuration or without."""
    inside = [path for path in paths if "/" in path]
    models = {path.partition("/")[0] for path in inside}
    return sorted({f"{model}/{CONFIG_FILE}" for model in models} | {path for path in inside if is_bar(path)})


def bar(store: Any, place: Address, paths: Collection[str], text: bytes, *, is_new: bool) -> None:
    """Write bars; with `is_new` only where nothing is: another push of the same digest may have come first."""
    for_all(lambda path, _: _put(store, f"{place.path}/{path}", text, is_new=is_new), paths)


def upload(store: Any, source: Path, target: str, stored: Stored, ended: Event) -> None:
    """Write a file to an object, which is there only once all of its content was read and is what was planned.

    `ended` is set where nobody waits for it any more.

    Raises: RepositoryError where the file has changed since; OSError; `faults`.
    """
    try:
        file = open_regular(source)
    except OSError as problem:
        raise RepositoryError(f"cannot read {source}: {problem.strerror}") from None
    with file:
        if stored.size > BLOCK_BYTES:
            _stream(store, file, target, stored, ended)
            return
        data = file.read(stored.size + 1)
    _require_same(hashlib.sha256(data).hexdigest(), target, stored)
    store.pipe_file(target, data)


def _stream(store: Any, file: BinaryIO, target: str, stored: Stored, ended: Event) -> None:
    digest = hashlib.sha256()
    writer = store.open(target, "wb", block_size=max(BLOCK_BYTES, stored.size // _MOST_PARTS))
    try:
        while block := file.read(BLOCK_BYTES):
            if ended.is_set():
                raise InterruptedError(f"{target} was not pushed to its end")
            digest.update(block)
            writer.write(block)
        _require_same(digest.hexdigest(), target, stored)
        writer.close()  # the object is there from here on
    except BaseException:
        writer.closed = True  # or it would be closed, and its half written, when it is forgotten
        discard = getattr(writer, "discard", None)
        if discard is not None:
            discard()
        raise


def _put(store: Any, path: str, data: bytes, *, is_new: bool) -> None:
    if is_new:
        try:
            store.pipe_file(path, data, mode="create")
        except FileExistsError:
            return
        except OSError:  # a store without conditional writes
            pass
        else:
            return
    store.pipe_file(path, data)


def _require_same(sha256: str, target: str, stored: Stored) -> None:
    if sha256 != stored.sha256:
        raise RepositoryError("the file changed while it was pushed", where=target, hint="push again")


def _found(entry: dict[str, Any]) -> Found:
    """Return an object, whichever of s3fs, gcsfs and adlfs listed it."""
    modified = next(
        (entry[key] for key in ("LastModified", "updated", "last_modified", "created") if entry.get(key)), 0
    )
    if isinstance(modified, str):
        modified = datetime.datetime.fromisoformat(modified.replace("Z", "+00:00"))
    seconds = modified.timestamp() if isinstance(modified, datetime.datetime) else float(modified)
    return Found(int(entry["size"] or 0), str(entry.get("ETag") or entry.get("etag") or "").strip('"'), seconds)
