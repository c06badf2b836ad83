"""What of one run kept a limit on time: requests within it, counted window by window."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tritonsmith.perf.measure.load import Load
from tritonsmith.perf.measure.profile import Floats, Profile
from tritonsmith.perf.measure.streams import times_per_token_us, tokens_per_request

# The share of requests that must be within a limit for it to hold; TTFT's and TPOT's are limits on their p99.
SHARES = {"p50_ms": 0.50, "p90_ms": 0.90, "p95_ms": 0.95, "p99_ms": 0.99, "ttft_ms": 0.99, "tpot_ms": 0.99}


@dataclass(frozen=True)
class Kept:
    """Requests of each window ([windows]), how many of them were within the limit, and their mean.

    A rate's requests that were not answered by the end of the windows though they should have been are counted in the
    last window, as requests beyond the limit.
    """

    metric: str  # p50_ms, p90_ms, p95_ms, p99_ms, mean_ms, ttft_ms, tpot_ms
    limit_ms: float
    requests: tuple[int, ...]
    within: tuple[int, ...]
    mean_ms: tuple[float, ...]


def count_kept(load: Load, profile: Profile, limits_ms: Mapping[str, float]) -> tuple[Kept, ...]:
    """Return for each limit how many requests kept it; TPOT is not asked of an answer with a single token."""
    return tuple(_count(load, profile, metric, limit_ms) for metric, limit_ms in limits_ms.items())


def unanswered(load: Load, profile: Profile, limit_ms: float) -> int:
    """Return how many requests of a rate were left without an answer beyond those that may be in flight.

    An export has only requests that were answered: of a server that falls behind, the earliest, which are the fast
    ones. What may be in flight at the end is what arrives within the limit, and 2 % of all, a tolerance.
    """
    if load.kind == "concurrency":
        return 0
    asked = min(load.value, max(profile.sent_per_s, profile.throughput_per_s)) * profile.measured_s
    return max(0, round(0.98 * asked - load.value * limit_ms / 1e3 - 2) - len(profile.sent_ns))


def _count(load: Load, profile: Profile, metric: str, limit_ms: float) -> Kept:
    times_ms = _times_ms(profile, metric)
    is_any = ~np.isnan(times_ms)
    windows = np.searchsorted(profile.window_ends_ns[1:-1], profile.finished_ns)
    requests, within, means = [], [], []
    for window in range(len(profile.window_ends_ns) - 1):
        mine = times_ms[is_any & (windows == window)]
        requests.append(len(mine))
        within.append(int((mine <= limit_ms).sum()))
        means.append(round(float(mine.mean()), 4) if len(mine) else 0.0)
    requests[-1] += unanswered(load, profile, limit_ms)
    return Kept(metric, limit_ms, tuple(requests), tuple(within), tuple(means))


def _times_ms(profile: Profile, metric: str) -> Floats:
    if metric == "ttft_ms":
        return profile.first_response_us / 1e3
    if metric == "tpot_ms":
        return times_per_token_us(profile, tokens_per_request(profile)) / 1e3
    return profile.latencies_us / 1e3
