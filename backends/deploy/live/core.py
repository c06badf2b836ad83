"""What rolls a repository out: models as wanted, as they lie before the server, as they run; the plan between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from tritonclient.grpc.model_config_pb2 import ModelConfig

READY = "READY"
MARK = "tritonsmith_files"  # a metric tag, which no model sees: what an uploaded model was made of


@dataclass(frozen=True)
class Content:
    """What a model's folder holds: its configuration, a digest of each version, and one of all other files."""

    config: ModelConfig | None = None
    versions: Mapping[int, str] = field(default_factory=dict)
    rest: str = ""


@dataclass(frozen=True)
class Wanted:
    """A model as the repository says, and as the server can take it.

    `files` are those of its folder but config.pbtxt, by path; `text` is what stands in config.pbtxt, empty where it has
    none; `calls` are the models that it calls; `notices` say what was changed for the server.
    """

    name: str
    content: Content
    files: Mapping[str, Path]
    text: str = ""
    calls: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()

    @property
    def config(self) -> ModelConfig:
        """Its configuration, an empty one where the server completes all of it."""
        return self.content.config or ModelConfig(name=self.name)


@dataclass(frozen=True)
class Running:
    """A model on the server: the state of each version, its configuration as served, requests since it was loaded."""

    states: Mapping[int, str]
    config: ModelConfig | None = None
    requests: int = 0

    @property
    def ready(self) -> tuple[int, ...]:
        """The versions that answer, in ascending order."""
        return tuple(sorted(version for version, state in self.states.items() if state == READY))


@dataclass(frozen=True)
class Change:
    """A change of one model: why, which of its versions gets which number on the server, what answers then."""

    model: str
    why: tuple[str, ...]
    numbers: Mapping[int, int]
    expected: tuple[int, ...]  # the versions that are ready afterwards
    before: tuple[int, ...] = ()  # and those that are now
    fresh: tuple[int, ...] = ()  # the versions, by the server's number, that are not there yet
    is_overridden: bool = False  # the server has another configuration than the one that lies before it


@dataclass(frozen=True)
class Unit:
    """What is changed at once: the changes, and the models whose loading brings all of them, in this order."""

    changes: tuple[Change, ...]
    loads: tuple[str, ...]

    @property
    def models(self) -> tuple[str, ...]:
        """The models that it changes."""
        return tuple(change.model for change in self.changes)


@dataclass(frozen=True)
class Plan:
    """A roll-out: its units one after the other, the models that stay as they are, and those that are not ours."""

    units: tuple[Unit, ...]
    unchanged: tuple[str, ...] = ()
    others: tuple[str, ...] = ()  # on the server, unknown to the repository: left alone
    notes: tuple[str, ...] = ()

    @property
    def changes(self) -> tuple[Change, ...]:
        """Every change, in the order in which they are made."""
        return tuple(change for unit in self.units for change in unit.changes)


@dataclass(frozen=True)
class Proof:
    """What is to be said of a roll-out that is done; `unproven` are models that answered each request with an error."""

    notes: tuple[str, ...] = ()
    unproven: Mapping[str, str] = field(default_factory=dict)


class Channel(Protocol):
    """How models get to the server: through a folder that both see, or with the load call."""

    def present(self, wanted: Mapping[str, Wanted], running: Mapping[str, Running]) -> Mapping[str, Content]:
        """Return what the server would load now, by model; what is not known, or not there, is left out."""

    def units(
        self, changes: Sequence[Change], wanted: Mapping[str, Wanted], running: Mapping[str, Running]
    ) -> tuple[Unit, ...]:
        """Return the changes, given in the order of their loading, as they are made here."""

    def prepare(self, plan: Plan, wanted: Mapping[str, Wanted], running: Mapping[str, Running]) -> None:
        """Make ready all that the plan needs, before anything changes."""

    def after(self, change: Change, wanted: Wanted) -> Running:
        """Return how a model is served once it has been put and loaded."""

    def put(self, unit: Unit) -> None:
        """Bring a unit to where the server loads it from."""

    def load(self, model: str, limit_s: float) -> None:
        """Load a model as it was put."""

    def take_back(self, models: Sequence[str]) -> None:
        """Bring models to where they were; none of them may have been put."""

    def restore(self, model: str, before: Running, limit_s: float) -> None:
        """Load a model as it was before."""

    def finish(self, plan: Plan) -> None:
        """Forget what only a way back needed."""

    def discard(self) -> None:
        """Forget what was prepared and not put."""
