"""Push a repository to an object store: a folder per content, barred until all of it is there, the pointer last.

Stores cannot rename folders, and Triton reads a repository object by object, over seconds or minutes: what lies under
one URL must therefore never change. Each content gets a URL of its own, named by its digest:
1. every model is barred (bars.py), then its files are copied from the last push, or uploaded;
2. what the store lists is compared with the plan;
3. the bars give way to the models' own configurations, the manifest is written, and the pointer switched.
Killed at any moment, a push leaves a folder whose models no server loads, or a whole one; the next push goes on.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event
from typing import Any

from tritonsmith.backends.deploy.store.bars import UNFINISHED, bar, bars_of, is_bar
from tritonsmith.backends.deploy.store.contents import read_contents
from tritonsmith.backends.deploy.store.fetch import (
    DIGEST,
    FORMAT,
    MANIFEST,
    POINTER,
    Address,
    Manifest,
    Stored,
    StoreError,
    current_digest,
    faults,
    for_all,
    object_name,
    parse_manifest,
    render_manifest,
)
from tritonsmith.backends.deploy.store.objects import PLACEHOLDER, Found, has_content, list_objects, upload
from tritonsmith.backends.deploy.store.prune import prune
from tritonsmith.backends.deploy.store.reach import address_of, reached, said
from tritonsmith.generator import console
from tritonsmith.generator.errors import RepositoryError, ServerError, UsageError


@dataclass(frozen=True)
class Push:
    """What a push does, or did: objects by name relative to `url`, which is where a server finds the repository.

    `present` are objects that were there already; `previous` is the digest that the pointer named before, `removed` are
    those of old pushes; `unpruned` says why more of them may be there than were to stay, empty where all went well.
    """

    url: str
    digest: str
    uploaded: tuple[str, ...]
    copied: tuple[str, ...]
    present: tuple[str, ...]
    uploaded_bytes: int
    previous: str | None
    removed: tuple[str, ...] = ()
    unpruned: str = ""


@dataclass(frozen=True)
class _Plan:
    """Everything that is known before the first object is written; objects by name relative to the digest's place."""

    repository: Path
    manifest: Manifest
    place: Address
    wanted: Mapping[str, Stored]
    sources: Mapping[str, Path | None]  # None: an empty object
    there: Mapping[str, Found]
    published: Manifest | None  # the digest's, where a push of it came to its end
    missing: tuple[str, ...]
    copies: Mapping[str, str]  # where in the store the content of some of these lies already

    @property
    def is_whole(self) -> bool:
        """Whether there is nothing to be done but to switch the pointer."""
        if self.published is None or self.missing or self.published.folders != self.manifest.folders:
            return False
        return self.there.keys() == {*self.wanted, MANIFEST}


def push(repository: Path, url: str, *, kept: int | None = None, is_dry: bool = False) -> Push:
    """Push a repository to a path in a store and return what was done; with `is_dry` what would be.

    Of the path's repositories the last `kept` stay, all where it is None; what broken pushes left goes after a day.

    Raises: UsageError, ToolMissingError, RepositoryError, ServerError.
    """
    address = address_of(url)
    if DIGEST.fullmatch(address.path.rpartition("/")[2]):
        raise UsageError(
            f"{url} names one push", hint="name the path above it: each push has a folder of its own there"
        )
    manifest = read_contents(repository)
    with reached(address) as store:
        _require_own_path(store, address)
        previous = current_digest(store, address)
        plan = _plan(store, address, repository, manifest, previous)
        if not is_dry:
            _apply(store, plan, previous)
            _point(store, address, manifest.digest)
        removed, unpruned = _prune(store, address, manifest.digest, kept, is_dry=is_dry)
        copied = [name for name in plan.missing if name in plan.copies]
        uploaded = [name for name in plan.missing if name not in plan.copies]
        return Push(
            plan.place.url,
            manifest.digest,
            tuple(uploaded),
            tuple(copied),
            tuple(name for name in plan.wanted if name not in {*copied, *uploaded}),
            sum(plan.wanted[name].size for name in uploaded),
            previous,
            removed,
            unpruned,
        )


def _prune(store: Any, address: Address, digest: str, kept: int | None, *, is_dry: bool) -> tuple[tuple[str, ...], str]:
    """Return the digests that were removed, and why it failed: what was pushed is there in any case."""
    try:
        return tuple(prune(store, address, digest, kept, is_dry=is_dry)), ""
    except faults() as problem:
        if is_dry:
            raise
        return (), said(problem)


def _require_own_path(store: Any, address: Address) -> None:
    """Refuse a path with anything else in it: a server that reads it would take our folders for models.

    Raises: RepositoryError.
    """
    try:
        listed = store.ls(address.path, detail=True)
    except FileNotFoundError:
        return  # an empty path; that there is no such bucket, the next request says
    names = [
        entry["name"].rstrip("/").rpartition("/")[2] for entry in listed if entry["name"].strip("/") != address.path
    ]
    others = sorted(name for name in names if name != POINTER and not DIGEST.fullmatch(name))
    if others:
        raise RepositoryError(
            f"something else lies there: {', '.join(others[:5])}",
            where=address.url,
            hint="push to a path of its own: a server that loads from this one would take the push for a model",
        )


