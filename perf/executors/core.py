"""The contract: a cell of a sweep is a function of one JSON document, its task; an executor measures tasks."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from pydantic import TypeAdapter

from tritonsmith.perf.document import Cell, Scalar, SweepPlan
from tritonsmith.perf.measure.load import Load
from tritonsmith.perf.variants import variant_name

TaskSchema = Literal["tritonsmith.task/1"]


@dataclass(frozen=True)
class CellTask:
    """All that one cell's numbers depend on but the machine; `digest` names the cell.

    What is measured is the server at `url` ("host:port" of its HTTP) or, where that is empty, the repository whose
    parcel has the digest `parcel`, served by whoever measures. `input_sha256` is of the requests' input file, which
    lies somewhere else for each of them: the plan's `input_data` only tells whether it was given.
    """

    digest: str
    identity: str
    plan: SweepPlan
    load: Load
    variant: Mapping[str, Scalar]
    repeat: int
    input_sha256: str
    url: str = ""
    parcel: str = ""
    schema: TaskSchema = "tritonsmith.task/1"

    def __str__(self) -> str:
        return f"{variant_name(self.variant)} {self.load}, repeat {self.repeat + 1}".strip()


@dataclass(frozen=True)
class Measured:
    """A cell, and what its server has changed so far to serve the models where it was measured."""

    cell: Cell
    notices: tuple[str, ...] = ()


class Executor(Protocol):
    """Measures cells, on this machine or on others."""

    def measure(self, tasks: Sequence[CellTask], begun: Callable[[CellTask], None]) -> Generator[Measured, None, None]:
        """Yield the cell of each task as soon as it is measured; `begun` is told of each before.

        `tasks` are in measuring order, which an executor that measures several at once may leave. Closing the iterator
        ends what was started for it.

        Raises: TritonsmithError; what was yielded until then is good.
        """
        ...


class Outstanding(Protocol):
    """A sweep that others measure and that lacks cells: what is to be done for it, in words."""

    def text(self) -> str:
        """Return what is printed."""
        ...

    def as_json(self) -> dict[str, Any]:
        """Return the same for machines."""
        ...

    def require_all(self) -> None:
        """End with 7 where some cells were measured and others are missing; nothing yet is no reason to.

        Raises: UnstableError.
        """
        ...


_TASK, _MEASURED = TypeAdapter(CellTask), TypeAdapter(Measured)


def write_task(task: CellTask) -> bytes:
    """Return a task's document."""
    return _TASK.dump_json(task)


def read_task(document: bytes) -> CellTask:
    """Return the task of a document.

    Raises: pydantic.ValidationError where it is none of this version.
    """
    return _TASK.validate_json(document)


def write_measured(measured: Measured) -> bytes:
    """Return what was measured as a document."""
    return _MEASURED.dump_json(measured)


def read_measured(document: bytes) -> Measured:
    """Return what a document says was measured."""
    return _MEASURED.validate_json(document)
