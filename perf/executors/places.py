"""Cells that were measured on machines of different kinds are told, not pooled without a word."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from tritonsmith.perf.document import Cell, Place, Sweep
from tritonsmith.perf.measure.fingerprint import differences, fingerprint_of
from tritonsmith.perf.measure.machine import Environment


def environment_of(sweep: Sweep, cells: tuple[Cell, ...]) -> Environment:
    """Return the machine of a sweep: where its first cell was measured."""
    first = cells[0].place if cells else None
    return first.environment if first else sweep.environment


def differing_places(cells: Iterable[Cell]) -> tuple[str, ...]:
    """Return a line for each kind of machine that differs from the first cell's, with what differs."""
    kinds = _kinds(cells)
    return tuple(
        f"{other.host} differs from {kinds[0].host}: {'; '.join(_differences(kinds[0], other))}" for other in kinds[1:]
    )


def mixed_machines(cells: Iterable[Cell]) -> tuple[str, ...]:
    """Return what is to be said of a point whose repeats come from machines that differ; nothing where they do not."""
    cells = list(cells)
    if len(_kinds(cells)) < 2:
        return ()
    counts = Counter(cell.place.host for cell in cells if cell.place)
    where = ", ".join(f"{count} on {host}" for host, count in sorted(counts.items()))
    return (f"its repeats were measured on machines that differ ({where})",)


def _kinds(cells: Iterable[Cell]) -> list[Place]:
    """Return the first place of each kind of machine."""
    kinds = {fingerprint_of(cell.place.environment): cell.place for cell in reversed(list(cells)) if cell.place}
    return list(reversed(kinds.values()))


def _differences(first: Place, other: Place) -> Iterable[str]:
    return (
        line.replace(" there,", f" on {other.host},").replace(" here", f" on {first.host}")
        for line in differences(fingerprint_of(other.environment), fingerprint_of(first.environment))
    )
