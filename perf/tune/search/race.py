"""Who is measured next, who is out, and whether it is enough: decided on draws of what may be true."""

from __future__ import annotations

import itertools
import random
from collections.abc import Mapping, Sequence

import numpy as np

from tritonsmith.perf.measure.load import Load
from tritonsmith.perf.tune.core import Candidate
from tritonsmith.perf.tune.search.costs import count_key, reload_key
from tritonsmith.perf.tune.search.outlook import BROKEN, RATHER, Outlook

ALIKE = 0.01  # scores this close are no reason to go on
OUT = 0.005  # a candidate that beats the leader by more than that with a smaller probability is eliminated
FEWEST_LOOKS = 2  # at the lowest load, before limits are given up
LOSS, LOSS_CHANCE, MEAN_LOSS = 0.02, 0.01, 0.001  # decided: a better one is further ahead with a small chance only


def central_scores(outlook: Outlook) -> dict[int, float]:
    """Return each candidate's score: at its proposed load, or where none is likely to hold, the median of its draws."""
    scores = {}
    for number in outlook.candidates():
        proposed = outlook.proposal(number)
        scores[number] = proposed[1] if proposed else float(np.median(outlook.best_scores(number)))
    return scores


def leader_of(outlook: Outlook) -> int:
    """Return the candidate with the best score."""
    scores = central_scores(outlook)
    return max(scores, key=lambda number: scores[number])


def challenger_of(outlook: Outlook, leader: int, costs: Mapping[int, float]) -> int | None:
    """Return who may improve most upon the leader per second of measuring; None where nobody is left."""
    mine = outlook.best_scores(leader)
    gains = {
        number: float(np.clip(outlook.best_scores(number) - mine, 0.0, 1.0).mean()) / costs[number]
        for number in outlook.candidates()
        if number != leader and number in costs
    }
    return max(gains, key=lambda number: gains[number]) if gains else None


def chance_to_lead(outlook: Outlook, leader: int, number: int) -> float:
    """Return the probability that a candidate is better than the leader by more than what is alike."""
    return float((outlook.best_scores(number) - outlook.best_scores(leader) > ALIKE).mean())


def is_decided(outlook: Outlook, leader: int) -> bool:
    """Return whether hardly anything can be gained over the leader at its load."""
    proposed = outlook.proposal(leader)
    if proposed is None:
        return False
    column = outlook.points.index((leader, proposed[0]))
    best = np.max([outlook.best_scores(number) for number in outlook.candidates()], axis=0)
    losses = np.clip(best - outlook.scores[:, column], 0.0, 1.0)
    return float(losses.mean()) < MEAN_LOSS and float((losses > LOSS).mean()) < LOSS_CHANCE


def is_hopeless(outlook: Outlook, looks: Mapping[int, int]) -> bool:
    """Return whether surely nobody keeps the limits at any load.

    `looks` counts the generations in which each was measured at its lowest load: in fewer than two nothing is sure.
    """
    return all(
        looks.get(number, 0) >= FEWEST_LOOKS and float((outlook.best_scores(number) > BROKEN).mean()) < OUT
        for number in outlook.candidates()
    )


def likeliest_load(outlook: Outlook, number: int) -> Load:
    """Return the load that most probably is a candidate's best; where no limit ever holds, the lowest."""
    chances = outlook.chances(number)
    return max(chances, key=lambda load: chances[load])


def drawn_load(outlook: Outlook, number: int, draw: random.Random) -> Load:
    """Return a load, drawn by how probable it is the candidate's best: what is sure is not tried again and again."""
    chances = outlook.chances(number)
    loads = list(chances)
    if not sum(chances.values()):
        return loads[0]
    return draw.choices(loads, [chances[load] for load in loads])[0]


def bracket(outlook: Outlook, number: int) -> tuple[Load, Load] | None:
    """Return neighbouring loads between which limits begin to break and the score would still grow; or None."""
    columns = outlook.columns(number)
    for low, high in itertools.pairwise(columns):
        is_edge = outlook.holds[low] >= RATHER > outlook.holds[high]
        if is_edge and outlook.objective[high] - outlook.objective[low] > 2 * ALIKE:
            return outlook.points[low][1], outlook.points[high][1]
    return None


def cheap_order(numbers: Sequence[int], candidates: Sequence[Candidate], draw: random.Random) -> list[int]:
    """Return candidates in an order of the draw, those that differ by instance counts together, counts going up."""
    groups: dict[tuple[tuple[str, str], ...], list[int]] = {}
    for number in numbers:
        groups.setdefault(reload_key(candidates[number].variant), []).append(number)
    shuffled = draw.sample(list(groups.values()), len(groups))
    return [number for group in shuffled for number in sorted(group, key=lambda n: count_key(candidates[n].variant))]
