"""The live arena: candidates are brought onto one running server, measured there, and all is written down."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from tritonsmith.backends.client.configs import as_json, as_submitted
from tritonsmith.generator import console
from tritonsmith.generator.errors import ServerError, UnstableError
from tritonsmith.perf.identity import identity_of
from tritonsmith.perf.limits import LATENCIES, Limit
from tritonsmith.perf.measure.analyzer import (
    AnalyzerResult,
    AnalyzerRun,
    AnalyzerTool,
    EndedError,
    analyzer_version,
)
from tritonsmith.perf.measure.load import Load
from tritonsmith.perf.measure.machine import read_environment
from tritonsmith.perf.measure.measurement import summarise_latencies
from tritonsmith.perf.measure.streams import Goals, good_requests, measure_streams
from tritonsmith.perf.overrides import overrides
from tritonsmith.perf.pipelines import called_configs, known_calls
from tritonsmith.perf.served import is_decoupled, read_configs
from tritonsmith.perf.target import Target
from tritonsmith.perf.tune.arena.allowance import Allowance
from tritonsmith.perf.tune.arena.bench import Bench
from tritonsmith.perf.tune.arena.journal import Journal, identity_digest
from tritonsmith.perf.tune.arena.predict import Predictor
from tritonsmith.perf.tune.arena.probes import probe_models
from tritonsmith.perf.tune.core import Candidate, Trial
from tritonsmith.perf.undoing import undo_leftovers
from tritonsmith.perf.variants import changed_configs

NOTABLE_S = 0.2
TIME = {"time": "as it passes"}
_TRIAL = TypeAdapter(Trial)


@contextlib.contextmanager
def live_arena(
    target: Target,
    model: str,
    input_data: Path,
    tool: AnalyzerTool,
    folder: Path,
    *,
    limits: Sequence[Limit] = (),
    begun_s: float | None = None,
    seed: int = 0,
) -> Iterator[LiveArena]:
    """Give an arena on a running server; afterwards the server serves what it did before.

    `model` is what is sent to, a pipeline or a model; candidates may change it and every model below it. `limits` on
    time make an answer a good one. `begun_s` (of time.monotonic) is when tuning began, by default now. `folder` holds
    the journal: what was measured there before, of the same configurations, files, input and machine, is not measured
    again, and the seconds that it took count.

    Raises: UsageError where another command changes the same server; ServerError.
    """
    begun_s = time.monotonic() if begun_s is None else begun_s
    undo_leftovers(target)
    configs = read_configs(target.control, model)
    calls = known_calls(target.repository)
    served = {name: as_submitted(config) for name, config in configs.items()}
    called = called_configs(target.control, served, calls)
    configs |= {name: as_json(config) for name, config in called.items()}
    goals = goals_of(limits)
    environment = read_environment(
        str(target.control.server_metadata().get("version", "unknown")), analyzer_version(tool)
    )
    facts = [identity_of(target, configs, input_data, environment), model, seed, str(goals)]
    journal = Journal(folder, identity_digest({"arena": facts}))
    if journal.answers:
        console.say(f"note: {journal.answers} answers are kept in {journal.path}")
    task = AnalyzerRun(
        model=model,
        url=target.grpc_url,
        load=Load("concurrency", 1),
        input_data=input_data.absolute(),
        is_decoupled=is_decoupled(configs),
        seed=1000 * seed,
    )
    with overrides(target, configs) as changes:
        yield LiveArena(Bench(target, tool, folder, task, changes, calls), journal, goals, begun_s)


class LiveArena:
    """An `Arena` on a live server. What was asked before, in the same order, is answered from the journal."""

    def __init__(self, bench: Bench, journal: Journal, goals: Goals, begun_s: float) -> None:
        self.bench = bench
        self._journal = journal
        self._goals = goals
        self._begun_s = begun_s
        self._before_s: float | None = None  # spent by earlier runs; known once all their answers are given out
        self._generation = 0
        self._is_warm = False

    @property
    def spent_s(self) -> float:
        """Seconds since tuning began, those of earlier runs included.

        What passes between two answers is written down too where it is notable, so that who asks again in the same
        order reads the same.
        """
        if self._journal.is_next(TIME):
            self._journal.answer(TIME)
        elif not self._journal.is_replaying and self._now_s() - self._journal.spent_s > NOTABLE_S:
            self._journal.add(TIME, {}, self._now_s())
        return self._journal.spent_s

    def _now_s(self) -> float:
        if self._before_s is None:
            self._before_s = self._journal.spent_s
        return self._before_s + time.monotonic() - self._begun_s

    def measure(self, candidate: Candidate, load: Load, *, window_ms: int, is_fresh: bool) -> Trial:
        """Measure once; the candidate is loaded where it is not, with `is_fresh` even where it is.

        A candidate that does not load or that fails requests gives a trial with `failure`.
        Raises: ServerError where the server itself is gone, or perf_analyzer does not work.
        """
        question = {
            "candidate": candidate.name,
            "variant": dict(candidate.variant),
            "load": [load.kind, float(load.value)],
            "window_ms": window_ms,
            "is_fresh": is_fresh,
        }
        return _TRIAL.validate_python(
            self._asked(question, lambda: self._trial(candidate, load, window_ms, is_fresh=is_fresh))
        )

    def calibrate(self, candidates: Sequence[Candidate], *, until_s: float = math.inf) -> Predictor:
        """Probe the models that the candidates change, and return what predicts any of them at any load.

        Past `until_s` of the seconds since tuning began only what predictions cannot do without is probed.
        Raises: ServerError where the server is gone, or perf_analyzer does not work.
        """
        allowance = Allowance(lambda: self._journal.spent_s, until_s)
        return Predictor(probe_models(self.bench, candidates, self._asked, allowance), self._goals, len(candidates))

    def _asked(self, question: Mapping[str, Any], ask: Callable[[], Mapping[str, Any]]) -> Mapping[str, Any]:
        """Return the answer that is written down, else ask and write it down."""
        while self._journal.is_next(TIME):
            self._journal.answer(TIME)
        known = self._journal.answer(question)
        if known is None:
            self._now_s()  # settles what earlier runs spent
            known = ask()
            self._journal.add(question, known, self._now_s())
        self._generation = max(self._generation, int(known.get("generation", 0)))
        return known

    def _trial(self, candidate: Candidate, load: Load, window_ms: int, *, is_fresh: bool) -> Mapping[str, Any]:
        begun_s = time.monotonic()
        try:
            changed = changed_configs(candidate.variant, self.bench.changes.base)
            if self.bench.changes.bring(changed, where=candidate.name, is_fresh=is_fresh) or not self._is_warm:
                self._generation, self._is_warm = self._generation + 1, True
                self.bench.warm_up(load)
            seed = self.bench.task.seed + self._journal.answers
            result, window_ms = self.bench.run_patiently(load, window_ms, seed)
            figures = figures_of(result, self._goals) | {"memory_mib": round(self.bench.memory_mib(), 1)}
        except EndedError:  # twice: somebody means it
            raise
        except (ServerError, UnstableError) as problem:
            self.bench.require_server(problem)
            figures = {"failure": " ".join(problem.message.split())[:500]}
        trial = Trial(
            candidate.name, load, self._generation, window_ms, seconds=round(time.monotonic() - begun_s, 4), **figures
        )
        answer: dict[str, Any] = _TRIAL.dump_python(trial)
        return answer


def figures_of(result: AnalyzerResult, goals: Goals) -> dict[str, Any]:
    """Return the figures of a trial: rates per second, latencies in milliseconds."""
    profile = result.profile
    latency = summarise_latencies(profile.latencies_us)
    streams = measure_streams(profile)
    is_streaming = "Response Throughput" in result.columns
    return {
        "throughput_per_s": round(profile.throughput_per_s, 3),
        "good_per_s": round(good_requests(streams, goals) / profile.measured_s, 3),
        "requests": latency.requests,
        "mean_ms": latency.mean_us / 1e3,
        "p50_ms": latency.p50_us / 1e3,
        "p90_ms": latency.p90_us / 1e3,
        "p95_ms": latency.p95_us / 1e3,
        "p99_ms": latency.p99_us / 1e3,
        "ttft_ms": streams.ttft.p99_us / 1e3 if is_streaming else 0.0,
        "tpot_ms": streams.tpot.p99_us / 1e3 if is_streaming and streams.tpot else 0.0,
    }


def goals_of(limits: Sequence[Limit]) -> Goals:
    """Return what a single request must keep of limits on quantiles: of several on latency the longest."""
    at_most = {limit.metric: limit.at_most for limit in limits}
    latencies = [limit.at_most for limit in limits if limit.metric in LATENCIES]
    return Goals(at_most.get("ttft_ms"), at_most.get("tpot_ms"), max(latencies, default=None))
