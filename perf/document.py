"""The sweep document: the plan, the machine and every measured cell. Written by rename, validated when read.

Versions of the schema; the earlier ones are still read, but cells of before 3 are measured anew:
- 1
- 2: `caches` in a measurement (a 1 does not say what came from the response cache), `notices`
- 3: `streams` in a measurement (a 2 does not say how the answers of a decoupled model came), `goals` in the plan
- 4: `pipelines`, to be drawn; cells are those of 3, and kept
- 5: `slo`, `replay`, `price_per_hour` in the plan, `answers`; `kept`, `replayed`, `joules_per_request` of measurements;
  `place` of cells; cells are those of 3, and kept
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import TypeAdapter, ValidationError

from tritonsmith.ensembles.draw.core import Graph
from tritonsmith.generator.errors import UsageError
from tritonsmith.perf.documents import Kind
from tritonsmith.perf.files import write_by_rename, writing
from tritonsmith.perf.identity import digest_of
from tritonsmith.perf.measure.analyzer import measured_s
from tritonsmith.perf.measure.load import Load
from tritonsmith.perf.measure.machine import Environment
from tritonsmith.perf.measure.measurement import Measurement
from tritonsmith.perf.measure.streams import NO_GOALS, Goals
from tritonsmith.perf.slo.core import Answer
from tritonsmith.perf.trace import Replay

Schema = Literal[
    "tritonsmith.sweep/1", "tritonsmith.sweep/2", "tritonsmith.sweep/3", "tritonsmith.sweep/4", "tritonsmith.sweep/5"
]
SCHEMA: Schema = "tritonsmith.sweep/5"
CELL_SCHEMA: Schema = "tritonsmith.sweep/3"  # the version in which a cell last changed
DOCUMENT_NAME, CELL_FOLDER = "sweep.json", "cells"
Scalar = bool | int | float | str


@dataclass(frozen=True)
class Variation:
    """A field of one model's configuration and the values it takes, e.g. models.classifier.instance_group.count."""

    field: str
    values: tuple[Scalar, ...]


@dataclass(frozen=True)
class SweepPlan:
    """What to measure. `input_data` is a perf_analyzer input file; without one, plausible tensors are made up.

    `goals` judge what was measured; another goal measures nothing anew. With `slo`, limits by metric ("p99_ms": 50),
    the loads are those that the search for the highest one within the limits came to, and `repeats` the most that it
    measures of each. With `replay` the load is a recorded trace. `price_per_hour` is of the machine.
    """

    model: str
    loads: tuple[Load, ...]
    repeats: int = 5
    window_ms: int = 500
    version: str = ""
    protocol: Literal["grpc", "http"] = "grpc"
    input_data: Path | None = None
    seed: int = 0
    variations: tuple[Variation, ...] = ()
    goals: Goals = NO_GOALS  # since schema 3
    prompts: str = ""  # since schema 3: how those in `input_data` were made, in words
    slo: Mapping[str, float] = field(default_factory=dict)  # these three since schema 5
    replay: Replay | None = None
    price_per_hour: float = 0.0

    def __post_init__(self) -> None:
        if not self.loads:
            raise UsageError("a sweep needs a level of load", hint="--concurrency 1,2,4 or --request-rate 100")
        if self.repeats < 3:
            raise UsageError(f"{self.repeats} repeats have no spread worth the name", hint="use at least 3 --repeats")

    @property
    def cells(self) -> int:
        """Return how many cells the sweep has."""
        variants = 1
        for variation in self.variations:
            variants *= len(variation.values)
        return variants * len(self.loads) * self.repeats

    @property
    def seconds(self) -> float:
        """Return about how long it takes, with the starts of perf_analyzer."""
        return self.cells * (measured_s(self.window_ms) + 0.3)


@dataclass(frozen=True)
class Place:
    """Where a cell was measured: the host's name, and what kind of machine it is."""

    host: str
    environment: Environment


