"""Run a gate: pair after pair until a look decides, all pairs are there, or the time is out."""

from __future__ import annotations

import datetime
import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path

from tritonsmith.backends.client.control import Control
from tritonsmith.backends.server.embedded import Server
from tritonsmith.generator.console import Progress
from tritonsmith.generator.errors import ServerError
from tritonsmith.perf.gate.answers import ask, find_difference
from tritonsmith.perf.gate.core import Failure, Run, Side, Verdict
from tritonsmith.perf.gate.decide import judge
from tritonsmith.perf.gate.document import Contender, Gate, GatePlan
from tritonsmith.perf.gate.fingerprint import Fingerprint, fingerprint_of
from tritonsmith.perf.gate.measure import PROBE_MS, Bench, choose_window_ms, measure_run, warm_up
from tritonsmith.perf.gate.pairs import PlannedPair, plan_pairs
from tritonsmith.perf.gate.ratios import SIDES, find_failures, log_ratios
from tritonsmith.perf.gate.refusals import find_refusals
from tritonsmith.perf.gate.servers import SideError, generation
from tritonsmith.perf.gate.spending import LOOKS
from tritonsmith.perf.measure.analyzer import AnalyzerTool, analyzer_version
from tritonsmith.perf.measure.load import Load
from tritonsmith.perf.measure.machine import read_environment
from tritonsmith.perf.sweep import is_decoupled, only_model, read_configs, repository_digest
from tritonsmith.perf.target import Target, embedded_target

SMALLEST_PAIR_S = 1.0
# Writes the input data for a served model and returns the file, and what it is called in the report.
WriteInputs = Callable[[str, Target], tuple[Path, str]]


@dataclass(frozen=True)
class Wish:
    """What is to be compared; `model` is empty where it is the only one. `answers_within` is a share of the largest."""

    plan: GatePlan
    names: Mapping[Side, str]
    repositories: Mapping[Side, Path]
    write_inputs: WriteInputs
    answers_within: float
    is_self_test: bool = False


@dataclass
class Course:
    """How far a gate has come; it grows while the gate runs."""

    started_at: str
    begun_s: float = field(default_factory=time.monotonic)
    bench: Bench | None = None
    machine: Fingerprint | None = None
    contenders: dict[Side, Contender] = field(default_factory=dict)
    runs: list[Run] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    pairs: int = 0
    pair_s: list[float] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """Return how long it has taken so far."""
        return time.monotonic() - self.begun_s

    def has_time(self, budget_s: float) -> bool:
        """Tell whether another pair, as long as the longest of the last three, ends within the budget."""
        return self.seconds + max(self.pair_s[-3:], default=SMALLEST_PAIR_S) <= budget_s


def run_gate(wish: Wish, tool: AnalyzerTool, folder: Path, progress: Progress) -> Gate:
    """Compare the candidate with the baseline and return the whole gate.

    Raises: ServerError where the baseline does not serve; a candidate that does not is a verdict. UsageError.
    """
    course = Course(datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="milliseconds"))
    plan = wish.plan
    verdict = _verdict(plan, course)
    for planned in plan_pairs(plan.loads, plan.seed):
        if planned.number >= LOOKS[-1] or not course.has_time(plan.budget_s):
            break
        progress.update(course.pairs, f"pair {planned.number + 1}")
        plan = _add_pair(replace(wish, plan=plan), tool, folder, course, planned)
        if course.pairs in LOOKS or course.failures:
            verdict = _verdict(plan, course)
            if verdict.word != "inconclusive" or verdict.refusals or course.failures:
                break
    if verdict.word == "inconclusive" and not verdict.refusals:
        verdict = _verdict(plan, course, is_last=True)
    progress.update(course.pairs)
    return _gate(replace(wish, plan=plan), course, verdict)


def _add_pair(wish: Wish, tool: AnalyzerTool, folder: Path, course: Course, planned: PlannedPair) -> GatePlan:
    """Measure a pair in a generation of its own; the first one also says which model it is, and compares answers.

    Returns the plan, completed.
    """
    begun_s, plan = time.monotonic(), wish.plan
    try:
        with generation(wish.repositories, planned.first_started) as servers:
            if course.bench is None:
                plan = _set_up(wish, tool, folder, course, servers)
            if course.bench is not None and not course.failures:
                _measure_pair(course.bench, servers, planned, course.runs)
    except SideError as problem:
        if problem.side == "baseline":
            raise
        course.failures.append(Failure("missing point", "candidate", "it does not serve", problem.message))
    course.pairs += 1
    course.pair_s.append(time.monotonic() - begun_s)
    deciding = [tolerance.metric for tolerance in plan.tolerances]
    if not course.failures:
        course.failures += find_failures(course.runs, deciding, plan.loads, course.pairs)
    return plan


