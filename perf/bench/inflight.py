"""In-flight against static batching on the CPU engine: `python -m tritonsmith.perf.bench.inflight`.

A 4.0 M parameter Llama with random weights, one thread. Prompts of 16 to 256 tokens, answers of 8 to 256, uniform. A
number of streams, each of which sends its next request when its last one is answered. In every round both ways of
batching get the same requests, in an order that is shuffled; every ratio is between numbers of one round.
"""

from __future__ import annotations

import os
import random
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

import click
import numpy as np

from tritonsmith.backends.python_based.tensorrtllm.llm.cpu.engine import CpuEngine
from tritonsmith.backends.python_based.tensorrtllm.llm.cpu.inflight import InflightBatch
from tritonsmith.backends.python_based.tensorrtllm.llm.cpu.kernels import Kernels, open_kernels
from tritonsmith.backends.python_based.tensorrtllm.llm.cpu.options import Options
from tritonsmith.backends.python_based.tensorrtllm.llm.request import Event, Request
from tritonsmith.generator import console
from tritonsmith.generator.errors import ServerError
from tritonsmith.perf.bench.random_llama import Dimensions, write_llama
from tritonsmith.perf.bench.record import write_result
from tritonsmith.perf.bench.static_batching import StaticBatch
from tritonsmith.perf.statistics import median, median_interval, quantile

STREAMS = (1, 4, 16, 32)
# In one round: turns of each way of batching, and requests answered in each. Short turns put both under the same
# unrest of the machine; at many streams a turn must last until its beginning and end do not count.
TURNS = {1: (6, 6), 4: (4, 16), 16: (1, 96), 32: (1, 128)}
LIMIT_S = 300  # for one closed loop, which takes a second or two
PREFIX_TOKENS, PREFIX_REQUESTS = 200, 30
GOALS = {
    **{f"throughput_ratio_{streams}": ">= 1, low end >= 0.95" for streams in STREAMS},
    "ttft_ratio_16": ">= 10",
    "itl_p99_over_p50_16": "<= 3",
    "prefix_ttft_ratio": "<= 0.5",
}
# Besides the wall clock, the CPU time of the engine's thread. In a closed loop that thread never waits: on an idle
# machine both are the same, and on a busy one the second leaves out what the machine does for others.
Clock = Literal["wall", "cpu"]
Times = tuple[float, float]  # seconds by each
NO_TIME: Times = (0.0, 0.0)
Round = dict[str, float]


@dataclass(frozen=True)
class Measured:
    """Closed loops: output tokens, how long they took, and times in ms of every first token and every later one."""

    tokens: int
    seconds: float
    ttft_ms: Sequence[float]
    itl_ms: Sequence[float]

    @property
    def tokens_per_s(self) -> float:
        """Output tokens per second."""
        return self.tokens / self.seconds

    def __add__(self, other: Measured) -> Measured:
        return Measured(
            self.tokens + other.tokens,
            self.seconds + other.seconds,
            [*self.ttft_ms, *other.ttft_ms],
            [*self.itl_ms, *other.itl_ms],
        )