@dataclass(frozen=True)
class Cell:
    """One measured cell: one load, one variant (field -> value), one repeat."""

    digest: str
    variant: Mapping[str, Scalar]
    repeat: int
    started_at: str  # UTC, ISO 8601
    command: tuple[str, ...]
    measurement: Measurement
    place: Place | None = None  # since schema 5; None: on the machine of the sweep's `environment`


@dataclass(frozen=True)
class Sweep:
    """A whole sweep; `cells` holds what was measured so far, in the order of measuring.

    `notices` says what the server that we started changed or added to serve the models on this machine.
    `pipelines` is what was measured, to be drawn, by the variant's name. `answers` are those to the plan's `slo`.
    """

    plan: SweepPlan
    identity: str  # of what was served: configurations and files
    environment: Environment
    started_at: str
    cells: tuple[Cell, ...] = ()
    schema: Schema = SCHEMA
    notices: tuple[str, ...] = ()  # since schema 2
    pipelines: Mapping[str, Graph] = field(default_factory=dict)  # since schema 4
    answers: tuple[Answer, ...] = ()  # since schema 5

    @property
    def measured_s(self) -> float:
        """Return the seconds in which requests were counted."""
        return sum(cell.measurement.measured_s for cell in self.cells)

    @property
    def is_complete(self) -> bool:
        """Return whether every planned cell was measured; a search is, once it has its answers."""
        if self.plan.slo:
            return bool(self.answers)
        return len(self.cells) == self.plan.cells


MADE_BY = "`tritonsmith sweep MODEL --concurrency 1,8 -o build/sweep` makes one"
SWEEPS = Kind(Sweep, "sweep", get_args(Schema), MADE_BY, "measure again", DOCUMENT_NAME)
_CELL = TypeAdapter(Cell)


def write_sweep(sweep: Sweep, folder: Path) -> Path:
    """Write the document into its folder and return its path."""
    return SWEEPS.write(sweep, folder)


def read_sweep(path: Path) -> Sweep:
    """Read a sweep document, or the one in a sweep's folder.

    Raises: UsageError where there is none; RepositoryError where it is not a sweep document of this version.
    """
    return SWEEPS.read(path)


def as_json(sweep: Sweep) -> dict[str, Any]:
    """Return the document as plain JSON data."""
    return SWEEPS.as_json(sweep)


def write_cell(cell: Cell, folder: Path) -> None:
    """Write one cell's document, named by its digest."""
    with writing(folder / CELL_FOLDER):
        (folder / CELL_FOLDER).mkdir(parents=True, exist_ok=True)
    write_by_rename(folder / CELL_FOLDER / f"{cell.digest}.json", _CELL.dump_json(cell, indent=1))


def read_cell(folder: Path, digest: str) -> Cell | None:
    """Return a measured cell; None where it was not measured or its file is damaged (it is measured again then)."""
    try:
        return _CELL.validate_json((folder / CELL_FOLDER / f"{digest}.json").read_bytes())
    except (OSError, ValidationError):
        return None


def cell_digest(plan: SweepPlan, load: Load, variant: Mapping[str, Scalar], repeat: int, identity: str) -> str:
    """Return what names a cell: everything its numbers depend on, but not the order of measuring."""
    facts = {
        "schema": CELL_SCHEMA,
        "identity": identity,
        "model": [plan.model, plan.version],
        "load": {"kind": load.kind, "value": float(load.value)},  # 1 and 1.0 are one load, but not one text
        "variant": dict(sorted(variant.items())),
        "repeat": repeat,
        "window_ms": plan.window_ms,
        "protocol": plan.protocol,
        "seed": plan.seed,
        **({"slo": dict(sorted(plan.slo.items()))} if plan.slo else {}),  # cells count what kept these limits
        **({"replay": asdict(plan.replay)} if plan.replay else {}),
    }
    return digest_of(facts)[:32]
