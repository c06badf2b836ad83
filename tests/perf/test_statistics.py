import itertools

import numpy as np
import pytest

from tritonsmith.perf.statistics import (
    median_interval,
    paired_shift,
    quantile,
    relative_spread,
    requests_needed,
    signed_rank_p,
    spread,
)


def test_five_values_bound_their_median_with_94_per_cent() -> None:
    interval = median_interval([5.0, 1.0, 4.0, 2.0, 3.0])
    assert (interval.low, interval.high, interval.coverage) == (1.0, 5.0, 0.9375)


def test_ten_values_bound_their_median_without_the_extremes() -> None:
    interval = median_interval([float(value) for value in range(1, 11)])
    assert (interval.low, interval.high) == (2.0, 9.0)
    assert interval.coverage == pytest.approx(1 - 22 / 1024)  # Conover, Practical Nonparametric Statistics, table A3


def test_the_interval_of_the_median_covers_as_often_as_it_says() -> None:
    draw = np.random.default_rng(1)
    samples = draw.lognormal(size=(4000, 8))
    intervals = [median_interval(sample.tolist()) for sample in samples]
    covered = np.mean([interval.low <= 1.0 <= interval.high for interval in intervals])
    assert covered == pytest.approx(intervals[0].coverage, abs=0.01)


def test_one_value_has_no_interval_worth_the_name() -> None:
    assert median_interval([3.0]).coverage == 0.0


def test_one_outlier_does_not_move_the_spread() -> None:
    quiet = [10.0, 10.1, 9.9, 10.2, 9.8]
    assert spread([*quiet[:-1], 1000.0]) == pytest.approx(spread(quiet), rel=0.6)
    assert relative_spread(quiet) == pytest.approx(0.014826)


def test_a_quantile_is_a_value_that_was_seen() -> None:
    assert quantile([1.0, 2.0, 3.0, 4.0], 0.5) == 2.0
    assert quantile([1.0, 2.0, 3.0, 4.0], 0.99) == 4.0


def test_p99_needs_a_thousand_requests() -> None:
    assert [requests_needed(share) for share in (0.5, 0.9, 0.95, 0.99)] == [20, 100, 200, 1000]


def test_the_exact_p_is_that_of_the_tables() -> None:
    # n = 8, T = 3: two-sided p = 2 * 5 / 256 (scipy.stats.wilcoxon(..., method="exact"))
    differences = [-1.0, -2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]
    assert signed_rank_p(differences) == pytest.approx(2 * 5 / 256)


def test_the_exact_p_with_ties_equals_enumeration() -> None:
    values = np.array([1.0, 1.0, -2.0, 3.0, 3.0, -3.0, 4.0])
    ranks = np.array([1.5, 1.5, 3.0, 5.0, 5.0, 5.0, 7.0])
    observed = ranks[values > 0].sum()
    sums = [np.dot(signs, ranks) for signs in itertools.product((0, 1), repeat=7)]
    tail = min(np.mean([total <= observed for total in sums]), np.mean([total >= observed for total in sums]))
    assert signed_rank_p(values) == pytest.approx(2 * tail)


def test_no_difference_at_all_is_no_evidence() -> None:
    assert signed_rank_p([0.0, 0.0, 0.0]) == 1.0


def test_the_paired_shift_is_the_median_of_the_walsh_averages() -> None:
    # Hollander & Wolfe, example 3.1 (Hamilton depression scale): -0.46, 96.1 % interval [-0.786, -0.010]
    before = [1.83, 0.50, 1.62, 2.48, 1.68, 1.88, 1.55, 3.06, 1.30]
    after = [0.878, 0.647, 0.598, 2.05, 1.06, 1.29, 1.06, 3.14, 1.29]
    shift = paired_shift([a - b for a, b in zip(after, before, strict=True)], confidence=0.961 - 0.001)
    assert shift.estimate == pytest.approx(-0.46)
    assert (shift.interval.low, shift.interval.high) == pytest.approx((-0.786, -0.010))
    assert shift.interval.coverage == pytest.approx(0.961, abs=0.0005)
    assert shift.p_value == pytest.approx(0.0390625)


def test_the_interval_of_the_shift_covers_as_often_as_it_says() -> None:
    draw = np.random.default_rng(2)
    shifts = [paired_shift(draw.normal(0.5, 1.0, 9).tolist()) for _ in range(2000)]
    covered = np.mean([shift.interval.low <= 0.5 <= shift.interval.high for shift in shifts])
    assert covered == pytest.approx(shifts[0].interval.coverage, abs=0.015)
