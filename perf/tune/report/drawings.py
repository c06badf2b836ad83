"""The drawings of a tuning: predicted against measured, where the seconds went, and the pairs that confirm the pick."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tritonsmith.perf.measure.load import Load
from tritonsmith.perf.report import svg
from tritonsmith.perf.report.charts import significant_short
from tritonsmith.perf.report.numbers import significant
from tritonsmith.perf.statistics import median
from tritonsmith.perf.tune.core import Confirmation, Fate, Found, Standing, Trial
from tritonsmith.perf.tune.document import Tuning
from tritonsmith.perf.tune.wishes import limit_metrics, score_of

WIDTH, LEFT = 1040.0, 84.0
MOST_ROWS, ROW = 40, 22.0
COLOURS: dict[Fate, str] = {
    "picked": "s3",
    "tied": "s1",
    "eliminated": "s7",
    "failed": "s2",
    "not measured": "s8",
}
WIDE = 12  # a range beyond this factor has a logarithmic scale
FAINTEST = 0.12  # of the fill of the worst trial
Short = Callable[[str], str]  # a candidate's name -> what a drawing calls it


@dataclass(frozen=True)
class Compared:
    """A candidate at a load: predicted, and the medians of what was measured; rates per second, times in ms."""

    standing: Standing
    load: Load
    trials: int
    predicted_per_s: float
    measured_per_s: float
    predicted_p99_ms: float
    measured_p99_ms: float


def comparisons(tuning: Tuning) -> list[Compared]:
    """Return predicted against measured for every candidate and load, the best candidates first."""
    measured: dict[tuple[str, Load], list[Trial]] = {}
    for trial in tuning.found.trials:
        if not trial.failure:
            measured.setdefault((trial.candidate, trial.load), []).append(trial)
    places = {standing.candidate.name: place for place, standing in enumerate(tuning.found.standings)}
    found = [
        Compared(
            tuning.found.standings[places[one.candidate]],
            one.load,
            len(trials),
            one.prediction.throughput_per_s,
            median([trial.throughput_per_s for trial in trials]),
            one.prediction.p99_ms,
            median([trial.p99_ms for trial in trials]),
        )
        for one in tuning.expectations
        if one.candidate in places and (trials := measured.get((one.candidate, one.load), []))
    ]
    return sorted(found, key=lambda one: (places[one.standing.candidate.name], one.load.order))


def scatter(compared: Sequence[Compared]) -> str:
    """Draw predicted over measured, throughput and p99 side by side; on the diagonal the prediction is right."""
    half, height = WIDTH / 2, 420.0
    rates = [(one, one.measured_per_s, one.predicted_per_s) for one in compared]
    times = [(one, one.measured_p99_ms, one.predicted_p99_ms) for one in compared]
    fates = list(dict.fromkeys(one.standing.fate for one in compared))
    return svg.chart(
        WIDTH,
        height,
        "Predicted against measured",
        "For each configuration and load what the simulator predicted over the median of what was measured.",
        _square(rates, 56, half - 28, height, "Answers per second"),
        _square(times, half + 56, WIDTH - 24, height, "p99, ms"),
        svg.legend([(fate, COLOURS[fate]) for fate in fates], 56, 14),
    )


def heat_strip(tuning: Tuning) -> str:
    """Draw one row per measured configuration: its trials in the order of measuring, as wide as they took.

    The fuller the colour, the better the trial; a red edge: it failed, or its limits did not hold.
    """
    found = tuning.found
    seconds = sum(trial.seconds for trial in found.trials)
    rows = [one for one in found.standings if one.trials or one.seconds][:MOST_ROWS]
    numbers = {one.candidate.name: place for place, one in enumerate(found.standings, 1)}
    top, bottom = 44.0, 44.0 + ROW * len(rows)
    x = svg.Scale(0.0, max(seconds, 1.0), LEFT, WIDTH - 190)
    parts = [svg.axis_bottom(x, bottom, top - 6, significant_short, "Seconds of measuring")]
    shade, cells = _shade(tuning), _cells(found.trials)
    for place, one in enumerate(rows):
        y, name = top + ROW * place, one.candidate.name
        class_ = "tick strong" if one.fate == "picked" else "tick"
        parts.append(svg.text(str(numbers[name]), LEFT - 12, y + 15, class_=class_, text_anchor="end"))
        mine = [cell for cell in cells if cell[1].candidate == name]
        parts += [_cell(trial, start_s, x, y, shade(trial), _is_bad(tuning, trial)) for start_s, trial in mine]
        words = f"{one.fate}, {one.seconds:.1f} s"
        parts.append(svg.text(words, WIDTH - 176, y + 15, class_=class_))
    title, description = "Where the seconds went", "For each configuration its trials in the order of measuring."
    return svg.chart(WIDTH, bottom + 52, title, description, *parts)


def pairs_plot(confirmations: Sequence[Confirmation], names: Short) -> str:
    """Draw how much better the first of each comparison is, with its interval; `names` shortens candidates."""
    bounds = [bound for one in confirmations for bound in (*one.interval, one.ratio)]
    reach = 1.15 * max(0.02, *(abs(math.log(bound)) for bound in bounds if bound > 0))
    x = svg.Scale(math.exp(-reach), math.exp(reach), 236.0, WIDTH - 190, is_log=True)
    top, row = 40.0, 40.0
    bottom = top + row * len(confirmations)
    ticks = [math.exp(reach * share) for share in (-0.8, -0.4, 0.0, 0.4, 0.8)]
    label = "How much better the first is; right of the middle it is better"
    parts = [svg.axis_bottom(x, bottom, top - 6, lambda ratio: f"{ratio - 1:+.1%}", label, ticks)]
    for place, one in enumerate(confirmations):
        y, (low, high) = top + row * place + 18, one.interval
        who = f"{names(one.first)} against {names(one.second)}"
        parts.append(svg.text(who, 222.0, y + 4, class_="tick strong", text_anchor="end"))
        parts.append(svg.line(x(low), y, x(high), y, "whisker s3"))
        parts += [svg.line(x(end), y - 5, x(end), y + 5, "whisker s3") for end in one.interval]
        parts.append(svg.element("circle", cx=x(one.ratio), cy=y, r=5.5, class_="dot s3"))
        words = f"{one.ratio - 1:+.1%}, {one.pairs} pairs"
        parts.append(svg.text(words, WIDTH - 176, y + 4, class_="tick"))
    parts.append(svg.line(x(1.0), top - 6, x(1.0), bottom, "axis"))
    title = "Pairs in fresh generations"
    return svg.chart(WIDTH, bottom + 52, title, "Ratios of paired measurements with their intervals.", *parts)


def _square(
    points: Sequence[tuple[Compared, float, float]], left: float, right: float, height: float, label: str
) -> str:
    top, bottom = 60.0, height - 52
    inside = [value for _, *both in points for value in both if value > 0 and math.isfinite(value)]
    if not inside:
        return svg.text("nothing to compare", (left + right) / 2, height / 2, class_="tick", text_anchor="middle")
    low, high = min(inside), max(inside)
    x = svg.logarithmic(low, high, left, right) if high > WIDE * low else svg.linear(high, left, right)
    y = svg.Scale(x.low, x.high, bottom, top, is_log=x.is_log)
    parts = [
        svg.axis_bottom(x, bottom, top, significant_short, f"{label}, measured"),
        svg.axis_left(y, left, right, significant_short, f"{label}, predicted"),
        svg.line(x(x.low), y(x.low), x(x.high), y(x.high), "diagonal"),
    ]
    for one, measured, predicted in reversed(points):
        if measured > 0 and predicted > 0:
            words = f"{significant(predicted)} predicted, {significant(measured)} measured"
            tip = svg.tooltip(f"{one.standing.candidate.name}, {one.load}: {words}")
            class_ = f"dot {COLOURS[one.standing.fate]}"
            parts.append(svg.element("circle", tip, cx=x(measured), cy=y(predicted), r=4.5, class_=class_))
    return "".join(parts)


def _shade(tuning: Tuning) -> Callable[[Trial], float]:
    """Return how full a trial's colour is: 1 the best of all, FAINTEST the worst."""
    scores = [score_of(tuning.plan.wish, trial) for trial in tuning.found.trials if not trial.failure]
    known = [score for score in scores if math.isfinite(score)] or [0.0]
    low, high = min(known), max(known)

    def shade(trial: Trial) -> float:
        score = score_of(tuning.plan.wish, trial)
        if trial.failure or not math.isfinite(score):
            return FAINTEST
        return FAINTEST + (1 - FAINTEST) * ((score - low) / (high - low) if high > low else 1.0)

    return shade


