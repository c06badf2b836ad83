"""The objects of a pushed repository: listed, compared, written so that none is ever half there."""

from __future__ import annotations

import base64
import datetime
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any, BinaryIO

from tritonsmith.backends.deploy.store.fetch import BLOCK_BYTES, Address, Stored
from tritonsmith.generator.errors import RepositoryError
from tritonsmith.generator.files import open_regular

PLACEHOLDER = ".gitkeep"  # in a folder without files, which stores drop and Triton asks for
_MOST_PARTS = 9000  # S3 takes 10,000
_MD5 = re.compile(r"[0-9a-f]{32}(-[0-9]+)?")


@dataclass(frozen=True)
class Found:
    """An object as a store lists it; `modified_s` is the store's clock, in seconds since 1970.

    `md5` is of its content, or of its parts' and how many there are; empty where the store does not tell.
    """

    size: int
    etag: str
    modified_s: float
    md5: str = ""


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


def has_content(found: Found, source: Path) -> bool:
    """Whether an object has a file's content, by the store's MD5 of it, or of the parts in which we upload it.

    Source: Amazon S3: Checking object integrity (the entity tag of parts); a store may know none, and then it is no.
    """
    if not found.md5:
        return False
    content, parts = hashlib.md5(usedforsecurity=False), []
    try:
        with open_regular(source) as file:
            while block := file.read(_part_bytes(found.size)):
                content.update(block)
                parts.append(hashlib.md5(block, usedforsecurity=False).digest())
    except OSError:
        return False  # which the upload explains
    of_parts = hashlib.md5(b"".join(parts), usedforsecurity=False).hexdigest()
    return found.md5 in (content.hexdigest(), f"{of_parts}-{len(parts)}")


def _part_bytes(size: int) -> int:
    return max(BLOCK_BYTES, size // _MOST_PARTS)


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
    writer = store.open(target, "wb", block_size=_part_bytes(stored.size))
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
    etag = str(entry.get("ETag") or entry.get("etag") or "").strip('"')
    # of S3 the tag is an MD5, but where it encrypts with keys of KMS, of which the tag looks the same
    md5 = base64.b64decode(entry.get("md5Hash") or "").hex() or (etag if _MD5.fullmatch(etag) else "")
    return Found(int(entry["size"] or 0), etag, seconds, md5)
