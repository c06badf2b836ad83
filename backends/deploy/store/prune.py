"""Remove old repositories from a store, so that a server started meanwhile loads one of them whole or not at all."""

from __future__ import annotations

from typing import Any

from tritonsmith.backends.deploy.store.fetch import DIGEST, MANIFEST, Address, for_all
from tritonsmith.backends.deploy.store.objects import REMOVED, Found, bar, bars_of, list_objects

UNFINISHED_S = 24 * 3600.0  # a push without a manifest that nothing was written to for so long is broken


def prune(store: Any, address: Address, current: str, kept: int | None) -> list[str]:
    """Remove what broken pushes left and, of the whole repositories, all but the `kept` newest; return their digests.

    The current one always stays. Age is told by the store's own clock, against what was written last: the pointer.

    Raises: `faults`.
    """
    objects = list_objects(store, address)
    now_s = max(found.modified_s for found in objects.values())
    pushes: dict[str, dict[str, Found]] = {}
    for path, found in objects.items():
        digest, _, name = path.partition("/")
        if DIGEST.fullmatch(digest):
            pushes.setdefault(digest, {})[name] = found
    whole = [digest for digest, inside in pushes.items() if MANIFEST in inside and digest != current]
    whole.sort(key=lambda digest: (-pushes[digest][MANIFEST].modified_s, digest))
    gone = [] if kept is None else whole[max(kept - 1, 0) :]
    for digest, inside in pushes.items():
        if MANIFEST not in inside and digest != current:
            newest_s = max(found.modified_s for found in inside.values())
            if now_s - newest_s > UNFINISHED_S:
                gone.append(digest)
    for digest in gone:
        _remove(store, address.below(digest), pushes[digest])
    return gone


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
