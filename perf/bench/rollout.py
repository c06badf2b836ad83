"""Roll-outs under load, some broken on purpose: `python -m tritonsmith.perf.bench.rollout`.

Two Python models and an ensemble of them on the embedded server; clients of each ask without a pause. Roll-outs follow
one another, first into a folder that the server reads, then as uploads in the load call: new versions, another number
of instances, another largest batch in all three; and broken ones, each of which has to be rolled back. A request
that fails counts against the roll-out unless it went to the model that was broken on purpose, or to the ensemble of
it, while that was rolled out. So does an answer that neither the repository before nor the one after gives; and after
each roll-out every model is asked whether it answers as it now has to.
"""

from __future__ import annotations

import os
import random
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import click
import numpy as np
import tritonclient.grpc as grpcclient
from tritonclient.utils import InferenceServerException

from tritonsmith.backends.deploy.live.rollout import Order, deploy_live
from tritonsmith.backends.server.embedded import Server, embedded_server
from tritonsmith.generator import console
from tritonsmith.generator.errors import AnswerIsNo, TritonsmithError, UnstableError
from tritonsmith.perf.bench.record import write_result

FIRST, SECOND, PIPELINE = "first", "second", "pipeline"
MODELS = (FIRST, SECOND, PIPELINE)
CLIENTS = 2  # of each model
PAUSE_S = 0.01
HANG_S = 1.25  # of the load limit: so long initialize() takes
UPLOADED = 0.4  # of the roll-outs
GOOD = ("version", "instances", "largest batch")
BROKEN = ("configuration", "file", "initialize", "shape", "execute", "hang", "second of two")
SERVED_BRIEFLY = ("shape", "execute")  # what loads, and is found by the smoke request

_CODE = """
import time

import triton_python_backend_utils as pb


class TritonPythonModel:
    def initialize(self, args):
        {initialize}

    def execute(self, requests):
        {execute}
        return [
            pb.InferenceResponse([pb.Tensor("y", ({factor} * pb.get_input_tensor_by_name(r, "x").as_numpy()){tail})])
            for r in requests
        ]
"""
_TENSORS = """
input { name: "x" data_type: TYPE_FP32 dims: 4 } output { name: "y" data_type: TYPE_FP32 dims: 4 }
"""
_MODEL = """backend: "python" max_batch_size: {batch}
dynamic_batching {{ }} instance_group {{ kind: KIND_CPU count: {count} }}"""
_PIPELINE = """platform: "ensemble" max_batch_size: {batch}
input {{ name: "x" data_type: TYPE_FP32 dims: 4 }} output {{ name: "y" data_type: TYPE_FP32 dims: 4 }}
ensemble_scheduling {{
  step {{ model_name: "first" model_version: -1 input_map {{ key: "x" value: "x" }}
         output_map {{ key: "y" value: "between" }} }}
  step {{ model_name: "second" model_version: -1 input_map {{ key: "x" value: "between" }}
         output_map {{ key: "y" value: "y" }} }}
}}
"""


@dataclass(frozen=True)
class Shape:
    """The repository as it is at a moment: factor and instances of each model, the largest batch of all."""

    factors: Mapping[str, int] = field(default_factory=lambda: {FIRST: 2, SECOND: 3})
    counts: Mapping[str, int] = field(default_factory=lambda: {FIRST: 1, SECOND: 1})
    largest_batch: int = 8


@dataclass(frozen=True)
class Failure:
    """A request that failed: when, of which model, why."""

    at_s: float
    model: str
    said: str


@dataclass(frozen=True)
class Attempt:
    """One roll-out: what was done to which model, how it ended, when."""

    kind: str
    model: str
    is_upload: bool
    ending: str  # "rolled out", "rolled back", or the error's class
    said: str
    begin_s: float
    end_s: float
    answers: Mapping[str, float] = field(default_factory=dict)  # of each model to 1, afterwards
    due: Mapping[str, float] = field(default_factory=dict)

    @property
    def is_right(self) -> bool:
        """Whether it ended as it had to, and the models answer so."""
        ending = "rolled back" if self.kind in BROKEN else "rolled out"
        return (self.ending, self.answers) == (ending, self.due)

    def __str__(self) -> str:
        wrong = f", and {dict(self.answers)} in place of {dict(self.due)}" if self.answers != self.due else ""
        return f"{self.kind} of {self.model}{', uploaded' * self.is_upload}: {self.ending}{self.said}{wrong}"


@click.command()
@click.option("--rollouts", default=50, show_default=True)
@click.option("--load-limit", "limit_s", default=20.0, show_default=True, help="Seconds that a load may take.")
@click.option("--seed", default=1, show_default=True)
@click.option("--quick", is_flag=True, help="Nothing is written.")
def main(rollouts: int, limit_s: float, seed: int, quick: bool) -> None:
    """Roll out under load."""
    with tempfile.TemporaryDirectory(prefix="tritonsmith-rollout-") as folder:
        os.environ["TRITONSMITH_HOME"] = str(Path(folder) / "home")
        result = measure(Path(folder), rollouts, limit_s, seed)
    if not quick:
        write_result("rollout", result)
    console.result("\n".join(f"{name}: {value}" for name, value in result.items()))
    if result["wrongly_ended"] or result["failures_of_others"]:
        raise UnstableError(
            f"{result['wrongly_ended']} ended wrongly, {result['failures_of_others']} failed beside them"
        )


