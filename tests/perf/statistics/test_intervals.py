import numpy as np
import pytest

from tritonsmith.perf.statistics import (
    median_interval,
    quantile,
    relative_spread,
    requests_needed,
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
