"""Which level is measured next, and what the answer is: doubling until one fails, then bisection. No I/O."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from tritonsmith.perf.measure.kept import SHARES
from tritonsmith.perf.slo.core import Answer, Judgement, Level, Outcome, Span
from tritonsmith.perf.slo.evidence import judge, mean_of, share_of

RATE_STEP = 0.05  # to which a rate is found
CONFIRMED_CELLS = 3
WIDE_STEP = 0.25  # an answer that leaves more than this open is none


def next_level(span: Span, levels: Sequence[Level], limits_ms: Mapping[str, float], most_cells: int) -> float | None:
    """Return the level to measure next, again where it is not clear yet; None where all that can be is known."""
    judgements = judge(levels, limits_ms)
    tried = {level.value: level for level in levels}
    open_ = [value for value, judgement in judgements.items() if judgement == "open"]
    unclear = [value for value in open_ if tried[value].cells < most_cells]
    if unclear:
        return min(unclear, key=lambda value: (tried[value].cells, value))
    holding, failing = _highest(judgements), _lowest_not_holding(judgements)
    if not levels:
        return span.start
    if failing is None:
        if holding == span.high:
            return _to_confirm(tried[holding], most_cells)
        return min(span.high, 2 * (holding or span.low))
    if holding is None:
        return None if failing == span.low else max(span.low, _rounded(span, failing / 2))
    return _between(span, holding, failing) or _to_confirm(tried[holding], most_cells)


def _to_confirm(level: Level, most_cells: int) -> float | None:
    """Return the level that would be the answer, until it was measured often enough to be one.

    It is the one that looked best: what was luck does not happen thrice. What it turns out to be is searched on.
    """
    return level.value if level.cells < min(CONFIRMED_CELLS, most_cells) else None


def conclude(span: Span, levels: Sequence[Level], limits_ms: Mapping[str, float]) -> Answer:
    """Return the answer once there is no next level; its throughput is not known here."""
    judgements = judge(levels, limits_ms)
    holding = _highest(judgements)
    failing = min((value for value, judgement in judgements.items() if judgement == "fails"), default=None)
    open_ = tuple(value for value, judgement in judgements.items() if judgement == "open")
    outcome = _outcome(span, holding, failing, open_)
    share, share_low = _tightest(holding, levels, limits_ms)
    why = _why(failing, levels, limits_ms)
    return Answer(span.kind, outcome, holding, failing, open_, share=share, share_low=share_low, why=why)


def _outcome(span: Span, holding: float | None, failing: float | None, open_: Sequence[float]) -> Outcome:
    if holding is None:
        return "none" if failing == span.low else "unclear"
    above = [value for value in open_ if value > holding]
    end = failing if failing is not None else max(above, default=holding)
    is_wide = bool(above) and end - holding > max(1.0 if span.kind == "concurrency" else 0.0, WIDE_STEP * end)
    return "unclear" if is_wide else "found"


def _highest(judgements: Mapping[float, Judgement]) -> float | None:
    return max((value for value, judgement in judgements.items() if judgement == "holds"), default=None)


def _lowest_not_holding(judgements: Mapping[float, Judgement]) -> float | None:
    """Return the lowest level that fails, or that stayed open: what cannot be shown to hold is not counted on."""
    return min((value for value, judgement in judgements.items() if judgement != "holds"), default=None)


def _between(span: Span, holding: float, failing: float) -> float | None:
    """Return the level in the middle; None where the two are close enough."""
    if span.kind == "concurrency":
        middle = float(math.floor((holding + failing) / 2))
        return middle if holding < middle < failing else None
    if failing - holding <= RATE_STEP * failing:
        return None
    middle = _rounded(span, math.sqrt(holding * failing))
    return middle if holding < middle < failing else None


def _rounded(span: Span, value: float) -> float:
    """Return a level that can be asked for: whole requests in flight, rates of three digits."""
    return float(max(1, math.floor(value))) if span.kind == "concurrency" else float(f"{value:.3g}")


def _tightest(value: float | None, levels: Sequence[Level], limits_ms: Mapping[str, float]) -> tuple[float, float]:
    """Return the share within the limit that came closest to missing, and its lower bound."""
    level = next((one for one in levels if one.value == value), None)
    shares = {metric: share_of(level.tallies[metric]) for metric in limits_ms if level and metric in SHARES}
    if not shares:
        return 0.0, 0.0
    closest = min(shares, key=lambda metric: shares[metric].low - SHARES[metric])
    return round(shares[closest].value, 5), round(shares[closest].low, 5)


def _why(failing: float | None, levels: Sequence[Level], limits_ms: Mapping[str, float]) -> str:
    """Say what the first level that fails missed."""
    level = next((one for one in levels if one.value == failing), None)
    if level is None:
        return ""
    if level.failure:
        return level.failure
    missed = {metric: share_of(level.tallies[metric]) for metric in limits_ms if metric in SHARES}
    worst = min(missed, key=lambda metric: missed[metric].value - SHARES[metric], default="")
    if worst and missed[worst].value < SHARES[worst]:
        words = f"{missed[worst].value:.1%} of the requests within {limits_ms[worst]:g} ms"
        return f"{words}, {SHARES[worst]:.0%} are asked for {worst.removesuffix('_ms')}"
    if "mean_ms" in limits_ms:
        return f"mean above {mean_of(level.tallies['mean_ms']).low:.3g} ms"
    return ""