def measure(folder: Path, rollouts: int, limit_s: float, seed: int) -> dict[str, Any]:
    """Return what happened to the roll-outs and to the requests meanwhile."""
    kinds = kinds_of(rollouts, seed)
    shared = rollouts - round(rollouts * UPLOADED)
    # an ensemble is not uploaded: its load would put its steps back to what lies on the server's disk
    later = ["version" if kind == "largest batch" else kind for kind in kinds[shared:]]
    attempts, seen = run(
        folder, [*((kind, False) for kind in kinds[:shared]), *((kind, True) for kind in later)], limit_s
    )
    failures = seen.failures
    own = [failure for failure in failures if any(is_own(failure, attempt) for attempt in attempts)]
    seconds = {kind: [a.end_s - a.begin_s for a in attempts if a.kind == kind] for kind in (*GOOD, *BROKEN)}
    return {
        "rollouts": len(attempts),
        "broken_on_purpose": sum(attempt.kind in BROKEN for attempt in attempts),
        "rolled_back": sum(attempt.ending == "rolled back" for attempt in attempts),
        "wrongly_ended": sum(not attempt.is_right for attempt in attempts),
        "uploads": sum(attempt.is_upload for attempt in attempts),
        "requests": seen.count,
        "failures": len(failures),
        "failures_of_the_broken_model": len(own),
        "failures_of_others": len(failures) - len(own),
        "goal": "wrongly_ended 0, failures_of_others 0",
        "seconds_by_kind": {kind: round(sum(some) / len(some), 2) for kind, some in seconds.items() if some},
        "attempts": [str(attempt) for attempt in attempts],
        "of_others": of_others([failure for failure in failures if failure not in own], attempts),
    }


