"""Watch a running server: each model's configuration, and what it did over a window of time."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from google.protobuf.json_format import MessageToDict
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tritonsmith.backends.client.base import Client
from tritonsmith.backends.client.control import ModelState
from tritonsmith.backends.client.counters import ModelCounters, parse_counters
from tritonsmith.generator.errors import ServerError
from tritonsmith.generator.suggest import did_you_mean

READY = "READY"
WINDOW_S = 10.0


@dataclass(frozen=True)
class Activity:
    """What a model did: `counters` over `window_s` seconds, or since it was loaded where `window_s` is 0.

    Rates and shares of time are known over a window alone.
    """

    name: str
    config: ModelConfig
    counters: ModelCounters
    window_s: float
    instances: int

    @property
    def is_ensemble(self) -> bool:
        """Whether it is an ensemble, which computes nothing itself."""
        return self.config.platform == "ensemble"

    @property
    def computed(self) -> int:
        """The requests that an instance computed: not those from the response cache."""
        return max(0, self.counters.requests - self.counters.cache_hits)

    @property
    def queue_us(self) -> float:
        """The mean time that a request waited for an instance."""
        return self._phase_us("queue")

    @property
    def input_us(self) -> float:
        """The mean time per request in which inputs were copied."""
        return self._phase_us("compute_input")

    @property
    def infer_us(self) -> float:
        """The mean time per request in the model itself."""
        return self._phase_us("compute_infer")

    @property
    def output_us(self) -> float:
        """The mean time per request in which outputs were copied."""
        return self._phase_us("compute_output")

    @property
    def compute_us(self) -> float:
        """The mean time per request from the moment that an instance took it."""
        return self.input_us + self.infer_us + self.output_us

    @property
    def rows_per_request(self) -> float:
        """How large the batches are that clients send."""
        return self.counters.inferences / max(1, self.computed)

    @property
    def rows_per_execution(self) -> float:
        """How large the batches are that instances compute."""
        return self.counters.inferences / max(1, self.counters.executions)

    @property
    def requests_per_s(self) -> float:
        """Requests answered in a second; 0 where no window was watched."""
        return self.counters.requests / self.window_s if self.window_s else 0.0

    @property
    def in_flight(self) -> float:
        """How many requests were in the model on average: rate times latency (Little's law); 0 without a window."""
        return self.counters.request_ns / 1e9 / self.window_s if self.window_s else 0.0

    @cached_property
    def busy_instances(self) -> float:
        """How many instances were computing on average; 0 without a window."""
        return sum(self.counters.busy_ns.values()) / 1e9 / self.window_s if self.window_s else 0.0

    def _phase_us(self, phase: str) -> float:
        return self.counters.phase_ns.get(phase, 0) / 1e3 / max(1, self.computed)


@dataclass(frozen=True)
class Observation:
    """A running server: what its ready models did, by name, and what its repository index says of every model."""

    url: str
    window_s: float
    models: Mapping[str, Activity]
    index: tuple[ModelState, ...]


def observe(client: Client, window_s: float, models: Collection[str] = ()) -> Observation:
    """Watch a server for a while; `models` empty watches all that are ready.

    A model that answers nothing meanwhile is described by its counters since it was loaded.

    Raises: ServerError where the server does not answer, or a model is not ready.
    """
    index = client.index()
    ready = list(dict.fromkeys(state.name for state in index if state.state == READY))
    for name in models:
        if name not in ready:
            raise ServerError(
                f"model '{name}' is not ready.{did_you_mean(name, ready)}",
                where=client.url,
                hint=f"ready are {', '.join(ready) or 'none'}",
            )
    watched = [name for name in ready if not models or name in models]
    configs = {name: client.config(name) for name in watched}
    before = _counters(client, watched)
    start = time.monotonic()
    time.sleep(window_s)
    after = _counters(client, watched)
    passed_s = time.monotonic() - start
    seen = {name: _activity(name, configs[name], before[name], after[name], passed_s) for name in watched}
    return Observation(client.url, passed_s, seen, tuple(index))


def _counters(client: Client, names: Collection[str]) -> dict[str, ModelCounters]:
    """Return the counters of all models from one answer, so that they belong to one moment."""
    document: dict[str, Any] = MessageToDict(client.statistics(), preserving_proto_field_name=True)
    return {name: parse_counters(document, name) for name in names}


def _activity(name: str, config: ModelConfig, before: ModelCounters, after: ModelCounters, window_s: float) -> Activity:
    spent = after.since(before)
    instances = sum(max(1, group.count) * max(1, len(group.gpus)) for group in config.instance_group)
    if spent.requests > 0 or spent.failures > 0:  # below 0 it was loaded anew meanwhile
        return Activity(name, config, spent, window_s, instances)
    return Activity(name, config, after, 0.0, instances)
