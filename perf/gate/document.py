"""The gate's document: what was compared, on which machine, every run and the verdict. Validated when read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from tritonsmith.generator.errors import UsageError
from tritonsmith.perf.documents import Kind
from tritonsmith.perf.gate.core import DEFAULT_TOLERANCES, Run, Tolerance, Verdict
from tritonsmith.perf.measure.fingerprint import Fingerprint
from tritonsmith.perf.measure.load import Load

Schema = Literal["tritonsmith.gate/1"]
SCHEMA: Schema = "tritonsmith.gate/1"
DOCUMENT_NAME = "gate.json"


@dataclass(frozen=True)
class GatePlan:
    """What is compared, and how. `budget_s` is the time after which no further pair is begun.

    A `window_ms` of 0 is chosen once the model's speed is known.
    """

    model: str
    loads: tuple[Load, ...]
    tolerances: tuple[Tolerance, ...] = DEFAULT_TOLERANCES
    window_ms: int = 0
    budget_s: float = 120.0
    seed: int = 0
    protocol: Literal["grpc", "http"] = "grpc"
    input_data: str = ""  # the file's name; empty where the inputs were made up

    def __post_init__(self) -> None:
        if not self.loads:
            raise UsageError("a gate needs a level of load", hint="--concurrency 4 or --request-rate 100")
        if not self.tolerances:
            raise UsageError("a gate needs a metric with a tolerance", hint="--tolerance p50=5%")
        metrics = [tolerance.metric for tolerance in self.tolerances]
        twice = sorted({metric for metric in metrics if metrics.count(metric) > 1})
        if twice:
            raise UsageError(f"two tolerances of {', '.join(twice)}", hint="give each metric one --tolerance")


@dataclass(frozen=True)
class Contender:
    """One side: what it was called, a digest of its configurations and files, and what was changed to serve it here."""

    name: str
    identity: str
    notices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Gate:
    """A whole gate; `runs` are in the order of measuring. `is_self_test` where both sides are the same on purpose."""

    plan: GatePlan
    machine: Fingerprint
    baseline: Contender
    candidate: Contender
    started_at: str  # UTC, ISO 8601
    seconds: float
    runs: tuple[Run, ...]
    verdict: Verdict
    tritonsmith: str
    is_self_test: bool = False
    stored_sessions: int | None = None  # of the baseline, where it is a stored one
    schema: Schema = SCHEMA


GATES = Kind(Gate, "gate", get_args(Schema), "`tritonsmith gate` makes one", "gate again", DOCUMENT_NAME)
