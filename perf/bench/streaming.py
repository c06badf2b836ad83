"""Tokens through the server against the engine alone: `python -m tritonsmith.perf.bench.streaming`.

The same 4.0 M parameter Llama, one thread, without spinning: once in this process, once behind tritonserver, where
perf_analyzer streams from it over gRPC, one token a response, nothing coalesced. A number of streams, each of which
sends its next request when its last one is answered; prompts of 16 to 256 tokens, answers of 8 to 256, uniform. In
every round both get the same new requests, one after the other, in an order that is shuffled; every ratio is between
numbers of one round.
"""

from __future__ import annotations

import random
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import click
import numpy as np

from tritonsmith.backends.python_based.tensorrtllm.llm.cpu import Options, load_engine
from tritonsmith.backends.python_based.tensorrtllm.llm.request import Event, Request
from tritonsmith.backends.server.embedded import embedded_server
from tritonsmith.backends.toolchain.find import perf_analyzer_environment, require_perf_analyzer
from tritonsmith.generator import console
from tritonsmith.generator.errors import UnstableError
from tritonsmith.generator.process import run
from tritonsmith.perf.bench.llm_model import MODEL, write_llm_model
from tritonsmith.perf.bench.random_llama import Dimensions, write_llama
from tritonsmith.perf.bench.record import write_result
from tritonsmith.perf.measure.analyzer import PROFILE_NAME, AnalyzerRun, AnalyzerTool, analyzer_argv, require_data
from tritonsmith.perf.measure.input_data import write_input_data
from tritonsmith.perf.measure.load import Load
from tritonsmith.perf.measure.profile import EmptyExportError, Profile, TruncatedExportError, read_profile
from tritonsmith.perf.statistics import median, median_interval

STREAMS = (1, 8, 32)
REQUESTS = {1: 24, 8: 64, 32: 160}  # answered in one measurement
GOALS = {"ratio_32": ">= 0.75, aimed at 0.80"}
ATTEMPTS = 4  # about one streaming export in ten is cut off, or empty
Round = dict[str, float]