def kinds_of(count: int, seed: int) -> list[str]:
    """Return what is done in each roll-out: every kind in turn, half of them broken, shuffled."""
    good = [GOOD[n % len(GOOD)] for n in range(count - count // 2)]
    broken = [BROKEN[n % len(BROKEN)] for n in range(count // 2)]
    kinds = [*good, *broken]
    random.Random(seed).shuffle(kinds)  # noqa: S311 - no secret
    return kinds


def run(folder: Path, kinds: Sequence[tuple[str, bool]], limit_s: float) -> tuple[list[Attempt], Seen]:
    """Carry out roll-outs, of a kind and uploaded or not, on one server; return them and what clients saw."""
    shape, attempts = Shape(), []
    write(folder / "served", shape)
    with (
        embedded_server(folder / "served") as server,
        clients(server) as seen,
        console.progress("roll-outs", total=len(kinds)) as bar,
    ):
        for number, (kind, is_upload) in enumerate(kinds):
            bar.update(number, kind)
            wanted, model = changed(shape, kind, number)
            write(folder / "built", wanted, {model: kind} if kind in BROKEN else {}, limit_s)
            shared = None if is_upload else server.prepared.view
            order = Order(folder / "built", server.http_url, server.grpc_url, shared, load_limit_s=limit_s)
            seen.expect(shape, wanted)
            done = attempt(order, kind, model)
            shape = wanted if kind in GOOD else shape
            attempts.append(replace(done, answers=asked(server), due=answers_of(shape)))
            seen.expect(shape)
    return attempts, seen


def answers_of(shape: Shape) -> dict[str, float]:
    """Return what each model makes of 1."""
    first, second = float(shape.factors[FIRST]), float(shape.factors[SECOND])
    return {FIRST: first, SECOND: second, PIPELINE: first * second}


def asked(server: Server) -> dict[str, float]:
    """Return what each model makes of 1 now; a model that fails is left out."""
    found = {}
    with grpcclient.InferenceServerClient(server.grpc_url) as client:
        for model in MODELS:
            with suppress(InferenceServerException):
                found[model] = _factor(client, model)
    return found


def of_others(failures: Sequence[Failure], attempts: Sequence[Attempt]) -> list[str]:
    """Return what failed beside the broken models, and how often, by the roll-out in which it did."""
    told: Counter[str] = Counter()
    for failure in failures:
        during = [n for n, one in enumerate(attempts) if one.begin_s <= failure.at_s <= one.end_s]
        told[f"in {during}: {failure.model}: {failure.said[:120]}"] += 1
    return [f"{count} times {text}" for text, count in told.items()]


def attempt(order: Order, kind: str, model: str) -> Attempt:
    """Roll out and return how it ended."""
    begin_s, ending, said = time.monotonic(), "rolled out", ""
    try:
        deploy_live(order)
    except AnswerIsNo as problem:
        ending, said = "rolled back", problem.message.removeprefix("rolled back")
    except TritonsmithError as problem:
        ending, said = type(problem).__name__, f": {problem.message}"
    return Attempt(kind, model, order.server_repository is None, ending, said, begin_s, time.monotonic())


def is_own(failure: Failure, of: Attempt) -> bool:
    """Whether a request failed because its model, or a step of it, was broken on purpose just then."""
    is_then = of.begin_s <= failure.at_s <= of.end_s + 1.0
    return of.kind in SERVED_BRIEFLY and is_then and failure.model in (of.model, PIPELINE)


def changed(shape: Shape, kind: str, number: int) -> tuple[Shape, str]:
    """Return the next repository and the model that changes in it."""
    model = (FIRST, SECOND)[number % 2]
    if kind == "instances":
        return replace(shape, counts={**shape.counts, model: 3 - shape.counts[model]}), model
    if kind == "second of two":  # `second` is put after `first`, and is broken
        return replace(shape, factors={FIRST: 2 + number, SECOND: 3 + number}), SECOND
    if kind == "largest batch":
        return replace(shape, largest_batch=12 - shape.largest_batch), PIPELINE
    return replace(shape, factors={**shape.factors, model: 2 + number}), model


def write(folder: Path, shape: Shape, broken: Mapping[str, str] | None = None, limit_s: float = 0.0) -> None:
    """Write the repository; `broken` says what is wrong with a model."""
    for name in (FIRST, SECOND):
        kind = (broken or {}).get(name, "")
        code = _CODE.format(
            initialize={
                "initialize": "raise ValueError('broken on purpose')",
                "second of two": "raise ValueError('broken on purpose')",
                "hang": f"time.sleep({limit_s * HANG_S})",
            }.get(kind, "pass"),
            execute="raise ValueError('broken on purpose')" if kind == "execute" else "pass",
            factor=shape.factors[name],
            tail=".reshape(-1)" if kind == "shape" else "",
        )
        config = _MODEL.format(count=shape.counts[name], batch=shape.largest_batch) + _TENSORS
        if kind == "configuration":
            config = config.replace("dynamic_batching { }", "dynamic_batching { preferred_batch_size: 99 }")
        _write(folder / name / "1" / "model.py", code + ("\n  x = (" if kind == "file" else ""))
        _write(folder / name / "config.pbtxt", config)
    _write(folder / PIPELINE / "1" / ".gitkeep", "")
    _write(folder / PIPELINE / "config.pbtxt", _PIPELINE.format(batch=shape.largest_batch))


@dataclass
class Seen:
    """What clients saw; `due` are the answers that are right just now, by model."""

    counts: Counter[str] = field(default_factory=Counter)
    failures: list[Failure] = field(default_factory=list)  # appended to by all threads
    due: Mapping[str, frozenset[float]] = field(default_factory=dict)

    def expect(self, *shapes: Shape) -> None:
        """Accept the answers of these repositories alone; of an ensemble those of mixtures, too."""
        answers = {model: frozenset(answers_of(shape)[model] for shape in shapes) for model in (FIRST, SECOND)}
        mixtures = frozenset(first * second for first in answers[FIRST] for second in answers[SECOND])
        self.due = {**answers, PIPELINE: mixtures}

    @property
    def count(self) -> int:
        """How many requests were sent."""
        return sum(self.counts.values())


@contextmanager
def clients(server: Server) -> Iterator[Seen]:
    """Ask every model without a pause while the block runs."""
    seen, is_over = Seen(), threading.Event()
    seen.expect(Shape())
    threads = [
        threading.Thread(target=_ask, args=(server.grpc_url, model, f"{model} {n}", seen, is_over), daemon=True)
        for model in MODELS
        for n in range(CLIENTS)
    ]
    for thread in threads:
        thread.start()
    try:
        yield seen
    finally:
        is_over.set()
        for thread in threads:
            thread.join()


def _ask(url: str, model: str, name: str, seen: Seen, is_over: threading.Event) -> None:
    with grpcclient.InferenceServerClient(url) as client:
        while not is_over.is_set():
            at_s, due = time.monotonic(), seen.due
            try:
                answer = _factor(client, model)
                if answer not in due[model] and answer not in seen.due[model]:
                    seen.failures.append(Failure(at_s, model, f"answers {answer:g}, not one of {sorted(due[model])}"))
            except InferenceServerException as problem:
                seen.failures.append(Failure(at_s, model, str(problem)))
            seen.counts[name] += 1
            is_over.wait(PAUSE_S)


def _factor(client: grpcclient.InferenceServerClient, model: str) -> float:
    """Return what a model makes of 1; NaN where it makes several things of it."""
    given = grpcclient.InferInput("x", [1, 4], "FP32")
    given.set_data_from_numpy(np.ones((1, 4), np.float32))
    values = np.unique(client.infer(model, [given], client_timeout=60).as_numpy("y"))
    return float(values[0]) if len(values) == 1 else float("nan")


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
