"""Rough re-implementations of Model Analyzer's brute and quick searches, on an arena; they ask for no prediction.

Not Model Analyzer itself: only what it measures, in which order, and how it chooses. Each configuration is loaded once
and each point measured once, in windows of half a second instead of Model Analyzer's five.
Source: model_analyzer's brute_run_config_generator.py, quick_run_config_generator.py, neighborhood.py.
"""

from __future__ import annotations

from collections.abc import Sequence

from tritonsmith.perf.measure.load import Load
from tritonsmith.perf.tune.core import Arena, Candidate, Trial, Wish
from tritonsmith.perf.tune.wishes import limit_metrics, score_of

WINDOW_MS = 500
SWEPT = 3  # of the best of a quick search
Choice = tuple[Candidate, Load] | None


def brute(candidates: Sequence[Candidate], wish: Wish, arena: Arena) -> Choice:
    """Measure every candidate once at every load and return the best."""
    return _best(wish, [(one, load, _measure(arena, one, load)) for one in candidates for load in _loads(wish)])


def quick(candidates: Sequence[Candidate], wish: Wish, arena: Arena) -> Choice:
    """Climb from the first candidate to better neighbours at the highest load; try every load on the best three."""
    top = _loads(wish)[-1]
    here, seen = candidates[0], {}
    while True:
        for one in [here, *neighbours(candidates, here)]:
            if one.name not in seen:
                seen[one.name] = (one, score_of(wish, _measure(arena, one, top)))
        best = max((here, *neighbours(candidates, here)), key=lambda one: seen[one.name][1])
        if best.name == here.name:
            break
        here = best
    ranked = sorted(seen.values(), key=lambda pair: -pair[1])[:SWEPT]
    return _best(wish, [(one, load, _measure(arena, one, load)) for one, _ in ranked for load in _loads(wish)])


def neighbours(candidates: Sequence[Candidate], here: Candidate) -> list[Candidate]:
    """Return the candidates that differ in one field, by one step of its values."""
    values = {name: sorted({float(one.variant[name]) for one in candidates}) for name in here.variant}

    def place(one: Candidate, name: str) -> int:
        return values[name].index(float(one.variant[name]))

    def steps(one: Candidate) -> int:
        return sum(abs(place(one, name) - place(here, name)) for name in values)

    return [one for one in candidates if steps(one) == 1]


def _loads(wish: Wish) -> tuple[Load, ...]:
    return wish.loads[-1:] if wish.objective == "latency" else wish.loads


def _measure(arena: Arena, candidate: Candidate, load: Load) -> Trial:
    return arena.measure(candidate, load, window_ms=WINDOW_MS, is_fresh=False)


def _best(wish: Wish, measured: Sequence[tuple[Candidate, Load, Trial]]) -> Choice:
    limits = limit_metrics(wish)
    kept = [
        (one, load, trial)
        for one, load, trial in measured
        if all(getattr(trial, metric) <= at_most for metric, at_most in limits.items())
    ]
    best = max(kept, key=lambda row: score_of(wish, row[2]), default=None)
    return best[:2] if best else None