@click.command()
@click.option("--rounds", default=15, show_default=True, help="How often everything is measured.")
@click.option("--quick", is_flag=True, help="3 rounds of a quarter of the requests; nothing is written.")
def main(rounds: int, quick: bool) -> None:
    """Measure what of the engine's speed is left behind the server."""
    rounds, part = (3, 4) if quick else (rounds, 1)
    counts = {streams: count // part for streams, count in REQUESTS.items()}
    with tempfile.TemporaryDirectory(prefix="tritonsmith-streaming-") as folder:
        measured = measure(Path(folder), rounds, counts)
    summary = {key: described([values[key] for values in measured]) for key in measured[0]}
    if not quick:
        write_result("streaming", {"rounds": rounds, "requests": REQUESTS, "values": summary, "goals": GOALS})
    console.result(as_markdown(summary))


def measure(folder: Path, rounds: int, counts: Mapping[int, int]) -> list[Round]:
    """Return the numbers of each round."""
    engine = write_llama(folder / "engine", Dimensions())
    write_llm_model(folder / "models", engine, max_batch_size=max(STREAMS))
    tool = AnalyzerTool(require_perf_analyzer(), perf_analyzer_environment())
    order = random.Random(0)  # noqa: S311
    measured = []
    alone = Alone(engine)
    with (
        closing(alone),
        embedded_server(folder / "models") as server,
        console.progress("rounds", total=rounds) as bar,
    ):
        for number in range(rounds):
            bar.update(number)
            values: Round = {}
            for streams in order.sample(STREAMS, len(STREAMS)):
                requests = list(islice(requests_of(1000 * number + streams), counts[streams] + 2 * streams))
                ways: dict[str, Callable[[], float]] = {
                    "engine": partial(alone.tokens_per_s, requests, streams, counts[streams]),
                    "served": partial(served, tool, server.grpc_url, requests, streams, counts[streams], folder),
                }
                found = {way: ways[way]() for way in order.sample(sorted(ways), len(ways))}
                values |= {f"{way}_tokens_per_s_{streams}": value for way, value in found.items()}
                values[f"ratio_{streams}"] = found["served"] / found["engine"]
            measured.append(values)
    return measured


class Alone:
    """The engine in this process, opened once and warm as the server's is."""

    def __init__(self, folder: Path) -> None:
        self._engine = load_engine(folder, Options(max_batch_size=max(STREAMS)))
        self._requests: Iterator[Request] = iter(())
        self._is_over = threading.Event()
        self._engine.start(self._on_step)

    def tokens_per_s(self, requests: Sequence[Request], streams: int, wanted: int) -> float:
        """Return the tokens that are made until `wanted` requests are answered, per second."""
        self._requests, self._wanted, self._tokens = iter(requests), wanted, 0
        self._open, self._answered = streams, 0
        self._is_over.clear()
        begin_s = time.perf_counter()
        for _ in range(streams):
            self._engine.submit(next(self._requests))
        self._is_over.wait()
        return self._tokens_then / (self._end_s - begin_s)

    def close(self) -> None:
        """End the engine."""
        self._engine.close()

    def _on_step(self, events: Sequence[Event]) -> None:
        """Count; where an answer is complete, its stream sends the next request. Over when all are answered."""
        for event in events:
            self._tokens += len(event.tokens)
            if event.finish:
                self._answered += 1
                if self._answered == self._wanted:
                    self._tokens_then, self._end_s = self._tokens, time.perf_counter()
                if (request := next(self._requests, None)) is None:
                    self._open -= 1
                else:
                    self._engine.submit(request)
        if not self._open:
            self._is_over.set()


def requests_of(seed: int) -> Iterator[Request]:
    """Yield requests without end: prompts of 16 to 256 tokens, answers of 8 to 256."""
    values = np.random.default_rng(seed)
    while True:
        tokens = values.integers(0, Dimensions.vocab, values.integers(16, 257)).astype(np.int32)
        yield Request(tokens, int(values.integers(8, 257)))


def served(tool: AnalyzerTool, url: str, requests: Sequence[Request], streams: int, wanted: int, folder: Path) -> float:
    """Return the tokens per second that perf_analyzer receives, counted as in this process.

    Raises: UnstableError where its export is cut off time and again.
    """
    data = write_input_data(folder / "requests.json", [_inputs(request) for request in requests])
    task = AnalyzerRun(MODEL, url, Load("concurrency", streams), input_data=data, is_decoupled=True)
    argv = analyzer_argv(tool.program, task)
    place = argv.index("--warmup-request-count")  # in count mode it measures from the first request on
    argv[place : place + 2] = ["--request-count", str(len(requests))]
    for _ in range(ATTEMPTS):
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            done = run(argv, timeout_s=120, cwd=Path(scratch), env=tool.environment, is_shown=False)
            require_data(done, Path(scratch), where=f"{MODEL} at {streams} streams")
            try:
                return tokens_per_s(read_profile(Path(scratch, PROFILE_NAME)), requests, wanted)
            except (TruncatedExportError, EmptyExportError):
                continue
    raise UnstableError(f"perf_analyzer's export was cut off {ATTEMPTS} times", where=f"{MODEL} at {streams} streams")


def tokens_per_s(profile: Profile, requests: Sequence[Request], wanted: int) -> float:
    """Return the tokens that came until `wanted` requests were answered, per second since the first was sent.

    Raises: UnstableError where a response held more than one token, or a request is not whole.
    """
    whole = sorted(request.max_new_tokens for request in requests)
    if sorted(profile.responses.tolist()) != whole:
        raise UnstableError("perf_analyzer did not get one response for each token of each request")
    end_ns = np.sort(profile.finished_ns)[wanted - 1]
    tokens = int((profile.arrived_ns <= end_ns).sum())
    return tokens / (float(end_ns - profile.sent_ns.min()) / 1e9)


def as_markdown(summary: Mapping[str, Mapping[str, float]]) -> str:
    """Return the numbers as a table, with the goal."""
    rows = [
        *((f"served / engine alone, {s} streams", f"ratio_{s}") for s in STREAMS),
        *((f"engine alone, {s} streams: tokens/s", f"engine_tokens_per_s_{s}") for s in STREAMS),
        *((f"served, {s} streams: tokens/s", f"served_tokens_per_s_{s}") for s in STREAMS),
    ]
    lines = ["| | median | interval | goal |", "|---|---|---|---|"]
    for text, key in rows:
        value = summary[key]
        interval = f"{value['low']:.4g} to {value['high']:.4g}"
        lines.append(f"| {text} | {value['median']:.4g} | {interval} | {GOALS.get(key, '')} |")
    return "\n".join(lines)


def described(values: Sequence[float]) -> dict[str, float]:
    """Return the median over the rounds, and its interval."""
    interval = median_interval(values)
    numbers = {"median": median(values), "low": interval.low, "high": interval.high, "coverage": interval.coverage}
    return {key: round(value, 4) for key, value in numbers.items()}


def _inputs(request: Request) -> dict[str, Any]:
    return {
        "input_ids": request.tokens,
        "input_lengths": np.array([len(request.tokens)], np.int32),
        "request_output_len": np.array([request.max_new_tokens], np.int32),
        "streaming": np.array([True]),
    }


if __name__ == "__main__":
    main()