def _is_bad(tuning: Tuning, trial: Trial) -> bool:
    limits = limit_metrics(tuning.plan.wish).items()
    return bool(trial.failure) or any(getattr(trial, metric) > most for metric, most in limits)


def _cells(trials: Sequence[Trial]) -> list[tuple[float, Trial]]:
    """Return every trial with the second of measuring at which it began."""
    found, at_s = [], 0.0
    for trial in trials:
        found.append((at_s, trial))
        at_s += trial.seconds
    return found


def _cell(trial: Trial, start_s: float, x: svg.Scale, y: float, fullness: float, is_bad: bool) -> str:
    words = trial.failure or f"{significant(trial.throughput_per_s)}/s, p99 {significant(trial.p99_ms)} ms"
    tip = svg.tooltip(f"{trial.candidate}, {trial.load}: {words}, {trial.seconds:.1f} s")
    place = {"x": x(start_s), "y": y + 2, "width": max(1.5, x(start_s + trial.seconds) - x(start_s) - 1), "height": 17}
    edge = [svg.element("rect", **place | {"height": 3, "y": y + 17}, class_="fill s2")] if is_bad else []
    return svg.element("g", tip, svg.element("rect", **place, class_="fill s1", fill_opacity=fullness), *edge)


def short_names(found: Found) -> Short:
    """Return what shortens a candidate's name to its number in the table."""
    numbers = {standing.candidate.name: place for place, standing in enumerate(found.standings, 1)}
    return lambda name: f"number {numbers[name]}" if name in numbers else name
