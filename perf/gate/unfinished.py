"""What a gate that was interrupted had measured: kept for the same gate, if it is begun again soon enough."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from tritonsmith.perf.files import write_by_rename
from tritonsmith.perf.gate.core import Run

UNFINISHED_NAME = "unfinished.json"
LONGEST_PAUSE_S = 900.0  # after which the machine counts as another


@dataclass(frozen=True)
class Unfinished:
    """The whole pairs of a gate that has not ended; `identity` is its setting's, `seconds` what they have taken."""

    identity: str
    started_at: str
    window_ms: int
    seconds: float
    pairs: int
    runs: tuple[Run, ...]
    written_s: float  # since the epoch


_UNFINISHED = TypeAdapter(Unfinished)


def keep(unfinished: Unfinished, folder: Path) -> None:
    """Write down what is measured so far, for the case that no more comes."""
    write_by_rename(folder / UNFINISHED_NAME, _UNFINISHED.dump_json(unfinished))


def find_unfinished(folder: Path, identity: str, now_s: float | None = None) -> Unfinished | None:
    """Return what an interrupted gate of the same setting left in the folder; None where there is none, or an old one.

    What cannot be read counts as none: it is another version's.
    """
    try:
        kept = _UNFINISHED.validate_json((folder / UNFINISHED_NAME).read_bytes())
    except (OSError, ValidationError):
        return None
    pause_s = (time.time() if now_s is None else now_s) - kept.written_s
    return kept if kept.identity == identity and 0 <= pause_s <= LONGEST_PAUSE_S else None


def forget(folder: Path) -> None:
    """Remove what was kept: the gate has ended."""
    (folder / UNFINISHED_NAME).unlink(missing_ok=True)
