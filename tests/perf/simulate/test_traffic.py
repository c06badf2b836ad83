from itertools import islice

import numpy as np
import pytest

from tritonsmith.perf.simulate import Bursty, Constant, Poisson, Trace
from tritonsmith.perf.simulate.outcome import Floats
from tritonsmith.perf.simulate.traffic import Arrivals, arrival_times


def gaps_us(arrivals: Arrivals, count: int = 40_000) -> Floats:
    times = list(islice(arrival_times(arrivals, np.random.default_rng(5)), count))
    assert times == sorted(times)
    return np.diff(times) / 1e3


@pytest.mark.parametrize("arrivals", [Poisson(1000), Constant(1000), Bursty(1000, 4, 0.05)])
def test_arrivals_have_their_mean_rate(arrivals: Arrivals) -> None:
    assert gaps_us(arrivals).mean() == pytest.approx(1000, rel=0.08)


def test_bursts_vary_more_than_poisson_arrivals_and_these_more_than_constant_ones() -> None:
    bursty, poisson, constant = (
        gaps_us(arrivals).std() / 1000 for arrivals in (Bursty(1000, 4, 0.05), Poisson(1000), Constant(1000))
    )
    assert poisson == pytest.approx(1, rel=0.02)
    assert bursty > 2
    assert constant < 1e-3


def test_a_burst_without_pauses_is_poisson() -> None:
    assert gaps_us(Bursty(1000, peak=1)).std() == pytest.approx(1000, rel=0.02)


def test_a_trace_arrives_as_recorded() -> None:
    times = arrival_times(Trace((0.0, 0.5, 0.5, 2.0)), np.random.default_rng())
    assert list(times) == [0, 500_000_000, 500_000_000, 2_000_000_000]
