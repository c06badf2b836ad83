"""Run a gate: pair after pair until a look decides, all pairs are there, or the time is out."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from itertools import islice
from pathlib import Path

from tritonsmith.backends.server.embedded import Server
from tritonsmith.generator import console
from tritonsmith.generator.console import Progress
from tritonsmith.generator.errors import ServerError
from tritonsmith.perf.files import writing
from tritonsmith.perf.gate.core import Failure, Run, Side, Verdict
from tritonsmith.perf.gate.decide import judge
from tritonsmith.perf.gate.document import Gate, GatePlan
from tritonsmith.perf.gate.measure import Bench, measure_run, pair_seconds, warm_up
from tritonsmith.perf.gate.pairs import PlannedPair, plan_pairs
from tritonsmith.perf.gate.ratios import find_failures, log_ratios
from tritonsmith.perf.gate.refusals import find_refusals, too_short
from tritonsmith.perf.gate.servers import SideError, generation
from tritonsmith.perf.gate.settled import served_configs
from tritonsmith.perf.gate.setup import Setting, Wish, find_setting
from tritonsmith.perf.gate.spending import LOOKS
from tritonsmith.perf.gate.unfinished import Unfinished, find_unfinished, forget, keep
from tritonsmith.perf.measure.analyzer import SCRATCH_PREFIX, AnalyzerTool, EndedError, HungError
from tritonsmith.perf.measure.load import Load
from tritonsmith.perf.measure.machine import now


@dataclass
class Course:
    """How far a gate has come; it grows while the gate runs."""

    started_at: str
    begun_s: float = field(default_factory=time.monotonic)
    runs: list[Run] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    pairs: int = 0
    pair_s: list[float] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """Return how long it has taken so far."""
        return time.monotonic() - self.begun_s

    def has_time(self, plan: GatePlan) -> bool:
        """Tell whether another pair, as long as the longest of the last three, ends within the budget."""
        return self.seconds + max(self.pair_s[-3:], default=pair_seconds(plan)) <= plan.budget_s

    def take_up(self, kept: Unfinished) -> None:
        """Go on where an interrupted gate was; the time that it took counts."""
        self.started_at = kept.started_at
        self.begun_s -= kept.seconds
        self.runs, self.pairs = list(kept.runs), kept.pairs


def run_gate(wish: Wish, tool: AnalyzerTool, folder: Path, progress: Progress) -> Gate:
    """Compare the candidate with the baseline and return the whole gate.

    An interrupted gate leaves its whole pairs in the folder; the same gate, begun again soon, goes on after them.

    Raises: ServerError where the baseline does not serve; a candidate that does not is a verdict. UsageError.
    """
    course = Course(now())
    with writing(folder):
        scratch = tempfile.TemporaryDirectory(dir=folder, prefix=SCRATCH_PREFIX)
    with scratch as place:
        setting = find_setting(wish, tool, folder, Path(place))
        course.failures += setting.failures
        if not course.failures:
            setting = _taken_up(setting, course, folder)
        verdict = _measure_until_decided(wish, setting, course, folder, progress)
    forget(folder)
    return _gate(wish, setting, course, verdict)


def _taken_up(setting: Setting, course: Course, folder: Path) -> Setting:
    kept = find_unfinished(folder, setting.identity)
    if not kept or not setting.bench:
        return setting
    console.say(f"note: pairs kept of an interrupted gate of the same two: {kept.pairs}")
    course.take_up(kept)
    plan = replace(setting.plan, window_ms=kept.window_ms)
    return replace(setting, plan=plan, bench=replace(setting.bench, plan=plan))


def _measure_until_decided(wish: Wish, setting: Setting, course: Course, folder: Path, progress: Progress) -> Verdict:
    refusals = too_short(setting.plan.budget_s, course.seconds, pair_seconds(setting.plan)) if not course.runs else ()
    verdict = _verdict(setting, course, refusals)
    if verdict.refusals:
        return verdict
    for planned in islice(plan_pairs(setting.plan.loads, setting.plan.seed), course.pairs, LOOKS[-1]):
        if course.failures or not course.has_time(setting.plan):
            break
        progress.update(course.pairs, f"pair {planned.number + 1}")
        setting = add_pair(wish, setting, course, planned)
        if course.pairs in LOOKS or course.failures:
            verdict = _verdict(setting, course)
            # what spoilt the first look may pass; what spoils the second one stays
            if verdict.word != "inconclusive" or course.failures or (verdict.refusals and course.pairs > LOOKS[0]):
                break
        keep(_unfinished(setting, course), folder)
    if verdict.word == "inconclusive":
        verdict = _verdict(setting, course, is_last=True)
    progress.update(course.pairs)
    return verdict


def add_pair(wish: Wish, setting: Setting, course: Course, planned: PlannedPair) -> Setting:
    """Measure a pair in a generation of its own and return the setting for the next one."""
    begun_s = time.monotonic()
    try:
        setting = _measure_pair(wish, setting, planned, course.runs)
    except SideError as problem:
        if problem.side == "baseline":
            raise
        course.failures.append(Failure("missing point", "candidate", "it does not serve", problem.message))
    course.pairs += 1
    course.pair_s.append(time.monotonic() - begun_s)
    deciding = [tolerance.metric for tolerance in setting.plan.tolerances]
    if not course.failures:
        course.failures += find_failures(
            course.runs, deciding, setting.plan.loads, course.pairs, tuple(wish.repositories)
        )
    return setting


def _measure_pair(wish: Wish, setting: Setting, planned: PlannedPair, runs: list[Run]) -> Setting:
    """Measure a pair on settled repositories, or on the given ones where those do not serve the same.

    Raises: SideError.
    """
    if setting.settled is not None:
        are_same = False
        try:
            with generation(setting.settled, planned.first_started, are_settled=True) as servers:
                are_same = _serve_the_same(setting, servers)
                if are_same:
                    _measure_turns(setting, servers, planned, runs)
                    return setting
        except SideError:  # said again below where it is not the settling
            if are_same:
                raise
        console.say("note: with completed configurations it is not served the same; each start completes them anew")
        setting = replace(setting, settled=None)
    with generation(wish.repositories, planned.first_started) as servers:
        _measure_turns(setting, servers, planned, runs)
    return setting


def _serve_the_same(setting: Setting, servers: Mapping[Side, Server]) -> bool:
    configs = setting.configs or {}
    return all(served_configs(server.control) == configs.get(side) for side, server in servers.items())


def _measure_turns(setting: Setting, servers: Mapping[Side, Server], planned: PlannedPair, runs: list[Run]) -> None:
    bench = setting.bench
    if bench is None:
        return
    for side in dict.fromkeys(turn.side for turn in planned.turns):
        _warm_up(bench, side, servers[side])
    runs += [measure_run(bench, servers.values(), servers[turn.side], planned.number, turn) for turn in planned.turns]


def _warm_up(bench: Bench, side: Side, server: Server) -> None:
    """Let a side's new server answer for a while.

    Raises: SideError where it does not; HungError, EndedError where it is perf_analyzer that fails.
    """
    try:
        warm_up(bench, server, _warm_up_load(bench.plan.loads))
    except (HungError, EndedError):
        raise
    except ServerError as problem:
        raise SideError(side, problem) from None


def _warm_up_load(loads: Sequence[Load]) -> Load:
    """Return the highest concurrency; a rate could leave a new server with a queue."""
    return Load("concurrency", max((load.value for load in loads if load.kind == "concurrency"), default=4))


def _verdict(setting: Setting, course: Course, refusals: Sequence[str] = (), *, is_last: bool = False) -> Verdict:
    return judge(
        log_ratios(course.runs),
        setting.plan.tolerances,
        failures=course.failures,
        refusals=[*refusals, *find_refusals(course.runs, setting.machine.cores)],
        is_last=is_last,
    )


def _unfinished(setting: Setting, course: Course) -> Unfinished:
    return Unfinished(
        identity=setting.identity,
        started_at=course.started_at,
        window_ms=setting.plan.window_ms,
        seconds=course.seconds,
        pairs=course.pairs,
        runs=tuple(course.runs),
        written_s=time.time(),
    )


def _gate(wish: Wish, setting: Setting, course: Course, verdict: Verdict) -> Gate:
    return Gate(
        plan=setting.plan,
        machine=setting.machine,
        baseline=setting.contenders["baseline"],
        candidate=setting.contenders["candidate"],
        started_at=course.started_at,
        seconds=round(course.seconds, 1),
        runs=tuple(course.runs),
        verdict=verdict,
        tritonsmith=version("tritonsmith"),
        is_self_test=wish.is_self_test,
    )
