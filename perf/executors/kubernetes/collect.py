"""Merge what pods measured into a sweep: cells by digest, machines that differ told, and what is missing named."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from pydantic import ValidationError

from tritonsmith.perf.document import Cell, Sweep, write_cell, write_sweep
from tritonsmith.perf.executors.core import CellTask, Measured, read_measured, write_measured
from tritonsmith.perf.executors.kubernetes.core import Block
from tritonsmith.perf.executors.kubernetes.shelf import Shelf
from tritonsmith.perf.executors.places import differing_places, environment_of

CELL_SUFFIX, FAILURE_SUFFIX = ".cell.json", ".failed.json"


def put_cell(shelf: Shelf, measured: Measured) -> None:
    """Write what was measured, by its digest."""
    shelf.write(f"{measured.cell.digest}{CELL_SUFFIX}", write_measured(measured))


def get_cells(shelf: Shelf, digests: Iterable[str]) -> dict[str, Measured]:
    """Return those of these cells that are there, by digest; what is damaged was not measured."""
    wanted = set(digests)
    names = [name for name in shelf.names() if _bare(name, CELL_SUFFIX) in wanted]
    found = [_measured(content) for content in shelf.read(names).values()]
    return {one.cell.digest: one for one in found if one is not None and one.cell.digest in wanted}


def put_failure(shelf: Shelf, repeat: int, host: str, reason: str) -> None:
    """Write why a repeat could not be measured, for whoever collects."""
    document = {"repeat": repeat, "host": host, "reason": reason}
    shelf.write(f"repeat-{repeat}{FAILURE_SUFFIX}", json.dumps(document, indent=1).encode() + b"\n")


def collect(sweep: Sweep, tasks: Sequence[CellTask], shelf: Shelf, folder: Path) -> Sweep:
    """Return the sweep with all of its cells that lie on the shelf, each written into `folder`, as is the sweep.

    A cell that was collected before gives way to what is on the shelf now: where a lost pod's block was measured anew
    on another node, all of it comes from there.
    """
    found = get_cells(shelf, [task.digest for task in tasks])
    kept = {cell.digest: cell for cell in sweep.cells}
    for digest, one in found.items():
        write_cell(one.cell, folder)
        kept[digest] = one.cell
    cells = tuple(sorted(kept.values(), key=lambda cell: cell.started_at))
    merged = replace(
        sweep,
        cells=cells,
        notices=_notices(sweep, found.values(), cells),
        environment=environment_of(sweep, cells),
        started_at=min([sweep.started_at, *(cell.started_at for cell in cells[:1])]),
    )
    write_sweep(merged, folder)
    return merged


def missing_lines(blocks: Iterable[Block], sweep: Sweep, shelf: Shelf) -> list[str]:
    """Return a line for every index that lacks cells, with the reason where its pod has left one."""
    have = {cell.digest for cell in sweep.cells}
    reasons = _reasons(shelf)
    lines = []
    for index, block in enumerate(blocks):
        lacking = sum(task.digest not in have for task in block.tasks)
        reason = f"; failed on {reasons[block.repeat]}" if block.repeat in reasons else ""
        lines.append(f"index {index} (repeat {block.repeat + 1}): {lacking} of {len(block.tasks)} cells{reason}")
    return lines


def _bare(name: str, suffix: str) -> str:
    """Return a document's name without the folders that a copy of a claim may have; empty where it is another kind."""
    bare = PurePosixPath(name).name
    return bare.removesuffix(suffix) if bare.endswith(suffix) else ""


def _measured(content: bytes) -> Measured | None:
    try:
        return read_measured(content)
    except ValidationError:
        return None


def _reasons(shelf: Shelf) -> dict[int, str]:
    """Return by repeat where it failed, and why."""
    reasons = {}
    for content in shelf.read(name for name in shelf.names() if _bare(name, FAILURE_SUFFIX)).values():
        with contextlib.suppress(ValueError, KeyError, TypeError):
            told = json.loads(content)
            reasons[int(told["repeat"])] = f"{told['host']}: {told['reason']}"
    return reasons


def _notices(sweep: Sweep, found: Iterable[Measured], cells: tuple[Cell, ...]) -> tuple[str, ...]:
    said = [line for one in found for line in one.notices]
    return tuple(dict.fromkeys([*sweep.notices, *said, *differing_places(cells)]))