def _set_up(wish: Wish, tool: AnalyzerTool, folder: Path, course: Course, servers: Mapping[Side, Server]) -> GatePlan:
    """Find out what is compared, on which machine, and whether both answer alike; return the completed plan."""
    targets = {side: embedded_target(server) for side, server in servers.items()}
    model = wish.plan.model or only_model(targets["baseline"].control)
    configs = {side: _configs(targets[side].control, model, side) for side in SIDES}
    if configs["candidate"] is None or configs["baseline"] is None:
        course.failures.append(Failure("missing point", "candidate", model, "the candidate does not have this model"))
        return replace(wish.plan, model=model)
    input_data, called = wish.write_inputs(model, targets["baseline"])
    plan = replace(wish.plan, model=model, input_data=called)
    environment = read_environment(
        str(targets["baseline"].control.server_metadata().get("version", "unknown")), analyzer_version(tool)
    )
    course.machine = fingerprint_of(environment)
    course.bench = Bench(plan, tool, folder, input_data, is_decoupled(configs["baseline"]), environment.cores)
    warm_up(replace(course.bench, plan=replace(plan, window_ms=PROBE_MS)), servers["baseline"], plan.loads[0])
    if not plan.window_ms:
        plan = replace(plan, window_ms=choose_window_ms(course.bench, servers["baseline"]))
        course.bench = replace(course.bench, plan=plan)
    for side in SIDES:
        models = tuple(configs[side] or ())
        facts = [configs[side], repository_digest(wish.repositories[side], models)]
        identity = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
        course.contenders[side] = Contender(wish.names[side], identity, targets[side].notices(models))
    course.failures += _compare_answers(course.bench, servers, wish.answers_within)
    return plan


def _configs(control: Control, model: str, side: Side) -> dict[str, dict[str, object]] | None:
    """Return the configurations of the model and its steps; None where the candidate does not have it.

    Raises: ServerError where the baseline does not.
    """
    try:
        return read_configs(control, model)
    except ServerError:
        if side == "baseline":
            raise
        return None


def _compare_answers(bench: Bench, servers: Mapping[Side, Server], within: float) -> list[Failure]:
    """Return what the candidate answers otherwise than the baseline, which is asked twice.

    Where the baseline itself does not answer twice alike (a model that samples), there is nothing to compare with.

    Raises: ServerError where the baseline fails a request.
    """
    urls = {side: server.grpc_url for side, server in servers.items()}
    expected = ask(urls["baseline"], bench.plan.model, bench.input_data)
    if find_difference(expected, ask(urls["baseline"], bench.plan.model, bench.input_data), within):
        return []
    try:
        got = ask(urls["candidate"], bench.plan.model, bench.input_data)
    except ServerError as problem:
        return [Failure("errors", "candidate", "the first rows of the input", problem.message)]
    said = find_difference(expected, got, within)
    return [Failure("wrong outputs", "candidate", "the first rows of the input", said)] if said else []


def _measure_pair(bench: Bench, servers: Mapping[Side, Server], planned: PlannedPair, runs: list[Run]) -> None:
    for side in dict.fromkeys(turn.side for turn in planned.turns):
        warm_up(bench, servers[side], _warm_up_load(bench.plan.loads))
    runs += [measure_run(bench, servers.values(), servers[turn.side], planned.number, turn) for turn in planned.turns]


def _warm_up_load(loads: Sequence[Load]) -> Load:
    """Return the highest concurrency; a rate could leave a new server with a queue."""
    return Load("concurrency", max((load.value for load in loads if load.kind == "concurrency"), default=4))


def _verdict(plan: GatePlan, course: Course, *, is_last: bool = False) -> Verdict:
    cores = course.bench.cores if course.bench else 1
    return judge(
        log_ratios(course.runs),
        plan.tolerances,
        failures=course.failures,
        refusals=find_refusals(course.runs, cores),
        is_last=is_last,
    )


def _gate(wish: Wish, course: Course, verdict: Verdict) -> Gate:
    sides = {side: course.contenders.get(side, Contender(wish.names[side], "")) for side in SIDES}
    return Gate(
        plan=wish.plan,
        machine=course.machine or fingerprint_of(read_environment("unknown", "unknown")),
        baseline=sides["baseline"],
        candidate=sides["candidate"],
        started_at=course.started_at,
        seconds=round(course.seconds, 1),
        runs=tuple(course.runs),
        verdict=verdict,
        tritonsmith=version("tritonsmith"),
        is_self_test=wish.is_self_test,
    )
