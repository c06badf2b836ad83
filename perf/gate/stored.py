"""A baseline that was measured before: kept in a file, session by session, and what it can show.

Numbers of one machine differ from one session to the next by several per cent with nothing changed: a candidate that
is measured now, against numbers of another day, seems slower in 11 to 27 % of tries if that is left out. So what is
known of a stored baseline is how its sessions differ, and the bounds are those of one more session of them: Student's
prediction interval, on logarithms. With fewer than three sessions there is none: then it is a trend, and no verdict.
"""

from __future__ import annotations

import datetime
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, Literal, get_args

from tritonsmith.generator.errors import UsageError
from tritonsmith.perf.documents import Kind
from tritonsmith.perf.gate.core import METRICS, Comparison, Failure, Run, Tolerance, Verdict, Word
from tritonsmith.perf.gate.decide import MISSED, conclude, is_pass
from tritonsmith.perf.gate.document import GatePlan
from tritonsmith.perf.gate.spending import ERROR
from tritonsmith.perf.measure.fingerprint import Fingerprint
from tritonsmith.perf.measure.load import Load
from tritonsmith.perf.statistics.student import quantile

Schema = Literal["tritonsmith.baseline/1"]
SCHEMA: Schema = "tritonsmith.baseline/1"
LEAST_SESSIONS = 3
APART_S = 3600.0  # sessions that began nearer to one another count as one: they share what drifts
Point = tuple[str, Load]


@dataclass(frozen=True)
class StoredPoint:
    """A metric at a load: the logarithm of its value in each generation, below 0 for what is better when larger."""

    metric: str
    load: Load
    logs: tuple[float, ...]


@dataclass(frozen=True)
class Session:
    """What one measuring of the baseline gave; `identity` is a digest of what was served."""

    started_at: str  # UTC, ISO 8601
    identity: str
    points: tuple[StoredPoint, ...]


@dataclass(frozen=True)
class StoredBaseline:
    """The sessions of one repository on one machine under one plan; `answers` are those to the first rows, packed."""

    name: str
    plan: GatePlan
    input_digest: str
    machine: Fingerprint
    sessions: tuple[Session, ...]
    answers: list[Any]
    schema: Schema = SCHEMA


MADE_BY = "`tritonsmith gate --save-baseline FILE` makes one"
BASELINES = Kind(StoredBaseline, "stored baseline", get_args(Schema), MADE_BY, MADE_BY)


