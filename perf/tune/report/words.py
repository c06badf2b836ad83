"""A tuning in words: what the terminal and the page say alike."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from tritonsmith.perf.report.numbers import significant
from tritonsmith.perf.tune.core import Candidate, Confirmation, Fate, Found, Objective, Standing, Wish
from tritonsmith.perf.tune.document import Tuning

VALUE_NAMES: dict[Objective, str] = {
    "throughput": "answers/s",
    "goodput": "good answers/s",
    "latency": "{quantile} ms",
    "cost": "per million",
}
# What `Candidate.thrift` counts, as `space` fills it.
THRIFT = ("instances", "us of queue delay", "rows in a batch", "changes to the spec")
_HOLDERS = re.compile(r"\b(instance_group|dynamic_batching|parameters)\.(?=\w)")


def value_name(wish: Wish) -> str:
    """Return what the objective's value is called: "answers/s", "p99 ms"."""
    return VALUE_NAMES[wish.objective].format(quantile=wish.latency_metric.removesuffix("_ms"))


def short(name: str, model: str) -> str:
    """Return a candidate's name for a narrow column: without the tuned model's name and the names of what holds fields.

    "digits.instance_group.count=2, digits.max_batch_size=8" is "count=2, max_batch_size=8".
    """
    fields = (field.removeprefix(f"{model}.") for field in name.split(", "))
    return ", ".join(_HOLDERS.sub("", field) for field in fields)


def goal(wish: Wish) -> str:
    """Return what is wanted: "throughput with p99 <= 50 ms, at concurrency 1 to 16"."""
    limits = " and ".join(map(str, wish.limits))
    return f"{wish.objective}{f' with {limits}' if limits else ''}, at {loads(wish)}"


def loads(wish: Wish) -> str:
    """Return the range of loads: "concurrency 1 to 16"; the only one that counts for a latency."""
    first, last = wish.loads[0], wish.loads[-1]
    if first == last or wish.objective == "latency":
        return str(last)
    return f"{first.value:g} to {last}" if wish.kind == "request_rate" else f"{first} to {last.value:g}"


def headline(tuning: Tuning) -> str:
    """Return what came of it in one line."""
    found, known = tuning.found, len(tuning.found.standings)
    many = f"{known} configuration{'s'[: known != 1]}"
    if found.pick is None:
        if tuning.is_inconclusive:
            return f"inconclusive: {tuning.plan.model}, the budget was out before a configuration was known to do"
        return f"none: {tuning.plan.model}, no configuration of {known} keeps {limits_of(tuning.plan.wish)}"
    word = "inconclusive, leading so far" if tuning.is_inconclusive else "pick"
    return f"{word}: {tuning.plan.model}, {found.pick.name}, the best of {many} for {goal(tuning.plan.wish)}"


def limits_of(wish: Wish) -> str:
    """Return the limits: "p99 <= 50 ms and memory <= 100 mib"; where there are none, what is left to fail."""
    return " and ".join(map(str, wish.limits)) or "up: each one fails"


def result(tuning: Tuning) -> str:
    """Return the pick's value with its interval, and at which load; empty without a pick."""
    standing = picked(tuning.found)
    if standing is None or standing.value is None:
        return ""
    expected = f"; predicted {significant(standing.predicted)}" if standing.predicted is not None else ""
    return f"{value(standing)} {value_name(tuning.plan.wish)} at {tuning.found.load}{expected}"


def picked(found: Found) -> Standing | None:
    """Return the pick's standing."""
    return next((standing for standing in found.standings if standing.fate == "picked"), None)


def with_fate(found: Found, fate: Fate) -> list[Standing]:
    """Return the standings of one fate, the best first."""
    return [standing for standing in found.standings if standing.fate == fate]


def value(standing: Standing) -> str:
    """Return a value with its interval: "1,240 (1,210 to 1,270)"; a dash where it is not known."""
    if standing.value is None:
        return "-"
    if standing.interval is None:
        return significant(standing.value)
    low, high = standing.interval
    return f"{significant(standing.value)} ({significant(low)} to {significant(high)})"


def predicted(standing: Standing) -> str:
    """Return what was predicted, and by how much it was off: "1,190 (-4.0%)"."""
    if standing.predicted is None:
        return "-"
    off = f" ({standing.predicted / standing.value - 1:+.0%})" if standing.value else ""
    return f"{significant(standing.predicted)}{off}"


def ties(tuning: Tuning) -> Iterator[str]:
    """Yield what the pick is tied with, and why not that was picked."""
    for standing in with_fate(tuning.found, "tied"):
        why = standing.reason or f"not told apart, {cheaper(tuning.found.pick, standing.candidate)}"
        yield f"{standing.candidate.name}: {value(standing)} {value_name(tuning.plan.wish)}; {why}"


def cheaper(pick: Candidate | None, other: Candidate) -> str:
    """Return why the pick is the cheaper of two: "and the pick has 2 instances, not 3"."""
    mine = pick.thrift if pick else ()
    for name, few, many in zip(THRIFT, mine, other.thrift, strict=False):
        if few != many:
            return f"and the pick has {few:g} {name}, not {many:g}"
    return "and the pick does not cost more"


def confirmation(one: Confirmation, model: str) -> str:
    """Return a paired comparison: "A against B: +1.2% (-0.8% to +3.1%) over 8 pairs"."""
    low, high = one.interval
    better = f"{one.ratio - 1:+.1%} ({low - 1:+.1%} to {high - 1:+.1%})"
    return f"{short(one.first, model)} against {short(one.second, model)}: {better} over {one.pairs} pairs"


def time_spent(tuning: Tuning) -> str:
    """Return where the seconds went: "build and start 3 s, calibration 12 s: 61 of 120 s"."""
    phases = ", ".join(f"{phase.name} {phase.seconds:.0f} s" for phase in tuning.phases)
    return f"{phases}: {tuning.seconds:.0f} of {tuning.plan.budget_s:g} s"


def reasons(standings: Sequence[Standing]) -> Iterator[str]:
    """Yield for each reason how many configurations it ended, those with the same words together."""
    by_reason: dict[str, list[str]] = {}
    for standing in standings:
        by_reason.setdefault(standing.reason or "no reason was kept", []).append(standing.candidate.name)
    for reason, names in by_reason.items():
        yield f"{names[0] if len(names) == 1 else f'{len(names)} configurations'}: {reason}"