def _plan(store: Any, address: Address, repository: Path, manifest: Manifest, previous: str | None) -> _Plan:
    place = address.below(manifest.digest)
    wanted: dict[str, Stored] = {}
    sources: dict[str, Path | None] = {}
    for path, stored in manifest.files.items():
        name = object_name(path, stored.sha256)
        wanted[name], sources[name] = stored, repository / path
    for folder in manifest.folders:
        name = f"{folder}/{PLACEHOLDER}"
        wanted[name], sources[name] = Stored("", 0), None
    there, published = list_objects(store, place), _manifest_at(store, place)
    tags = {} if published is None else {name: stored.etag for name, stored in _objects_of(published).items()}
    missing = tuple(name for name in wanted if not _is_there(name, wanted[name], sources[name], there.get(name), tags))
    copies = _copies(store, address.below(previous), wanted, missing) if missing and previous else {}
    return _Plan(repository, manifest, place, wanted, sources, there, published, missing, copies)


def _is_there(name: str, stored: Stored, source: Path | None, found: Found | None, tags: Mapping[str, str]) -> bool:
    """Whether an object is what it shall be: as published; before that, by its content, as far as the store tells it.

    What stands where a bar may stand counts only as published.
    """
    if found is None or found.size != stored.size:
        return False
    if name in tags:
        return tags[name] == found.etag
    return not is_bar(name) and (source is None or has_content(found, source))


def _manifest_at(store: Any, place: Address) -> Manifest | None:
    """Return a digest's manifest; None where it is unfinished, or its manifest cannot be understood."""
    with suppress(FileNotFoundError, StoreError):
        return parse_manifest(store.cat_file(f"{place.path}/{MANIFEST}"), place.url)
    return None


def _objects_of(manifest: Manifest) -> dict[str, Stored]:
    """Return a manifest's objects but placeholders."""
    return {object_name(path, stored.sha256): stored for path, stored in manifest.files.items()}


def _copies(store: Any, last: Address, wanted: Mapping[str, Stored], missing: tuple[str, ...]) -> dict[str, str]:
    """Return the objects whose content the last push left in the store, as long as nobody has changed it there.

    Azure's copies end some time after they were asked for: there everything is uploaded.
    """
    published = _manifest_at(store, last)
    if published is None or last.protocol not in ("s3", "gs"):
        return {}
    there = list_objects(store, last)
    known = {
        (stored.sha256, stored.size): f"{last.path}/{name}"
        for name, stored in _objects_of(published).items()
        if name in there and stored.etag and (there[name].size, there[name].etag) == (stored.size, stored.etag)
    }
    found = {name: known.get((wanted[name].sha256, wanted[name].size)) for name in missing}
    return {name: source for name, source in found.items() if source is not None}


def _apply(store: Any, plan: _Plan, previous: str | None) -> None:
    """Make the digest's place whole.

    Raises: ServerError where the store does not list what was written; RepositoryError where a file has changed.
    """
    place = plan.place
    if plan.is_whole and plan.published is not None:
        if previous != plan.manifest.digest:  # it is the newest again
            store.pipe_file(f"{place.path}/{MANIFEST}", render_manifest(plan.published))
        return
    bars = bars_of(plan.wanted)
    bar(store, place, [name for name in bars if name not in plan.there], UNFINISHED, is_new=True)
    _write_all(store, plan, [name for name in plan.missing if not is_bar(name)])
    others = plan.there.keys() - plan.wanted.keys() - {*bars, MANIFEST}
    _remove(store, place, [name for name in others if "/" in name])  # a server would load it
    _require({name: plan.wanted[name] for name in plan.wanted if name not in bars}, list_objects(store, place), place)
    _write_all(store, plan, [name for name in plan.missing if is_bar(name)])
    _remove(store, place, [name for name in bars if name not in plan.wanted])  # Triton completes a configuration
    listed = list_objects(store, place)
    _require(plan.wanted, listed, place)
    store.pipe_file(f"{place.path}/{MANIFEST}", render_manifest(_tagged(plan.manifest, listed)))
    _remove(store, place, [name for name in others if "/" not in name])


def _tagged(manifest: Manifest, listed: Mapping[str, Found]) -> Manifest:
    files = {
        path: replace(stored, etag=listed[object_name(path, stored.sha256)].etag)
        for path, stored in manifest.files.items()
    }
    return replace(manifest, files=files)


def _write_all(store: Any, plan: _Plan, names: list[str]) -> None:
    with console.progress("pushing", total=len(names)) as shown:
        for_all(lambda name, ended: _write(store, plan, name, ended), names, shown.update)


def _remove(store: Any, place: Address, names: list[str]) -> None:
    for name in sorted(names):
        store.rm_file(f"{place.path}/{name}")


def _write(store: Any, plan: _Plan, name: str, ended: Event) -> None:
    target, source = f"{plan.place.path}/{name}", plan.sources[name]
    if source is None:
        store.pipe_file(target, b"")
    elif name in plan.copies:
        store.cp_file(plan.copies[name], target)
    else:
        upload(store, source, target, plan.wanted[name], ended)


def _require(wanted: Mapping[str, Stored], listed: Mapping[str, Found], place: Address) -> None:
    wrong = [name for name, stored in wanted.items() if name not in listed or listed[name].size != stored.size]
    if wrong:
        raise ServerError(
            f"the store does not list what was written: {', '.join(sorted(wrong)[:5])}",
            where=place.url,
            hint="push again",
        )


def _point(store: Any, address: Address, digest: str) -> None:
    pointer = json.dumps({"format": FORMAT, "digest": digest}).encode() + b"\n"
    store.pipe_file(f"{address.path}/{POINTER}", pointer)
