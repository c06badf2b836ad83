"""The search on arenas that answer without noise, with noise, with failures, and with little time."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import pytest

from tritonsmith.perf.bench.tune_arena import SimulatedArena, drawn_noise
from tritonsmith.perf.bench.tune_spaces import space
from tritonsmith.perf.limits import Limit
from tritonsmith.perf.measure.load import Load
from tritonsmith.perf.tune.core import Candidate, Found, Prediction, Trial, Wish
from tritonsmith.perf.tune.search.search import search

LOADS = tuple(Load("concurrency", value) for value in (1, 4, 16))
COUNT, BATCH = "models.m.instance_group.count", "models.m.max_batch_size"
CANDIDATES = [
    Candidate(f"{batch} x {count}", {BATCH: batch, COUNT: count}, (float(count), float(batch)))
    for batch in (1, 8)
    for count in (1, 2, 3)
]


def rate(candidate: Candidate, load: Load) -> float:
    capacity = 100 * math.sqrt(float(candidate.variant[BATCH]) * float(candidate.variant[COUNT]))
    return capacity * load.value / (load.value + 4)


def prediction(candidate: Candidate, load: Load, factor: float = 1.0) -> Prediction:
    answers = rate(candidate, load) * factor
    mean_ms = load.value / answers * 1e3
    return Prediction(answers, answers, mean_ms, mean_ms, 1.5 * mean_ms, 1.7 * mean_ms, 2 * mean_ms)


@dataclass
class Exact:
    """An arena without noise, whose clock runs as fast as told; what is in `broken` fails, each name so often."""

    broken: dict[str, int] = field(default_factory=dict)
    step_s: float = 1.0
    spent_s: float = 0.0
    alike: float = 1.0
    asked: list[Trial] = field(default_factory=list)
    generation: int = 0
    loaded: str = ""

    def measure(self, candidate: Candidate, load: Load, *, window_ms: int, is_fresh: bool) -> Trial:
        self.generation += is_fresh or self.loaded != candidate.name
        self.loaded = candidate.name
        seconds = self.step_s + 3.6 * window_ms / 1e3
        self.spent_s += seconds
        trial = Trial(candidate.name, load, self.generation, window_ms, seconds=seconds)
        if self.broken.get(candidate.name, 0):
            self.broken[candidate.name] -= 1
            trial = replace(trial, failure="out of memory")
        else:
            true = prediction(candidate, load)
            trial = replace(trial, requests=1000, memory_mib=100 * float(candidate.variant[COUNT]), **vars(true))
        self.asked.append(trial)
        return trial


def found(wish: Wish, arena: Exact, budget_s: float = 60.0) -> Found:
    return search(CANDIDATES, wish, arena, prediction, budget_s=budget_s, seed=1)


def test_the_best_is_picked_at_its_best_load() -> None:
    result = found(Wish("throughput", (), LOADS), Exact())
    assert result.pick and (result.pick.name, result.load) == ("8 x 3", LOADS[-1])
    assert result.standings[0].fate == "picked"


def test_a_prediction_that_ranks_wrongly_is_overruled_by_measurements() -> None:
    def wrong(candidate: Candidate, load: Load) -> Prediction:
        return prediction(candidate, load, factor=0.8 if candidate.variant[BATCH] == 8 else 1.7)

    result = search(CANDIDATES, Wish("throughput", (), LOADS), Exact(), wrong, budget_s=80.0, seed=1)
    assert result.pick and result.pick.name == "8 x 3"


def test_limits_hold_at_the_load_that_is_picked() -> None:
    limit = 2 * 4 / rate(CANDIDATES[-1], LOADS[1]) * 1e3 * 1.1  # the best keeps it at concurrency 4, hardly above
    result = found(Wish("throughput", (Limit("p99_ms", limit),), LOADS), Exact())
    assert result.pick and result.load and result.load.value >= 4
    assert prediction(result.pick, result.load).p99_ms <= limit


def test_a_limit_that_the_simulator_does_not_predict_is_kept_too() -> None:
    result = found(Wish("throughput", (Limit("memory_mib", 250.0),), LOADS), Exact())
    assert result.pick and result.pick.name == "8 x 2"


def test_nothing_is_picked_where_no_limit_can_hold() -> None:
    result = found(Wish("throughput", (Limit("p99_ms", 0.01),), LOADS), Exact())
    assert result.pick is None and result.load is None


def test_what_nothing_can_keep_is_given_up_early_once_each_that_is_left_was_seen_twice() -> None:
    arena = Exact()
    result = found(Wish("throughput", (Limit("p99_ms", 0.01),), LOADS), arena, 600.0)
    assert arena.spent_s < 60 and not result.is_out_of_budget
    looks = [trial for trial in arena.asked if trial.load == LOADS[0]]
    assert {trial.candidate for trial in looks} == {one.name for one in CANDIDATES}
    assert max(sum(trial.candidate == one.name for trial in looks) for one in CANDIDATES) >= 2


def test_limits_that_hold_are_not_given_up_where_the_prediction_says_that_none_can() -> None:
    def slow(candidate: Candidate, load: Load) -> Prediction:
        return prediction(candidate, load, factor=0.3)

    limit = prediction(CANDIDATES[-1], LOADS[0]).p99_ms * 1.5
    result = search(
        CANDIDATES, Wish("throughput", (Limit("p99_ms", limit),), LOADS), Exact(), slow, budget_s=90, seed=1
    )
    assert result.pick and result.load and prediction(result.pick, result.load).p99_ms <= limit


@pytest.mark.parametrize("seed", range(3))
def test_noise_does_not_keep_a_search_from_giving_up(seed: int) -> None:
    made = space("batching pays", "throughput", seed, 0.1)
    least_ms = min(made.truth(one, made.wish.loads[0]).p50_ms for one in made.candidates)
    wish = replace(made.wish, limits=(Limit("p50_ms", least_ms / 5),))
    arena = SimulatedArena(made, drawn_noise(seed), seed)
    result = search(made.candidates, wish, arena, arena.predict, budget_s=200, seed=seed)
    assert result.pick is None and not result.is_out_of_budget


def test_latency_is_judged_at_the_highest_load() -> None:
    result = found(Wish("latency", (), LOADS, "p50_ms"), Exact())
    assert result.pick and result.pick.name == "8 x 3"
    assert {trial.load for trial in result.trials} == {LOADS[-1]}


def test_a_cost_is_least_where_throughput_is_highest() -> None:
    result = found(Wish("cost", (), LOADS, price_per_hour=3.6), Exact())
    assert result.pick and result.pick.name == "8 x 3"
    assert result.standings[0].value == pytest.approx(1000 / rate(CANDIDATES[-1], LOADS[-1]), rel=0.05)


def test_a_failure_is_tried_once_more() -> None:
    result = found(Wish("throughput", (), LOADS), Exact({"8 x 3": 1}))
    assert result.pick and result.pick.name == "8 x 3"


def test_what_fails_twice_is_out_with_its_reason() -> None:
    result = found(Wish("throughput", (), LOADS), Exact({"8 x 3": 99}))
    assert result.pick and result.pick.name == "8 x 2"
    failed = next(one for one in result.standings if one.candidate.name == "8 x 3")
    assert (failed.fate, failed.reason, failed.trials) == ("failed", "out of memory", 2)


def test_a_space_in_which_everything_fails_has_no_pick() -> None:
    result = found(Wish("throughput", (), LOADS), Exact({one.name: 99 for one in CANDIDATES}))
    assert result.pick is None
    assert {one.fate for one in result.standings} <= {"failed", "not measured"}


@pytest.mark.parametrize("budget_s", [0.5, 5.0, 20.0, 60.0])
def test_the_budget_is_kept_to(budget_s: float) -> None:
    arena = Exact()
    found(Wish("throughput", (), LOADS), arena, budget_s)
    assert arena.spent_s <= budget_s


def test_with_no_time_at_all_nothing_is_claimed() -> None:
    result = found(Wish("throughput", (), LOADS), Exact(), 0.5)
    assert result.pick is None and result.is_out_of_budget and not result.trials


def test_one_candidate_is_measured_and_picked() -> None:
    result = search(CANDIDATES[:1], Wish("throughput", (), LOADS), Exact(), prediction, budget_s=30.0, seed=1)
    assert result.pick == CANDIDATES[0]


def test_a_single_loading_is_never_trusted() -> None:
    arena = Exact()
    search(CANDIDATES[:1], Wish("throughput", (), LOADS), arena, prediction, budget_s=30.0, seed=1)
    assert len({trial.generation for trial in arena.asked}) >= 2


def test_the_same_answers_bring_the_same_questions() -> None:
    first, second = Exact(), Exact()
    wish = Wish("throughput", (Limit("p99_ms", 60.0),), LOADS)
    assert found(wish, first) == found(wish, second)
    assert first.asked == second.asked


def test_instance_counts_change_innermost_at_the_first_look() -> None:
    arena = Exact()
    found(Wish("throughput", (), LOADS), arena, 200.0)
    first = list(dict.fromkeys(trial.candidate.split(" x ")[0] for trial in arena.asked[:3]))
    assert len(first) == 1


def test_of_equals_the_thriftiest_is_picked() -> None:
    def equal(candidate: Candidate, load: Load) -> Prediction:
        return prediction(CANDIDATES[0], load)

    class Equal(Exact):
        def measure(self, candidate: Candidate, load: Load, *, window_ms: int, is_fresh: bool) -> Trial:
            trial = super().measure(candidate, load, window_ms=window_ms, is_fresh=is_fresh)
            return replace(trial, **vars(equal(candidate, load)))

    result = search(CANDIDATES, Wish("throughput", (), LOADS), Equal(), equal, budget_s=60.0, seed=1)
    assert result.pick and result.pick.name == "1 x 1"
    assert any(one.fate == "tied" for one in result.standings)


def test_picks_survive_noise_and_biased_processes() -> None:
    regrets = []
    for seed in range(3):
        made = space("batching pays", "throughput", seed, 0.1)
        arena = SimulatedArena(made, drawn_noise(seed), seed)
        result = search(made.candidates, made.wish, arena, arena.predict, budget_s=100, seed=seed)
        assert result.pick and result.load and arena.spent_s <= 105
        regrets.append(1 - math.exp(made.true_score(result.pick, result.load) - made.best_score()))
    assert sorted(regrets)[1] <= 0.03 and max(regrets) <= 0.1


def test_what_the_pick_was_measured_against_is_told() -> None:
    made = space("batching does not pay", "throughput", 0, 0.1)
    arena = SimulatedArena(made, drawn_noise(0), 0)
    result = search(made.candidates, made.wish, arena, arena.predict, budget_s=100, seed=0)
    assert result.pick and result.confirmations
    for one in result.confirmations:
        assert one.first == result.pick.name and one.interval[0] <= one.ratio <= one.interval[1]
