"""When requests of a traffic come to one replica, and how long they are."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import numpy as np

from tritonsmith.generator.errors import UsageError
from tritonsmith.perf.plan.core import Traffic
from tritonsmith.perf.simulate.traffic import Bursty, Poisson, arrival_times

Arrivals = list[tuple[float, int, int]]  # seconds, input tokens, output tokens; in order
BURST_S = 10.0  # a burst and the pause after it: what is over before an answer is given is hardly felt
BURSTS = 30  # of which a simulation has as many at least, if that makes it no more than MOST_LONGER times as long
MOST_LONGER = 4
LEAST_PER_S = 1e-4  # requests that come less often do not meet either; their times are still numbers of nanoseconds
MOST_PARTS = 64  # of a trace, each what another replica gets


def traffic_rate_per_s(traffic: Traffic) -> float:
    """Return requests per second: of recorded arrivals, or as given.

    Raises: UsageError where that is none, or no number.
    """
    rate_per_s = traffic.rate_per_s
    if traffic.arrivals:
        first_s, last_s = traffic.arrivals[0][0], traffic.arrivals[-1][0]
        rate_per_s = (len(traffic.arrivals) - 1) / (last_s - first_s) if last_s > first_s else 0.0
    if not 0 < rate_per_s < math.inf:
        raise UsageError(
            f"no traffic: {rate_per_s:g} requests/s", hint="give a rate above 0, or a trace of two or more"
        )
    return rate_per_s


def least_replicas(rate_per_s: float, each_per_s: float) -> int:
    """Return how many replicas answer a rate of which each takes `each_per_s` at most: one at least."""
    return max(1, math.ceil(rate_per_s / each_per_s - 1e-9))


def requests_for(traffic: Traffic, rate_per_s: float, count: int, period_s: float = BURST_S) -> int:
    """Return how many requests tell as much as `count` of them that come at random: more where they come in bursts."""
    if traffic.arrivals or traffic.bursts <= 1:
        return count
    return max(count, min(MOST_LONGER * count, round(BURSTS * period_s * rate_per_s)))


def arrivals_at(traffic: Traffic, rate_per_s: float, count: int, seed: int) -> Arrivals:
    """Return `count` arrivals at a replica whose part of the traffic is `rate_per_s`.

    The load balancer picks replicas at random. Of recorded arrivals a random part is kept, several such parts one after
    the other, and as many as that makes, one at least; a rate above the recorded one is the recorded one. The same seed
    at another rate gives the same arrivals in another time.
    """
    if traffic.arrivals:
        share = min(1.0, rate_per_s / traffic_rate_per_s(traffic))
        return list(itertools.islice(_parts(traffic, share, seed), count)) or [traffic.arrivals[0]]
    rate_per_s = max(rate_per_s, LEAST_PER_S)
    kind = Bursty(rate_per_s, traffic.bursts, BURST_S) if traffic.bursts > 1 else Poisson(rate_per_s)
    times_ns = itertools.islice(arrival_times(kind, np.random.default_rng(seed)), count)
    return [(time_ns / 1e9, traffic.input_tokens, traffic.output_tokens) for time_ns in times_ns]


def _parts(traffic: Traffic, share: float, seed: int) -> Iterator[tuple[float, int, int]]:
    """Yield what each of several replicas gets of the recorded arrivals, as if it came to one after the other."""
    random = np.random.default_rng(seed)
    first_s, last_s = traffic.arrivals[0][0], traffic.arrivals[-1][0]
    pause_s = (last_s - first_s) / len(traffic.arrivals)
    for part in range(min(MOST_PARTS, max(1, round(1 / share)))):
        shift_s = part * (last_s - first_s + pause_s) - first_s
        is_kept = random.random(len(traffic.arrivals)) < share
        for (time_s, inputs, outputs), keep in zip(traffic.arrivals, is_kept.tolist(), strict=True):
            if keep:
                yield time_s + shift_s, inputs, outputs
