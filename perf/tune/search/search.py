"""`search`: which of many candidates is the best, in few measured seconds.

1. Every candidate is predicted at every load. 2. A first look at each that may be the best, cheap changes together.
3. Duels: the leader and whoever may improve most upon it, each loaded afresh, in windows that grow, at loads drawn by
how probable each is the candidate's best. After every measurement all predictions are corrected by all that was
measured (`belief`), and who hardly can win is out. 4. It ends when a better candidate is improbable, when nobody left
can keep the limits, or before the budget would be exceeded; of those tied with the leader the thriftiest is picked.

Decisions are taken on draws of a seeded generator and on what the arena answers; `spent_s` is read at the beginning and
once after each measurement.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from tritonsmith.perf.measure.analyzer import measured_s
from tritonsmith.perf.measure.load import Load
from tritonsmith.perf.tune.core import Arena, Candidate, Found, Predict, Trial, Wish
from tritonsmith.perf.tune.search.confirm import Pair
from tritonsmith.perf.tune.search.costs import Costs, kind_of_step
from tritonsmith.perf.tune.search.grid import Grid, contenders, feature_codes
from tritonsmith.perf.tune.search.outlook import TAILS_OF, Outlook, survey
from tritonsmith.perf.tune.search.race import (
    OUT,
    bracket,
    challenger_of,
    chance_to_lead,
    cheap_order,
    drawn_load,
    is_decided,
    is_hopeless,
    leader_of,
    likeliest_load,
)
from tritonsmith.perf.tune.search.standings import Evidence, conclude
from tritonsmith.perf.tune.wishes import limit_metrics, score_of

FIRST_LOOK_SHARE = 0.45  # of what is left of the budget, at most, for looking at each candidate once
SHORTEST_MS, LONGEST_MS, GROWTH = 120, 500, 1.5
REQUESTS, REQUESTS_OF_TAILS = 40, 250  # expected of the shortest measurement; the second where limits are on quantiles
TRIALS_OF_VISIT = 2
MOST_FAILURES = 2
RIVALS = 2  # stay in the race whatever they showed: a leader is measured against somebody, never by itself
FEWEST_VISITS = 2  # of a pick: processes of equal work differ, so one generation is never trusted


def search(
    candidates: Sequence[Candidate], wish: Wish, arena: Arena, predict: Predict, *, budget_s: float, seed: int
) -> Found:
    """Return the best candidate under a wish, and what came of the others.

    No measurement begins that would end after `budget_s` of the arena's time, as far as earlier ones tell.

    Raises: what the arena raises.
    """
    run = _Search(Grid(candidates, wish, predict), arena, budget_s, seed)
    run.look_at_each()
    run.duel()
    return run.conclude()


@dataclass
class _Search:
    """A search that goes on."""

    grid: Grid
    arena: Arena
    budget_s: float
    seed: int
    alive: list[int] = field(default_factory=list)
    trials: list[Trial] = field(default_factory=list)
    failures: dict[int, list[str]] = field(default_factory=dict)
    pairs: list[Pair] = field(default_factory=list)
    visits: dict[int, int] = field(default_factory=dict)
    costs: Costs = field(default_factory=Costs)
    loaded: Candidate | None = None
    is_out_of_budget: bool = False

    def __post_init__(self) -> None:
        self.draw = random.Random(self.seed)  # noqa: S311 - an order, not a secret
        self.features = feature_codes(self.grid.candidates)
        self.alive = contenders(self.grid)
        self.reasons: dict[int, str] = {}
        self.spent_s = self.arena.spent_s
        self.outlook = self._survey()

    def look_at_each(self) -> None:
        """Measure each that may be the best once, as far as the budget's share goes, the most promising for sure."""
        share_s = FIRST_LOOK_SHARE * (self.budget_s - self.spent_s)
        upper = {n: float(np.quantile(self.outlook.best_scores(n), 0.9)) for n in self.alive}
        ranked = sorted(self.alive, key=lambda number: -upper[number])
        queue = cheap_order(ranked[: self._affordable(ranked, share_s)], self.grid.candidates, self.draw)
        for number in queue:
            if number in self.alive and self._is_in_the_race(number):
                self._visit(number, 1, is_fresh=False)
                self._eliminate()
            if self.is_out_of_budget:
                return

    def duel(self) -> None:
        """Measure the leader against whoever may be better until that is improbable, or the budget is used up.

        It ends, too, where nobody who is left can keep the limits.
        """
        while not self.is_out_of_budget and self.alive:
            leader = leader_of(self.outlook)
            if is_hopeless(self.outlook, self._looks_at_lowest()):
                return
            if self.visits.get(leader, 0) >= FEWEST_VISITS and is_decided(self.outlook, leader):
                return
            challenger = self._challenger(leader)
            both = [leader] if challenger is None else [leader, challenger]
            if challenger is not None and self.visits.get(challenger, 0) + 1 < self.visits.get(leader, 0):
                both = [challenger]
            scores = {}
            for number in self.draw.sample(both, len(both)):
                if number not in self.alive:
                    continue
                self._split_loads(number)
                scores[number] = self._visit(number, TRIALS_OF_VISIT, is_fresh=True)
            if challenger is not None and all(scores.get(n) for n in (leader, challenger)):
                gap = float(np.mean(scores[leader])) - float(np.mean(scores[challenger]))
                self.pairs.append(Pair(leader, challenger, gap))
            self._eliminate()

    def conclude(self) -> Found:
        """Return what was found."""
        evidence = Evidence(self.grid, self.outlook, self.trials, self.pairs, self.failures, self.reasons)
        return conclude(evidence, self.spent_s, is_out_of_budget=self.is_out_of_budget)

    def _visit(self, number: int, trials: int, *, is_fresh: bool) -> list[float]:
        """Measure a candidate a few times in one generation; return the scores, none where it failed or time is up."""
        scores: list[float] = []
        self.visits[number] = self.visits.get(number, 0) + 1
        for place in range(trials):
            load = likeliest_load(self.outlook, number) if not is_fresh else drawn_load(self.outlook, number, self.draw)
            trial = self._measure(number, load, is_fresh=is_fresh and place == 0)
            if trial is None:
                break
            if trial.failure:
                if len(self.failures[number]) < MOST_FAILURES:
                    return self._visit(number, trials, is_fresh=True)
                return []
            scores.append(score_of(self.grid.wish, trial))
        return scores

    def _measure(self, number: int, load: Load, *, is_fresh: bool) -> Trial | None:
        """Measure once where the budget allows it, and take everything down."""
        candidate, window_ms = self.grid.candidates[number], self._window_ms(number, load)
        kind = kind_of_step(self.loaded, candidate, is_fresh=is_fresh)
        if self.spent_s + self.costs.at_most(kind, window_ms) > self.budget_s:
            self.is_out_of_budget = True
            return None
        trial = self.arena.measure(candidate, load, window_ms=window_ms, is_fresh=is_fresh)
        self.spent_s = self.arena.spent_s
        self.costs.note(kind, trial.seconds, window_ms)
        self.trials.append(trial)
        self.loaded = None if trial.failure else candidate
        if trial.failure:
            self.failures.setdefault(number, []).append(trial.failure)
            if len(self.failures[number]) >= MOST_FAILURES:
                self.alive.remove(number)
                if not self.alive:
                    return trial
        self.outlook = self._survey()
        return trial

    def _survey(self) -> Outlook:
        return survey(self.grid, self.features, self.trials, self.alive, (self.seed, len(self.trials)))

    def _eliminate(self) -> None:
        """Take those out that were measured and hardly can win, but for the closest rivals."""
        if not self.alive:
            return
        leader, before = leader_of(self.outlook), len(self.alive)
        chances = {n: chance_to_lead(self.outlook, leader, n) for n in self.alive if n != leader and self.visits.get(n)}
        for number in sorted(chances, key=lambda n: -self._mean_score(n))[RIVALS:]:
            if chances[number] < OUT:
                self.alive.remove(number)
                self.reasons[number] = (
                    f"better than {self.grid.candidates[leader].name} with less than {OUT:.1%} probability"
                )
        if len(self.alive) < before:
            self.outlook = self._survey()

    def _is_in_the_race(self, number: int) -> bool:
        leader = leader_of(self.outlook)
        return number == leader or chance_to_lead(self.outlook, leader, number) >= OUT

    def _challenger(self, leader: int) -> int | None:
        """Return who may improve most upon the leader; where nobody may, who was seen least."""
        others = [number for number in self.alive if number != leader]
        hopeful = [number for number in others if chance_to_lead(self.outlook, leader, number) >= OUT]
        if hopeful:
            return challenger_of(self.outlook, leader, {n: self._visit_s(n) for n in hopeful})
        return min(others, key=lambda n: (self.visits.get(n, 0), -self._mean_score(n)), default=None)

    def _mean_score(self, number: int) -> float:
        return float(self.outlook.best_scores(number).mean())

    def _looks_at_lowest(self) -> dict[int, int]:
        """Return in how many generations each that is left was measured at the lowest of its loads."""
        names = {self.grid.candidates[number].name: number for number in self.alive}
        seen = {(trial.candidate, trial.generation, trial.load) for trial in self.trials if not trial.failure}
        counted = Counter(
            names[name] for name, _, load in seen if name in names and load == self.grid.loads[names[name]][0]
        )
        return dict(counted)

    def _split_loads(self, number: int) -> None:
        """Let another load be tried where limits begin to break between two."""
        edge = bracket(self.outlook, number)
        if edge and self.grid.split(number, *edge):
            self.outlook = self._survey()

    def _window_ms(self, number: int, load: Load) -> int:
        """Return a window for enough requests, longer at each visit."""
        rate = max(1e-3, self.grid.prediction(number, load).throughput_per_s)
        requests = REQUESTS_OF_TAILS if limit_metrics(self.grid.wish).keys() & TAILS_OF.keys() else REQUESTS
        shortest = min(LONGEST_MS, max(SHORTEST_MS, requests / rate / measured_s(1)))
        return round(min(LONGEST_MS, shortest * GROWTH ** max(0, self.visits.get(number, 1) - 1)))

    def _visit_s(self, number: int) -> float:
        window_ms = self._window_ms(number, self.grid.loads[number][-1])
        return self.costs.expected("load", window_ms) + (TRIALS_OF_VISIT - 1) * self.costs.expected("stay", window_ms)

    def _affordable(self, ranked: Sequence[int], share_s: float) -> int:
        """Return how many of the first can be looked at within so many seconds; one at least."""
        seconds = 0.0
        for place in range(len(ranked)):
            seconds += self.costs.expected("more instances" if place % 2 else "load", SHORTEST_MS)
            if seconds > share_s:
                return max(1, place)
        return len(ranked)
