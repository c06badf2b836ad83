"""Measure here: one live server, one cell after the other."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass

from tritonsmith.perf.cells import Bench, configurations, measure_cell
from tritonsmith.perf.executors.core import CellTask, Measured


@dataclass(frozen=True)
class LocalExecutor:
    """Measures in the order of the tasks, in which a variant's cells lie together: it is loaded once for them.

    What is changed for a variant is undone at the end.
    """

    bench: Bench

    def measure(self, tasks: Sequence[CellTask], begun: Callable[[CellTask], None]) -> Generator[Measured, None, None]:
        """Yield each task's cell."""
        with configurations(self.bench) as configure:
            for task in tasks:
                configure(task.variant)
                begun(task)
                yield measured(self.bench, task)


def measured(bench: Bench, task: CellTask) -> Measured:
    """Measure one task's cell, whose variant is loaded, and say what the server changed for it."""
    cell = measure_cell(bench, task.identity, task.load, task.variant, task.repeat)
    return Measured(cell, bench.target.notices(bench.configs))
