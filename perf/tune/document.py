"""The document of a tuning: what was wanted, what was found, where. Written by rename, validated when read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from tritonsmith.perf.documents import Kind
from tritonsmith.perf.measure.load import Load
from tritonsmith.perf.measure.machine import Environment
from tritonsmith.perf.tune.core import Fate, Found, Prediction, Wish

Schema = Literal["tritonsmith.tune/1"]
SCHEMA: Schema = "tritonsmith.tune/1"
DOCUMENT_NAME = "tune.json"
ENDED: tuple[Fate, ...] = ("eliminated", "failed")


@dataclass(frozen=True)
class TunePlan:
    """What was asked. `spec` is its path and `url` a running server's; one of them may be empty, never both."""

    model: str
    wish: Wish
    budget_s: float = 120.0
    seed: int = 0
    spec: str = ""
    profile: str = ""
    url: str = ""
    vary: tuple[str, ...] = ()
    input_data: str = ""  # in words; empty where the inputs were made up


@dataclass(frozen=True)
class Phase:
    """A part of the work, and the seconds it took."""

    name: str
    seconds: float


@dataclass(frozen=True)
class Expectation:
    """What the simulator said of a candidate at a load at which it was measured."""

    candidate: str
    load: Load
    prediction: Prediction


@dataclass(frozen=True)
class Tuning:
    """A whole tuning. `change` is the pick's patch of the spec, empty where the spec has it already or there is none.

    `is_written` tells whether the spec has the change now.
    """

    plan: TunePlan
    environment: Environment
    found: Found
    started_at: str  # UTC, ISO 8601
    seconds: float
    phases: tuple[Phase, ...]
    expectations: tuple[Expectation, ...] = ()
    change: str = ""
    is_written: bool = False
    notices: tuple[str, ...] = ()  # what our server changed to serve the models on this machine
    schema: Schema = SCHEMA

    @property
    def is_inconclusive(self) -> bool:
        """Return whether the budget was out before anything could be told apart."""
        if not self.found.is_out_of_budget:
            return False
        if self.found.pick is None:
            return not all(standing.fate in ENDED for standing in self.found.standings)
        others = [standing for standing in self.found.standings if standing.fate != "picked"]
        return bool(others) and not any(standing.fate in ENDED for standing in others)


TUNINGS = Kind(Tuning, "tuning", get_args(Schema), "`tritonsmith tune` makes one", "tune again", DOCUMENT_NAME)
