"""What the wire meets in a server, small enough to look into: Triton's module, and an engine that echoes its prompt."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Event as Flag
from threading import Lock
from typing import Any, cast

import numpy as np
import pytest

from tritonsmith.backends.python_based.tensorrtllm.llm.base import Limits, OnStep
from tritonsmith.backends.python_based.tensorrtllm.llm.request import (
    Blocks,
    Counters,
    Event,
    Finish,
    QueueFullError,
    Request,
    Timing,
)
from tritonsmith.backends.python_based.tensorrtllm.llm.wire.metrics import Metrics
from tritonsmith.backends.python_based.tensorrtllm.llm.wire.parameters import Settings
from tritonsmith.backends.python_based.tensorrtllm.llm.wire.service import Service

LIMITS = Limits(max_batch_size=4, max_seq_len=32, max_input_len=24, vocab_size=100)


@dataclass(frozen=True)
class FakeTensor:
    label: str
    array: Any

    def name(self) -> str:
        return self.label

    def as_numpy(self) -> Any:
        return self.array


@dataclass(frozen=True)
class FakeError:
    message: str
    code: int

    UNKNOWN, INTERNAL, NOT_FOUND, INVALID_ARG, UNAVAILABLE, CANCELLED = range(6)


@dataclass(frozen=True)
class FakeResponse:
    tensors: Mapping[str, Any]
    error: FakeError | None
    is_final: bool = False


@dataclass
class FakeMetric:
    value: float = 0.0
    observed: list[float] = field(default_factory=list)

    def set(self, value: float) -> None:
        self.value = value

    def observe(self, value: float) -> None:
        self.observed.append(value)


class FakeTriton:
    """What the stub offers as `triton_python_backend_utils`; metrics are kept by their labels."""

    TRITONSERVER_RESPONSE_COMPLETE_FINAL = 1
    TritonError = FakeError
    TritonModelException = RuntimeError

    def __init__(self) -> None:
        self.metrics: dict[str, FakeMetric] = {}
        self.MetricFamily = _families(self.metrics)

    def Tensor(self, name: str, array: Any) -> FakeTensor:
        return FakeTensor(name, array)

    def InferenceResponse(self, output_tensors: Sequence[FakeTensor] = (), error: Any = None) -> FakeResponse:
        return FakeResponse({tensor.label: tensor.array for tensor in output_tensors}, error)


def _families(metrics: dict[str, FakeMetric]) -> Any:
    names: set[str] = set()

    class Family:
        GAUGE, COUNTER, HISTOGRAM = range(3)

        def __init__(self, *, name: str, description: str, kind: int) -> None:
            assert name not in names, f"{name} is made twice"
            names.add(name)
            self.name = name
            self.kind = kind

        def Metric(self, *, labels: Mapping[str, str], buckets: list[int] | None = None) -> FakeMetric:
            assert (buckets is not None) == (self.kind == self.HISTOGRAM)
            own = [value for key, value in labels.items() if key not in ("model", "version")]
            assert labels["model"] == "m"
            assert labels["version"] == "1"
            return metrics.setdefault(f"{self.name}/{own[0]}", FakeMetric())

    return Family


class FakeSender:
    def __init__(self) -> None:
        self.responses: list[FakeResponse] = []
        self.is_gone = False
        self.ended = Flag()

    def send(self, response: FakeResponse, flags: int = 0) -> None:
        assert not self.ended.is_set(), "a response after the last one"
        self.responses.append(FakeResponse(response.tensors, response.error, bool(flags)))
        if flags:
            self.ended.set()

    def is_cancelled(self) -> bool:
        assert not self.ended.is_set(), "asked after the last response: the server has dropped it by then"
        return self.is_gone

    def wait(self) -> list[FakeResponse]:
        assert self.ended.wait(5), f"no last response; {self.responses}"
        return self.responses


@dataclass(frozen=True)
class FakeRequest:
    tensors: Mapping[str, Any]
    id: str = ""
    wanted: tuple[str, ...] = ("output_ids", "sequence_length", "batch_index", "sequence_index")
    options: Mapping[str, str] = field(default_factory=dict)
    sender: FakeSender = field(default_factory=FakeSender)

    def inputs(self) -> list[FakeTensor]:
        return [FakeTensor(name, array) for name, array in self.tensors.items()]

    def requested_output_names(self) -> list[str]:
        return list(self.wanted)

    def request_id(self) -> str:
        return self.id

    def parameters(self) -> str:
        return json.dumps(self.options)

    def get_response_sender(self) -> FakeSender:
        return self.sender


class EchoEngine:
    """Repeats each prompt, a token per `step`; `fails` ends requests with an error instead."""

    limits = LIMITS

    def __init__(self, room: int = 1000) -> None:
        self.room = room
        self.inside: dict[Request, list[int]] = {}
        self.cancelled: set[Request] = set()
        self.fails = False
        self._lock = Lock()

    def start(self, on_step: OnStep) -> None:
        self.on_step = on_step

    def submit(self, request: Request) -> None:
        with self._lock:
            if len(self.inside) >= self.room:
                raise QueueFullError(f"{self.room} requests wait already")
            self.inside[request] = []

    def cancel(self, request: Request) -> None:
        self.cancelled.add(request)

    def counters(self) -> Counters:
        return Counters(active=len(self.inside), max_active=4, used_blocks=3, max_blocks=12, iterations=7)

    def close(self) -> None:
        self.on_step([Event(request, (), finish="error", error="the engine is closed") for request in self.inside])

    def step(self) -> None:
        with self._lock:
            events = [event for request in list(self.inside) if (event := self._advance(request))]
        self.on_step(events)

    def run(self) -> None:
        while self.inside:
            self.step()

    def _advance(self, request: Request) -> Event | None:
        made = self.inside[request]
        finish: Finish = ""
        if request in self.cancelled:
            finish = "cancelled"
        elif self.fails:
            finish = "error"
        else:
            made.append(int(request.tokens[len(made) % len(request.tokens)]))
            finish = "length" if len(made) == request.max_new_tokens else ""
        if finish:
            del self.inside[request]
        new = made[-1:] if request.needs_steps else made
        if not (finish or request.needs_steps):
            return None
        tokens = () if request.needs_steps and finish in ("cancelled", "error") else tuple(new)
        log_probs = tuple(-0.5 for _ in tokens) if request.needs_log_probs else ()
        return Event(request, tokens, log_probs, finish, "broken" * self.fails, Timing(1, 2, 3, 4), Blocks(5, 6, 7))


class Rig:
    """A service with an echo engine."""

    def __init__(self, settings: Settings, engine: EchoEngine) -> None:
        self.engine = engine
        self.triton = cast(Any, FakeTriton())
        self.service = Service(engine, settings, self.triton, Metrics(self.triton, "m", "1"))
        self.service.start()

    def ask(self, tokens: Any, length: int = 3, *, id_: str = "", **more: Any) -> FakeRequest:
        request = FakeRequest(tensors_for(tokens, length, **more), id_)
        self.service.accept([cast(Any, request)])
        return request

    def answer(self, tokens: Any, length: int = 3, **more: Any) -> list[FakeResponse]:
        request = self.ask(tokens, length, **more)
        self.engine.run()
        return request.sender.wait()


def tensors_for(tokens: Any, length: int = 3, **more: Any) -> dict[str, Any]:
    """The tensors of a request as Triton hands them: scalars have lost their last axis."""
    ids = np.atleast_2d(np.array(tokens, np.int32))
    rows = len(ids)
    tensors = {
        "input_ids": ids,
        "input_lengths": np.full(rows, ids.shape[1], np.int32),
        "request_output_len": np.full(rows, length, np.int32),
    }
    return tensors | {name: _batched(value, rows) for name, value in more.items()}


def _batched(value: Any, rows: int) -> Any:
    return value if isinstance(value, np.ndarray) else np.full(rows, value)


@pytest.fixture
def make_rig() -> Iterator[Callable[..., Rig]]:
    """Return a function that starts a service; settings are given by name."""
    rigs: list[Rig] = []

    def make(*, room: int = 1000, **settings: Any) -> Rig:
        base: dict[str, Any] = {"engine": "engine", "max_batch_size": 4, "is_decoupled": True}
        periods = {"cancellation_check_period_ms": 5, "stats_check_period_ms": 5}
        rigs.append(Rig(Settings(**(base | periods | settings)), EchoEngine(room)))
        return rigs[-1]

    yield make
    for rig in rigs:
        rig.service.close()


@pytest.fixture(name="tensors_for")
def _tensors_for() -> Callable[..., dict[str, Any]]:
    """Return `tensors_for`, for tests which cannot import a conftest."""
    return tensors_for


@pytest.fixture
def limits() -> Limits:
    """Return the echo engine's limits."""
    return LIMITS


@pytest.fixture
def errors() -> type[FakeError]:
    """Return Triton's error codes."""
    return FakeError
