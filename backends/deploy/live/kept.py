"""Which versions of a model stay in the server's folder when new ones come."""

from __future__ import annotations

from collections.abc import Collection


def staying(there: Collection[int], *, ours: Collection[int], put: Collection[int], kept: int) -> set[int]:
    """Return the versions that stay beside those that are put: others' all, ours the newest.

    `there` are the versions in the folder, `ours` those that deploys put there; `put` are those that the repository has
    now. `kept` is how many of ours there are to be, `put` among them.
    """
    mine = sorted({*there} & {*ours} - {*put})
    room = max(0, kept - len(put))
    return {*there} - {*mine[: max(0, len(mine) - room)]}
