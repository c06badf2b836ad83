"""Measure one side alone: to store it as a baseline, or to compare it with a stored one."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from importlib.metadata import version
from itertools import islice
from pathlib import Path

from tritonsmith.generator.console import Progress
from tritonsmith.generator.errors import ServerError, UnstableError
from tritonsmith.perf.files import writing
from tritonsmith.perf.gate.answers import pack, unpack
from tritonsmith.perf.gate.document import Contender, Gate
from tritonsmith.perf.gate.pairs import PlannedPair, plan_pairs
from tritonsmith.perf.gate.refusals import find_refusals
from tritonsmith.perf.gate.run import Course, add_pair
from tritonsmith.perf.gate.setup import Setting, Wish, find_setting, wrong_outputs
from tritonsmith.perf.gate.stored import (
    Session,
    StoredBaseline,
    judge_stored,
    read_baseline,
    require_same_plan,
    session_values,
    stored_points,
    with_session,
    write_baseline,
)
from tritonsmith.perf.measure.analyzer import SCRATCH_PREFIX, AnalyzerTool
from tritonsmith.perf.measure.fingerprint import require_same
from tritonsmith.perf.measure.machine import now

GENERATIONS = 12  # of a session: fresh servers, each measured four times at each load


def store_session(wish: Wish, tool: AnalyzerTool, folder: Path, progress: Progress, path: Path) -> StoredBaseline:
    """Measure the wish's only side and add the session to the stored baseline in `path`, which may not exist yet.

    Raises: ServerError where it does not serve; UnstableError where the machine is in no state to measure, or the
    baseline is another machine's; UsageError where it was measured otherwise.
    """
    stored = read_baseline(path) if path.exists() else None
    setting, course = _measure(wish, tool, folder, progress, stored, path, is_judged=False)
    if course.failures:
        raise ServerError(str(course.failures[0]), hint="a baseline has to serve")
    refusals = find_refusals(course.runs, setting.machine.cores)
    if refusals:
        raise UnstableError(f"not stored: {refusals[0]}", hint="measure again when the machine is quiet")
    side = setting.contenders["candidate"]
    session = Session(course.started_at, side.identity, stored_points(course.runs))
    empty = StoredBaseline(side.name, setting.plan, setting.input_digest, setting.machine, (), [])
    stored = replace(with_session(stored or empty, session), name=side.name, answers=pack(setting.answers))
    write_baseline(stored, path)
    return stored


def run_against_stored(wish: Wish, tool: AnalyzerTool, folder: Path, progress: Progress, path: Path) -> Gate:
    """Measure the wish's only side, the candidate, and judge it against the stored baseline in `path`.

    Raises: UnstableError that names what differs, where the baseline is another machine's; UsageError where it was
    measured otherwise.
    """
    stored = read_baseline(path)
    setting, course = _measure(wish, tool, folder, progress, stored, path, is_judged=True)
    refusals = find_refusals(course.runs, setting.machine.cores)
    points = stored_points(course.runs)
    tolerances = setting.plan.tolerances
    verdict = judge_stored(stored, points, tolerances, failures=course.failures, refusals=refusals)
    point = (tolerances[0].metric, setting.plan.loads[0])
    return Gate(
        plan=setting.plan,
        machine=setting.machine,
        baseline=Contender(str(path), stored.sessions[-1].identity if stored.sessions else ""),
        candidate=setting.contenders["candidate"],
        started_at=course.started_at,
        seconds=round(course.seconds, 1),
        runs=tuple(course.runs),
        verdict=verdict,
        tritonsmith=version("tritonsmith"),
        stored_sessions=len(session_values(stored.sessions, point)),
    )


def _measure(
    wish: Wish,
    tool: AnalyzerTool,
    folder: Path,
    progress: Progress,
    stored: StoredBaseline | None,
    path: Path,
    *,
    is_judged: bool,
) -> tuple[Setting, Course]:
    """Measure generations of the only side, under the stored baseline's plan where there is one."""
    course = Course(now())
    if stored is not None:
        wish = replace(wish, plan=replace(wish.plan, window_ms=stored.plan.window_ms))
    with writing(folder):
        scratch = tempfile.TemporaryDirectory(dir=folder, prefix=SCRATCH_PREFIX)
    with scratch as place:
        setting = find_setting(wish, tool, folder, Path(place))
        course.failures += setting.failures
        if stored is not None and not course.failures:
            require_same(stored.machine, setting.machine, where=str(path))
            require_same_plan(stored, setting.plan, setting.input_digest, where=str(path))
            if is_judged:  # a new baseline may answer otherwise than the one before
                course.failures += wrong_outputs(unpack(stored.answers), setting.answers, wish.answers_within)
        for planned in islice(plan_pairs(setting.plan.loads, setting.plan.seed), GENERATIONS):
            if course.failures or not course.has_time(setting.plan):
                break
            progress.update(course.pairs, f"generation {planned.number + 1}")
            setting = add_pair(wish, setting, course, _alone(planned))
        progress.update(course.pairs)
    return setting, course


def _alone(planned: PlannedPair) -> PlannedPair:
    """Return the candidate's half of a pair."""
    turns = tuple(turn for turn in planned.turns if turn.side == "candidate")
    return PlannedPair(planned.number, "candidate", turns)
