"""From what was measured to what is said: the pick, what it is tied with, and what came of each candidate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tritonsmith.perf.measure.load import Load
from tritonsmith.perf.tune.core import Confirmation, Fate, Found, Standing, Trial
from tritonsmith.perf.tune.search.confirm import Pair, confirmation
from tritonsmith.perf.tune.search.grid import Grid
from tritonsmith.perf.tune.search.outlook import BROKEN, Outlook
from tritonsmith.perf.tune.search.race import chance_to_lead
from tritonsmith.perf.tune.wishes import score_of, value_of

TIED = 0.005  # the thriftiest is picked of those whose estimates are as close as that to the leader's
TIE_CHANCE = 0.05  # and that are the better one with at least this probability
LEVEL = 0.025


@dataclass(frozen=True)
class Evidence:
    """All that a search knows at its end; candidates by number. The outlook holds those that are still in the race."""

    grid: Grid
    outlook: Outlook
    trials: Sequence[Trial]
    pairs: Sequence[Pair]
    failures: Mapping[int, Sequence[str]]
    reasons: Mapping[int, str]

    def measured_loads(self, number: int) -> frozenset[Load]:
        """Return where a candidate was measured without failing."""
        name = self.grid.candidates[number].name
        return frozenset(trial.load for trial in self.trials if trial.candidate == name and not trial.failure)

    def proposal(self, number: int) -> tuple[Load, float] | None:
        """Return the load proposed for a candidate among those where it was measured, and its score."""
        return self.outlook.proposal(number, self.measured_loads(number))


def conclude(evidence: Evidence, spent_s: float, *, is_out_of_budget: bool) -> Found:
    """Return what was found."""
    proposals = {n: found for n in evidence.outlook.candidates() if (found := evidence.proposal(n))}
    if not proposals:
        standings = tuple(_standing(evidence, n, "not measured", None) for n in range(len(evidence.grid.candidates)))
        return Found(None, None, standings, (), spent_s, is_out_of_budget, tuple(evidence.trials))
    leader = max(proposals, key=lambda number: proposals[number][1])
    tied = [n for n in proposals if n == leader or _is_tied(evidence, proposals, leader, n)]
    pick = min(tied, key=lambda n: (evidence.grid.candidates[n].thrift, -proposals[n][1]))
    order = sorted(range(len(evidence.grid.candidates)), key=lambda n: (n != pick, -_rank(evidence, proposals, n)))
    fates: dict[int, Fate] = {n: "picked" if n == pick else "tied" for n in tied}
    return Found(
        evidence.grid.candidates[pick],
        proposals[pick][0],
        tuple(_standing(evidence, n, fates.get(n, "eliminated"), pick) for n in order),
        tuple(_confirmations(evidence, pick)),
        spent_s,
        is_out_of_budget,
        tuple(evidence.trials),
    )


def _is_tied(evidence: Evidence, proposals: Mapping[int, tuple[Load, float]], leader: int, number: int) -> bool:
    gaps = _scores(evidence, leader, proposals[leader][0]) - _scores(evidence, number, proposals[number][0])
    is_close = proposals[leader][1] - proposals[number][1] <= TIED
    return is_close and float((gaps < 0).mean()) >= TIE_CHANCE


def _scores(evidence: Evidence, number: int, load: Load) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    return np.asarray(evidence.outlook.scores[:, evidence.outlook.points.index((number, load))])


def _rank(evidence: Evidence, proposals: Mapping[int, tuple[Load, float]], number: int) -> float:
    """Return what sorts candidates: in the race by belief, those out by the best they showed, then by prediction."""
    if number in proposals:
        return proposals[number][1]
    trials = _trials(evidence, number)
    if trials and number not in evidence.failures:
        return max(score_of(evidence.grid.wish, trial) for trial in trials) - 100
    return -1000.0


def _trials(evidence: Evidence, number: int) -> list[Trial]:
    return [trial for trial in evidence.trials if trial.candidate == evidence.grid.candidates[number].name]


def _standing(evidence: Evidence, number: int, fate: Fate, pick: int | None) -> Standing:
    grid, trials = evidence.grid, _trials(evidence, number)
    candidate = grid.candidates[number]
    seconds, reason = sum(trial.seconds for trial in trials), evidence.reasons.get(number, "")
    good = [trial for trial in trials if not trial.failure]
    if number in evidence.failures and len(evidence.failures[number]) > 1:
        return Standing(candidate, "failed", trials=len(trials), seconds=seconds, reason=evidence.failures[number][-1])
    if not good:
        in_the_race = number in evidence.outlook.candidates()
        words = "the search ended before its turn" if in_the_race else "predicted to be worse"
        return Standing(candidate, "not measured", reason=reason or words)
    found = evidence.proposal(number) if number in evidence.outlook.candidates() else None
    if found is None:
        load = good[-1].load
        score = float(np.median([score_of(grid.wish, trial) for trial in good if trial.load == load]))
        interval = None
        reason = reason or "the limits do not hold at any load"
    else:
        load, score = found
        scores = _scores(evidence, number, load)
        kept = scores[scores > BROKEN]
        ends = [value_of(grid.wish, float(end)) for end in np.quantile(kept, (LEVEL, 1 - LEVEL))] if len(kept) else []
        interval = (min(ends), max(ends)) if ends else None
    return Standing(
        candidate,
        fate if found or fate == "eliminated" else "eliminated",
        load,
        value_of(grid.wish, score),
        interval,
        value_of(grid.wish, score_of(grid.wish, grid.prediction(number, load))),
        len(trials),
        seconds,
        "" if fate in ("picked", "tied") else reason or _behind(evidence, number, pick),
    )


def _behind(evidence: Evidence, number: int, pick: int | None) -> str:
    """Return why a candidate that stayed in the race is not the pick."""
    if pick is None or pick not in evidence.outlook.candidates():
        return "behind when the search ended"
    chance = chance_to_lead(evidence.outlook, pick, number)
    return f"better than {evidence.grid.candidates[pick].name} with {chance:.1%} probability"


def _confirmations(evidence: Evidence, pick: int) -> list[Confirmation]:
    names = [one.name for one in evidence.grid.candidates]
    rivals = dict.fromkeys(
        n for pair in evidence.pairs for n in (pair.first, pair.second) if pick in (pair.first, pair.second)
    )
    present = set(evidence.outlook.candidates())
    return [
        confirmation(evidence.pairs, pick, n, names, evidence.outlook) for n in rivals if n != pick and n in present
    ]
