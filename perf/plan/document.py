"""The document of a plan: what was asked, all ways, the pick. Written by rename, validated when read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import ClassVar, Literal, get_args

from tritonsmith.generator.manifests.sharing.advice import Traits
from tritonsmith.perf.documents import Kind
from tritonsmith.perf.plan.core import Candidate, LanguageModel, Objectives, Traffic
from tritonsmith.perf.plan.models.built import Built
from tritonsmith.perf.plan.regions.core import RegionalPlan

Schema = Literal["tritonsmith.plan/1"]
SCHEMA: Schema = "tritonsmith.plan/1"
DOCUMENT_NAME = "plan.json"


@dataclass(frozen=True)
class SharingAdvice:
    """How the pick's replicas might share GPUs, as a spec's `sharing:` takes it, and why; `others` are why not so."""

    sharing: str
    reason: str
    traits: Traits
    others: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    """A whole plan. `candidates` are ordered: the pick first where there is one, what cannot be last.

    `prices` are per GPU and hour; `spare` replicas may be down. `path` is where the model was read, `times` what the
    durations of steps follow from, `would_fit` what would make the model fit where it does not.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"ser_json_inf_nan": "strings"}  # an interval may have no end

    path: str
    model: LanguageModel
    gpus: tuple[str, ...]
    traffic: Traffic | None
    objectives: Objectives
    candidates: tuple[Candidate, ...]
    is_pick: bool
    reason: str
    spare: int = 1
    prices: Mapping[str, float] = field(default_factory=dict)
    times: str = ""
    built: Built | None = None  # what an engine or a checkpoint had settled
    would_fit: tuple[str, ...] = ()
    regions: RegionalPlan | None = None  # of the pick
    sharing: SharingAdvice | None = None  # of the pick
    notes: tuple[str, ...] = ()
    made_at: str = ""  # UTC, ISO 8601
    tritonsmith: str = field(default_factory=lambda: version("tritonsmith"))
    schema: Schema = SCHEMA

    @property
    def pick(self) -> Candidate | None:
        """The way to take, None where nothing meets what is asked."""
        return self.candidates[0] if self.is_pick else None


PLANS = Kind(Plan, "plan", get_args(Schema), "`tritonsmith plan` makes one", "plan again", DOCUMENT_NAME)
