import itertools
import math

import numpy as np
import pytest

from tritonsmith.perf.statistics.signed_rank import (
    bounds,
    depth,
    hodges_lehmann,
    margin,
    p_values_above,
    upper_tails,
    walsh_averages,
)


def test_the_distribution_is_that_of_all_signs() -> None:
    sums = [sum(chosen) for size in range(7) for chosen in itertools.combinations(range(1, 7), size)]
    expected = [sum(one >= t for one in sums) / 64 for t in range(22)]
    assert upper_tails(6) == pytest.approx(expected)


def test_tails_agree_with_a_printed_table() -> None:
    # Hollander, Wolfe, table A.4: P(T >= 44) for n = 10 is 0.053, P(T >= 47) is 0.024; n = 8: P(T >= 30) is 0.055
    assert upper_tails(10)[[44, 47]] == pytest.approx([0.053, 0.024], abs=5e-4)
    assert upper_tails(8)[30] == pytest.approx(0.055, abs=5e-4)


def test_a_printed_example_comes_out() -> None:
    # Hollander, Wolfe, example 3.1 (Hamilton depression scale): T = 5 of the decreases, p = 0.020; estimate -0.46
    before = [1.83, 0.50, 1.62, 2.48, 1.68, 1.88, 1.55, 3.06, 1.30]
    after = [0.878, 0.647, 0.598, 2.05, 1.06, 1.29, 1.06, 3.14, 1.29]
    change = np.subtract(after, before)
    assert p_values_above(-change, 0.0) == pytest.approx(0.0195, abs=5e-4)
    assert hodges_lehmann(change) == pytest.approx(-0.46, abs=5e-3)


def test_the_bound_is_above_a_limit_exactly_where_the_p_value_is_small() -> None:
    draw = np.random.default_rng(5)
    for pairs, level in itertools.product((6, 8, 12, 20), (0.005, 0.02, 0.1)):
        values = draw.normal(0.04, 0.05, size=(300, pairs))
        low, high = bounds(values, level)
        assert np.array_equal(low > 0.02, p_values_above(values, 0.02) <= level)
        assert np.array_equal(high < 0.02, p_values_above(-values, -0.02) <= level)


def test_too_few_pairs_bound_nothing() -> None:
    assert depth(7, 0.005) == 0
    assert depth(8, 0.005) == 1
    assert bounds([0.1] * 7, 0.005) == (-math.inf, math.inf)
    assert margin([0.1] * 7, 0.005) == math.inf


def test_eight_pairs_are_bounded_by_their_extremes() -> None:
    values = [0.01, 0.05, 0.02, 0.04, 0.03, 0.00, 0.06, 0.07]
    assert bounds(values, 1 / 256) == (0.0, 0.07)


@pytest.mark.parametrize("values", [[0.0] * 10, [0.0] * 6 + [0.1] * 4, [0.1, -0.1] * 5, [0.02] * 3 + [-0.02] * 7])
def test_ties_never_make_a_p_value_smaller_than_any_way_to_break_them(values: list[float]) -> None:
    draw = np.random.default_rng(1)
    broken = np.asarray(values) + draw.normal(0, 1e-9, size=(200, len(values)))
    assert p_values_above(values, 0.0) >= p_values_above(broken, 0.0).max()


def test_equal_values_beyond_the_limit_are_as_sure_as_they_can_be() -> None:
    assert p_values_above([0.1] * 8, 0.05) == 1 / 256
    assert p_values_above([0.05] * 8, 0.05) == 1.0


def test_one_outlier_hardly_moves_the_estimate() -> None:
    values = [0.05, 0.04, 0.06, 0.05, 0.045, 0.055, 0.05, 0.05]
    assert hodges_lehmann([*values, 3.0]) == pytest.approx(0.05, abs=0.005)


def test_many_gates_are_judged_as_each_alone() -> None:
    values = np.random.default_rng(2).normal(size=(5, 9))
    assert walsh_averages(values).shape == (5, 45)
    assert hodges_lehmann(values) == pytest.approx([hodges_lehmann(row) for row in values])


def test_the_interval_covers_as_often_as_it_says() -> None:
    draw = np.random.default_rng(3)
    low, _ = bounds(draw.standard_t(2, size=(20_000, 12)), 0.05)
    exact = upper_tails(12)[upper_tails(12) <= 0.05][0]
    assert np.mean(low > 0) == pytest.approx(exact, abs=0.005)
