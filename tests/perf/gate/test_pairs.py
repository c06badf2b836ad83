from itertools import islice

from tritonsmith.perf.gate.pairs import ORDERS, PlannedPair, plan_pairs
from tritonsmith.perf.measure.load import Load

LOADS = (Load("concurrency", 1), Load("concurrency", 8), Load("request_rate", 50))


def planned(pairs: int, seed: int = 0) -> list[PlannedPair]:
    return list(islice(plan_pairs(LOADS, seed), pairs))


def test_every_pair_measures_both_sides_four_times_at_every_load() -> None:
    for pair in planned(6):
        for load in LOADS:
            sides = tuple(turn.side for turn in pair.turns if turn.load == load)
            assert sides in ORDERS


def test_of_every_two_pairs_each_order_is_one() -> None:
    pairs = planned(20)
    for first, second in zip(pairs[::2], pairs[1::2], strict=True):
        assert first.first_started != second.first_started
        for load in LOADS:
            begins = {next(turn.side for turn in pair.turns if turn.load == load) for pair in (first, second)}
            assert begins == {"baseline", "candidate"}


def test_which_comes_first_is_drawn() -> None:
    begins = [pair.turns[0].side for pair in planned(40)[::2]]
    assert 4 < begins.count("baseline") < 16
    assert len({tuple(dict.fromkeys(turn.load for turn in pair.turns)) for pair in planned(40)}) == 6


def test_a_plan_can_be_drawn_again_and_longer() -> None:
    assert planned(30)[:8] == planned(8)
    assert planned(8) != planned(8, seed=1)


def test_runs_of_a_pair_at_one_load_follow_one_another() -> None:
    for pair in planned(4):
        assert [turn.place for turn in pair.turns] == [0, 1, 2, 3, 4, 5, 6, 7] * 3