@click.command()
@click.option("--rounds", default=15, show_default=True, help="How often everything is measured.")
@click.option("--quick", is_flag=True, help="3 rounds of half the requests; nothing is written.")
def main(rounds: int, quick: bool) -> None:
    """Measure what in-flight batching and prefix reuse gain."""
    rounds, part = (3, 2) if quick else (rounds, 1)
    with tempfile.TemporaryDirectory(prefix="tritonsmith-inflight-") as folder:
        kernels = open_kernels(
            write_llama(Path(folder), Dimensions()), rows=max(STREAMS), max_seq_len=0, max_tokens=0, threads=1
        )
    bench = Bench(kernels)
    measured = bench.measure(rounds, {streams: (turns, count // part) for streams, (turns, count) in TURNS.items()})
    bench.close()
    summary = {key: described([values[key] for values in measured]) for key in measured[0]}
    if not quick:
        nice = os.getpriority(os.PRIO_PROCESS, 0)  # below 0: ahead of what else runs on a busy machine
        write_result("inflight", {"rounds": rounds, "nice": nice, "turns": TURNS, "values": summary, "goals": GOALS})
    console.result(as_markdown(summary))


class Bench:
    """The engines that are compared, each made once; they share the model, and are used one at a time."""

    def __init__(self, kernels: Kernels) -> None:
        self.inflight = {streams: self._open(kernels, streams, InflightBatch) for streams in STREAMS}
        self.static = {streams: self._open(kernels, streams, StaticBatch) for streams in STREAMS}
        self.without_reuse = Streams(CpuEngine(kernels, Options(max_batch_size=1, enable_kv_cache_reuse=False)))

    def measure(self, rounds: int, turns: Mapping[int, tuple[int, int]]) -> list[Round]:
        """Return the numbers of each round."""
        order = random.Random(0)  # noqa: S311
        measured = []
        with console.progress("rounds", total=rounds) as bar:
            for number in range(rounds):
                bar.update(number)
                values: Round = {}
                for streams in order.sample([0, *STREAMS], len(STREAMS) + 1):
                    if streams:
                        values |= self._compare(streams, *turns[streams], number, order)
                    else:
                        values |= self._compare_prefix(number, order)
                measured.append(values)
        return measured

    def close(self) -> None:
        """End the engines."""
        for streams in (*self.inflight.values(), *self.static.values(), self.without_reuse):
            streams.close()

    def _compare(self, streams: int, turns: int, count: int, number: int, order: random.Random) -> Round:
        """Measure both ways of batching with as many rows as there are streams; `number` is the round's."""
        ways = [self.inflight[streams], self.static[streams]]
        found: dict[Streams, dict[Clock, Measured]] = {}
        for turn in range(turns):
            order.shuffle(ways)
            for way in ways:
                new = way.run(requests_of(number * turns + turn), streams, count)
                found[way] = {clock: found[way][clock] + new[clock] for clock in new} if turn else new
        return {
            f"{clock}_{name}_{streams}": value
            for clock, inflight in found[self.inflight[streams]].items()
            for name, value in compared(inflight, found[self.static[streams]][clock]).items()
        }

    def _compare_prefix(self, seed: int, order: random.Random) -> Round:
        """Measure the time to the first token of prompts that begin alike, with reuse and without, one at a time."""
        ways = [self.inflight[1], self.without_reuse]
        order.shuffle(ways)
        found = {way: way.run(prefixed_requests_of(seed), 1, PREFIX_REQUESTS) for way in ways}
        values: Round = {}
        for clock, reused in found[self.inflight[1]].items():
            reused_ms, read_ms = median(reused.ttft_ms), median(found[self.without_reuse][clock].ttft_ms)
            values[f"{clock}_prefix_ttft_ratio"] = reused_ms / read_ms
            values[f"{clock}_prefix_ttft_p50_ms"] = reused_ms
            values[f"{clock}_no_reuse_ttft_p50_ms"] = read_ms
        return values

    def _open(self, kernels: Kernels, streams: int, batching: type[InflightBatch]) -> Streams:
        return Streams(CpuEngine(kernels, Options(max_batch_size=streams), batching))


def compared(inflight: Measured, static: Measured) -> Round:
    """Return the numbers of two closed loops over the same requests, and their ratios."""
    return {
        "throughput_ratio": inflight.tokens_per_s / static.tokens_per_s,
        "ttft_ratio": median(static.ttft_ms) / median(inflight.ttft_ms),
        "itl_p99_over_p50": quantile(inflight.itl_ms, 0.99) / median(inflight.itl_ms),
        "static_itl_p99_over_p50": quantile(static.itl_ms, 0.99) / median(static.itl_ms),
        "inflight_tokens_per_s": inflight.tokens_per_s,
        "static_tokens_per_s": static.tokens_per_s,
        "inflight_ttft_p50_ms": median(inflight.ttft_ms),
        "static_ttft_p50_ms": median(static.ttft_ms),
        "inflight_itl_p50_ms": median(inflight.itl_ms),
        "inflight_itl_p99_ms": quantile(inflight.itl_ms, 0.99),
        "static_itl_p50_ms": median(static.itl_ms),
        "static_itl_p99_ms": quantile(static.itl_ms, 0.99),
    }


def requests_of(seed: int) -> Iterator[Request]:
    """Yield requests without end: prompts of 16 to 256 tokens, answers of 8 to 256."""
    values = np.random.default_rng(seed)
    while True:
        tokens = values.integers(0, Dimensions.vocab, values.integers(16, 257)).astype(np.int32)
        yield Request(tokens, int(values.integers(8, 257)))


def prefixed_requests_of(seed: int) -> Iterator[Request]:
    """Yield requests whose first 200 tokens are the same, with 16 to 64 of their own and short answers."""
    values = np.random.default_rng(seed)
    prefix = values.integers(0, Dimensions.vocab, PREFIX_TOKENS)
    while True:
        own = values.integers(0, Dimensions.vocab, values.integers(16, 65))
        yield Request(np.concatenate([prefix, own]).astype(np.int32), 8)


class Streams:
    """An engine under a closed loop: every stream sends its next request when its last one is answered.

    The engine stays between measurements, as a server's does: its memory is touched, its bindings are made.
    """

    def __init__(self, engine: CpuEngine) -> None:
        self._engine = engine
        self._loop: _Loop | None = None
        engine.start(self._on_step)

    def run(self, requests: Iterator[Request], streams: int, wanted: int) -> dict[Clock, Measured]:
        """Run until so many requests are answered. The first request of each stream is not in the times."""
        loop = self._loop = _Loop(self._engine, requests, streams, wanted)
        for _ in range(streams):
            loop.send(NO_TIME)
        _require(loop.is_over, f"{wanted} answers to {streams} streams")
        for request in list(loop.open):
            self._engine.cancel(request)
        _require(loop.is_empty, "the end of what was cancelled")
        return loop.measured()

    def close(self) -> None:
        """End the engine."""
        self._engine.close()

    def _on_step(self, events: Sequence[Event]) -> None:
        if self._loop is not None:
            self._loop.note(events)


@dataclass
class _Loop:
    """One closed loop; every event is told by the engine's thread."""

    engine: CpuEngine
    requests: Iterator[Request]
    streams: int  # whose first request is still to be sent
    wanted: int  # answers
    open: dict[Request, Times] = field(default_factory=dict)  # when the newest token came, or the request was sent
    warm: set[Request] = field(default_factory=set)  # whose times count
    begun: set[Request] = field(default_factory=set)
    ttft: list[Times] = field(default_factory=list)
    itl: list[Times] = field(default_factory=list)
    tokens: int = 0
    answered: int = 0
    begin: Times = NO_TIME
    end: Times = NO_TIME
    is_over: threading.Event = field(default_factory=threading.Event)
    is_empty: threading.Event = field(default_factory=threading.Event)

    def send(self, now: Times) -> None:
        """Send the next request."""
        request = next(self.requests)
        if self.streams:
            self.streams -= 1
        else:
            self.warm.add(request)
        self.open[request] = now
        self.engine.submit(request)

    def note(self, events: Sequence[Event]) -> None:
        """Note times; where an answer is complete, its stream sends the next request."""
        now = (time.perf_counter(), time.thread_time())
        if self.begin is NO_TIME:
            self.begin = now
        for event in events:
            if event.finish:
                self._finish(event.request, now, len(event.tokens))
            else:
                self._token(event.request, now)
        if self.end is NO_TIME and self.answered >= self.wanted:
            self.end = now
            self.is_over.set()
        if self.end is not NO_TIME and not self.open:
            self.is_empty.set()

    def measured(self) -> dict[Clock, Measured]:
        """Return what was measured, by both clocks."""
        return {
            clock: Measured(
                self.tokens,
                self.end[place] - self.begin[place],
                [1000 * times[place] for times in self.ttft],
                [1000 * times[place] for times in self.itl],
            )
            for place, clock in enumerate(get_args(Clock))
        }

    def _token(self, request: Request, now: Times) -> None:
        if self.end is not NO_TIME:
            return
        self.tokens += 1
        if request in self.warm:
            before = self.open[request]
            times = self.itl if request in self.begun else self.ttft
            times.append((now[0] - before[0], now[1] - before[1]))
            self.begun.add(request)
        self.open[request] = now

    def _finish(self, request: Request, now: Times, tokens: int) -> None:
        if tokens:
            self._token(request, now)
        del self.open[request]
        if self.end is NO_TIME:
            self.answered += 1
            self.send(now)


def _require(event: threading.Event, what: str) -> None:
    if not event.wait(LIMIT_S):
        raise ServerError(f"the engine did not give {what} within {LIMIT_S} s")


def described(values: Sequence[float]) -> dict[str, float]:
    """Return the median over the rounds, and its interval."""
    interval = median_interval(values)
    numbers = {"median": median(values), "low": interval.low, "high": interval.high, "coverage": interval.coverage}
    return {key: round(value, 4) for key, value in numbers.items()}


def as_markdown(summary: Mapping[str, Mapping[str, float]]) -> str:
    """Return the numbers as a table, with the goals."""
    rows = [
        *((f"throughput, in-flight / static, {s} streams", f"throughput_ratio_{s}") for s in STREAMS),
        *((f"in-flight, {s} streams: tokens/s", f"inflight_tokens_per_s_{s}") for s in STREAMS),
        *((f"TTFT p50, static / in-flight, {s} streams", f"ttft_ratio_{s}") for s in STREAMS),
        ("in-flight TTFT p50 at 16, ms", "inflight_ttft_p50_ms_16"),
        *((f"in-flight ITL p99 / p50, {s} streams", f"itl_p99_over_p50_{s}") for s in STREAMS),
        ("static ITL p99 / p50 at 16: the machine's own unrest", "static_itl_p99_over_p50_16"),
        ("in-flight ITL p50 at 16, ms", "inflight_itl_p50_ms_16"),
        ("200 tokens of shared prefix: TTFT with reuse / without", "prefix_ttft_ratio"),
        ("TTFT p50 with reuse, ms", "prefix_ttft_p50_ms"),
    ]
    lines = ["| | median | interval | by CPU time | interval | goal |", "|---|---|---|---|---|---|"]
    for text, key in rows:
        numbers = []
        for clock in get_args(Clock):
            value = summary[f"{clock}_{key}"]
            numbers += [f"{value['median']:.4g}", f"{value['low']:.4g} to {value['high']:.4g}"]
        lines.append(f"| {text} | {' | '.join(numbers)} | {GOALS.get(key, '')} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
