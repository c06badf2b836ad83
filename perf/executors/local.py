"""Measure here: one live server, one cell after the other."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from tritonsmith.perf.document import Cell, Scalar
from tritonsmith.perf.executors.core import CellTask, Measured

Configure = Callable[[Mapping[str, Scalar]], None]


@dataclass(frozen=True)
class LocalExecutor:
    """Measures in the order of the tasks, in which a variant's cells lie together: it is loaded once for them.

    `configurations` gives a function that brings a variant onto the server and undoes at its end what that changed.
    """

    configurations: Callable[[], AbstractContextManager[Configure]]
    measure_cell: Callable[[CellTask], Cell]
    notices: Callable[[], tuple[str, ...]]

    def measure(self, tasks: Sequence[CellTask], begun: Callable[[CellTask], None]) -> Generator[Measured, None, None]:
        """Yield each task's cell."""
        with self.configurations() as configure:
            for task in tasks:
                configure(task.variant)
                begun(task)
                yield Measured(self.measure_cell(task), self.notices())
