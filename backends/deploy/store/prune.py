"""Remove old repositories from a store, so that a server started meanwhile loads one of them whole or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tritonsmith.backends.deploy.store.bars import REMOVED, bar, bars_of
from tritonsmith.backends.deploy.store.fetch import DIGEST, MANIFEST, Address, for_all
from tritonsmith.backends.deploy.store.objects import Found, list_objects

UNFINISHED_S = 24 * 3600.0  # a push without a manifest that nothing was written to for so long is broken


def prune(store: Any, address: Address, current: str, kept: int | None, *, is_dry: bool = False) -> list[str]:
    """Remove what broken pushes left and, of the whole repositories, all but the `kept` newest; return their digests.

    The current one always stays. Age is told by the store's own clock, against what was written last: the pointer.
    With `is_dry` nothing is removed.

    Raises: `faults`.
    """
    objects = list_objects(store, address)
    now_s = max((found.modified_s for found in objects.values()), default=0)
    pushes: dict[str, dict[str, Found]] = {}
    for path, found in objects.items():
        digest, _, name = path.partition("/")
        if DIGEST.fullmatch(digest):
            pushes.setdefault(digest, {})[name] = found
    gone = _outdated(pushes, now_s, current, kept)
    for digest in () if is_dry else gone:
        _remove(store, address.below(digest), pushes[digest])
    return gone


def _outdated(pushes: Mapping[str, Mapping[str, Found]], now_s: float, current: str, kept: int | None) -> list[str]:
    others = {digest: inside for digest, inside in pushes.items() if digest != current}
    whole = [digest for digest, inside in others.items() if MANIFEST in inside]
    whole.sort(key=lambda digest: (-others[digest][MANIFEST].modified_s, digest))
    broken = [
        digest
        for digest, inside in others.items()
        if MANIFEST not in inside and now_s - max(found.modified_s for found in inside.values()) > UNFINISHED_S
    ]
    return [*([] if kept is None else whole[kept - 1 :]), *broken]


def _remove(store: Any, place: Address, inside: dict[str, Found]) -> None:
    """Remove a repository: its manifest, so that nobody trusts it; then behind bars its files; the bars last."""
    if MANIFEST in inside:
        store.rm_file(f"{place.path}/{MANIFEST}")
    bars = bars_of(inside)
    bar(store, place, bars, REMOVED, is_new=False)
    files = [name for name in inside if name not in bars and name != MANIFEST]
    for_all(lambda name, _: store.rm_file(f"{place.path}/{name}"), files)
    for name in bars:
        store.rm_file(f"{place.path}/{name}")