def write_baseline(stored: StoredBaseline, path: Path) -> Path:
    """Write a stored baseline and return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return BASELINES.write(stored, path)


def read_baseline(path: Path) -> StoredBaseline:
    """Read a stored baseline.

    Raises: UsageError where there is none; RepositoryError where it is something else.
    """
    return BASELINES.read(path)


def require_same_plan(stored: StoredBaseline, plan: GatePlan, input_digest: str, *, where: str) -> None:
    """Refuse to compare what was not measured alike.

    Raises: UsageError that names what differs.
    """
    pairs = [(name, getattr(stored.plan, name), getattr(plan, name)) for name in ("model", "loads", "protocol")]
    pairs.append(("input data", stored.input_digest[:12], input_digest[:12]))
    different = [f"{name}: {_words(there)} there, {_words(here)} here" for name, there, here in pairs if there != here]
    if different:
        hint = "ask for the same, or store another baseline"
        raise UsageError(f"the stored baseline was measured otherwise: {'; '.join(different)}", where=where, hint=hint)


def with_session(stored: StoredBaseline, session: Session) -> StoredBaseline:
    """Return the baseline with one session more; those of another identity are no longer its sessions."""
    kept = tuple(one for one in stored.sessions if one.identity == session.identity)
    return replace(stored, sessions=(*kept, session))


def stored_points(runs: Sequence[Run]) -> tuple[StoredPoint, ...]:
    """Return by metric and load the logarithms of each generation: the mean of its runs'."""
    logs: dict[Point, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    for run in runs:
        for metric, value in run.values.items():
            if 0 < value < math.inf:
                sign = -1.0 if METRICS[metric].is_more_better else 1.0
                logs[metric, run.load][run.pair].append(sign * math.log(value))
    points = sorted(logs, key=lambda point: (list(METRICS).index(point[0]), point[1].order))
    return tuple(
        StoredPoint(*point, tuple(fmean(of_pair) for _, of_pair in sorted(logs[point].items()))) for point in points
    )


def judge_stored(
    stored: StoredBaseline,
    points: Sequence[StoredPoint],
    tolerances: Sequence[Tolerance],
    *,
    failures: Sequence[Failure] = (),
    refusals: Sequence[str] = (),
) -> Verdict:
    """Return the verdict on a session's points against the stored sessions.

    The error of regressing wrongly is divided among the points that decide (Bonferroni); to pass, all have to.
    """
    shares = {tolerance.metric: tolerance.share for tolerance in tolerances}
    deciding = max(1, sum(one.metric in shares for one in points))
    values = {(one.metric, one.load): session_values(stored.sessions, (one.metric, one.load)) for one in points}
    comparisons = tuple(
        compare_stored(one, values[one.metric, one.load], shares.get(one.metric), ERROR / deciding)
        for one in points
        if values[one.metric, one.load]
    )
    word, reasons = conclude(comparisons, failures, refusals)
    sessions = min((len(one) for one in values.values()), default=0)
    if word == "inconclusive" and not failures and not refusals and sessions < LEAST_SESSIONS:
        reasons = (trend_only(sessions),)
    generations = min((len(one.logs) for one in points), default=0)
    return Verdict(word, generations, reasons, comparisons, tuple(failures), tuple(refusals), ERROR / deciding, ERROR)


def trend_only(sessions: int) -> str:
    """Say why a few sessions give no verdict."""
    return (
        f"the stored baseline has {sessions} session{'' if sessions == 1 else 's'}, an hour apart at least: how much "
        f"they differ is not known before there are {LEAST_SESSIONS}, so this is a trend and no verdict"
    )


def session_values(sessions: Sequence[Session], point: Point) -> list[float]:
    """Return the sessions' values of a point; those that began within an hour of the one before are taken together."""
    groups: list[list[float]] = []
    last_s = -math.inf
    for session in sorted(sessions, key=lambda one: one.started_at):
        begun_s = datetime.datetime.fromisoformat(session.started_at).timestamp()
        logs = [log for one in session.points if (one.metric, one.load) == point for log in one.logs]
        if logs and begun_s - last_s >= APART_S:
            groups.append([])
        if logs:
            groups[-1].append(fmean(logs))
            last_s = begun_s
    return [fmean(group) for group in groups]


def compare_stored(one: StoredPoint, sessions: Sequence[float], share: float | None, level: float) -> Comparison:
    """Return what a session says of a point beside the stored ones: its bounds hold for one more of those."""
    middle, count = fmean(sessions), len(sessions)
    difference, low, high, visible = fmean(one.logs) - middle, None, None, None
    if count >= LEAST_SESSIONS:
        # never less than what the generations of today alone leave open
        own = stdev(one.logs) / math.sqrt(len(one.logs)) if len(one.logs) > 1 else 0.0
        unit = max(stdev(sessions), own) * math.sqrt(1 + 1 / count)
        margin = quantile(1 - level, count - 1) * unit
        low, high = math.exp(difference - margin), math.exp(difference + margin)
        visible = math.expm1(margin + quantile(1 - MISSED, count - 1) * unit)
    compared = Comparison(
        metric=one.metric,
        load=one.load,
        tolerance=share,
        log_ratios=tuple(log - middle for log in one.logs),
        slowdown=math.exp(difference),
        low=low,
        high=high,
        smallest_visible=visible,
    )
    return replace(compared, word=_word(compared)) if share is not None else compared


def _word(one: Comparison) -> Word:
    if one.low is not None and one.tolerance is not None and one.low > 1 + one.tolerance:
        return "regress"
    return "pass" if is_pass(one) else "inconclusive"


def _words(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
