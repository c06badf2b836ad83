"""How truly perf_analyzer replayed a recorded trace: when it sent each request, and when it should have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tritonsmith.perf.measure.profile import Floats, Profile
from tritonsmith.perf.statistics import quantile

SEARCHED_OFFSETS = 64  # how many requests around the likely first one are tried as the first


@dataclass(frozen=True)
class Replayed:
    """Requests of the trace, and those of them that were sent and answered; how late they were sent.

    `lag_` quantiles are over the requests' distances from their times in the trace, either way.
    """

    asked: int
    answered: int
    asked_per_s: float
    sent_per_s: float
    lag_p50_us: float
    lag_p99_us: float
    lag_max_us: float


def compare_replay(arrivals_s: Sequence[float], profile: Profile) -> Replayed:
    """Compare when requests were sent with when the trace has them; `arrivals_s` [requests], ascending.

    The export does not say which request of the schedule is which: they are matched in order, from the first that makes
    the distances least.
    """
    asked = np.asarray(arrivals_s, dtype=float)
    sent = (np.sort(profile.sent_ns) - profile.sent_ns.min()) / 1e9
    lags_us = _lags_us(asked, sent)
    return Replayed(
        asked=len(asked),
        answered=len(sent),
        asked_per_s=round(_rate(asked), 3),
        sent_per_s=round(_rate(sent), 3),
        lag_p50_us=round(quantile(lags_us, 0.5), 1),
        lag_p99_us=round(quantile(lags_us, 0.99), 1),
        lag_max_us=round(float(lags_us.max()), 1),
    )


def _lags_us(asked: Floats, sent: Floats) -> Floats:
    """Return the distances at the best match, [requests]: a trace's end, and what it begins with, may be missing."""
    count = min(len(asked), len(sent))
    best = np.full(count, np.inf)
    for offset in range(min(SEARCHED_OFFSETS, len(asked) - count + 1)):
        differences = sent[:count] - asked[offset : offset + count]
        lags = np.abs(differences - np.median(differences)) * 1e6
        best = min(best, lags, key=lambda one: float(np.median(one)))
    return best


def _rate(times_s: Floats) -> float:
    duration_s = float(times_s[-1] - times_s[0]) if len(times_s) > 1 else 0.0
    return (len(times_s) - 1) / duration_s if duration_s else 0.0
