"""One replica under a traffic: its tails, what it does at most, and the highest rate within the objectives."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tritonsmith.generator.errors import AnswerIsNo
from tritonsmith.perf.plan.core import Objectives, Serving, StepTimes, Tails, Traffic
from tritonsmith.perf.plan.replicas.arrivals import Arrivals, arrivals_at, requests_for, traffic_rate_per_s
from tritonsmith.perf.plan.replicas.inflight import Floats, Served, serve
from tritonsmith.perf.report.numbers import significant
from tritonsmith.perf.statistics import quantile

REQUESTS = 5_000  # of one simulation: 45 beyond a p99
WARM_UP = 0.1  # of the requests, the first ones, are not counted
FIRST, FAR = 0.2, 0.1  # of the requests; if of these so many too few keep to the objectives, more will not help
TOLERANCE = 0.02  # of the highest rate
LEAST_SHARE = 1e-3  # of what it does at most: a replica that can do less within the objectives can do nothing
KEEPS_UP = 0.95  # of what it does at most: nearer to that the queue grows for hours
FULL_ROUNDS = 3  # batches of sequences, the first and the last not counted
QUANTILES = (0.5, 0.9, 0.95, 0.99)
APART_S = 1e6


@dataclass(frozen=True)
class Replica:
    """One replica: how long its steps take, how it serves, and how many tokens its cache holds."""

    times: StepTimes
    serving: Serving
    kv_tokens: float


def serve_at(replica: Replica, traffic: Traffic, rate_per_s: float, seed: int = 0) -> Served:
    """Return what becomes of requests where `rate_per_s` is the replica's part of the traffic."""
    count = requests_for(traffic, rate_per_s, REQUESTS)
    return _served(replica, traffic, arrivals_at(traffic, rate_per_s, count, seed))


def tails_of(served: Served, objectives: Objectives, utilisation: float) -> Tails:
    """Return what requests met, the first ones left out."""
    answered_s = served.answered_s[np.isfinite(served.answered_s)]
    lasted_s = float(answered_s.max() - served.arrived_s[0]) if len(answered_s) else 0.0
    return Tails(
        _quantiles(served.ttft_ms),
        _quantiles(served.tpot_ms),
        _quantiles(served.latency_ms),
        share_within(served, objectives),
        utilisation,
        served.busy_s / lasted_s if lasted_s else 0.0,
    )


def highest_rate(replica: Replica, traffic: Traffic, objectives: Objectives, most_per_s: float, seed: int = 0) -> float:
    """Return the highest rate per second at which the share of requests keeps to all objectives.

    Found by bisection to 2 %. Where nothing is asked, or anything is kept to, it is what the replica keeps up with;
    of recorded arrivals, at most all of them.

    Raises: AnswerIsNo where not even an idle replica keeps to them.
    """
    high = KEEPS_UP * most_per_s
    if traffic.arrivals:
        high = min(high, traffic_rate_per_s(traffic))
    alone = _served(replica, traffic, list(_one_by_one(traffic)))
    if _share(alone, objectives, 0) < objectives.share:
        raise AnswerIsNo(_why_not(alone, objectives), hint="allow more time, or take more or faster GPUs for a replica")
    if _holds(replica, traffic, objectives, high, seed):
        return high
    least, low = LEAST_SHARE * high, 0.0
    while high - low > TOLERANCE * high and high > least:
        middle = (low + high) / 2
        if _holds(replica, traffic, objectives, middle, seed):
            low = middle
        else:
            high = middle
    if not low:
        raise AnswerIsNo("only an idle replica keeps to the objectives", hint="allow a little more time")
    return low


def most_per_s(replica: Replica, traffic: Traffic) -> float:
    """Return the requests per second of a replica for which some always wait.

    It begins with a batch of sequences that are at all stages, as later on.

    Raises: AnswerIsNo where its cache cannot hold a single request.
    """
    lengths = [(inputs, outputs) for _, inputs, outputs in traffic.arrivals] or [
        (traffic.input_tokens, traffic.output_tokens)
    ]
    mean = sum(inputs + outputs for inputs, outputs in lengths) / len(lengths)
    sequences = min(replica.serving.max_batch_size, int(replica.kv_tokens / mean))
    if sequences < 1:
        message = f"a request of {mean:,.0f} tokens does not go into a cache of {replica.kv_tokens:,.0f}"
        raise AnswerIsNo(message, hint="take more GPUs, a smaller cache type, or shorter requests")
    count = FULL_ROUNDS * sequences + 1
    arrivals = [
        (0.0, inputs, max(1, round(outputs * min(1.0, (place + 1) / sequences))))
        for place, (inputs, outputs) in zip(range(count), itertools.cycle(lengths), strict=False)
    ]
    answered_s = np.sort(_served(replica, traffic, arrivals).answered_s)
    first, last = sequences - 1, count - sequences - 1
    return float((last - first) / (answered_s[last] - answered_s[first]))


def share_within(served: Served, objectives: Objectives) -> float:
    """Return the share of requests that keep to all objectives, the first ones left out."""
    return _share(served, objectives, int(len(served.arrived_s) * WARM_UP))


def _served(replica: Replica, traffic: Traffic, arrivals: Arrivals) -> Served:
    return serve(replica.times, replica.serving, replica.kv_tokens, arrivals, traffic.prefix_share)


def _holds(replica: Replica, traffic: Traffic, objectives: Objectives, rate_per_s: float, seed: int) -> bool:
    """Return whether the objectives are kept to; where they are far from it, the first requests show it."""
    arrivals = arrivals_at(traffic, rate_per_s, requests_for(traffic, rate_per_s, REQUESTS), seed)
    first = _served(replica, traffic, arrivals[: math.ceil(len(arrivals) * FIRST)])
    if share_within(first, objectives) < objectives.share - FAR:
        return False
    return share_within(_served(replica, traffic, arrivals), objectives) >= objectives.share


def _one_by_one(traffic: Traffic) -> Iterator[tuple[float, int, int]]:
    """Yield requests that never meet; all of a fixed length are alike."""
    some = traffic.arrivals[:REQUESTS] or ((0.0, traffic.input_tokens, traffic.output_tokens),)
    yield from ((place * APART_S, inputs, outputs) for place, (_, inputs, outputs) in enumerate(some))


def _share(served: Served, objectives: Objectives, skip: int) -> float:
    is_within = np.isfinite(served.answered_s)
    for limit_ms, values_ms in (
        (objectives.ttft_ms, served.ttft_ms),
        (objectives.tpot_ms, served.tpot_ms),
        (objectives.latency_ms, served.latency_ms),
    ):
        if limit_ms is not None:
            is_within &= values_ms <= limit_ms
    return float(is_within[skip:].mean())


def _why_not(alone: Served, objectives: Objectives) -> str:
    """Return which objective is missed by requests that nobody disturbs, and by how much."""
    named = (
        ("TTFT", objectives.ttft_ms, alone.ttft_ms),
        ("TPOT", objectives.tpot_ms, alone.tpot_ms),
        ("latency", objectives.latency_ms, alone.latency_ms),
    )
    missed = [
        f"{name} {significant(quantile(values_ms, objectives.share))} ms exceeds {limit_ms:g} ms"
        for name, limit_ms, values_ms in named
        if limit_ms is not None and quantile(values_ms, objectives.share) > limit_ms
    ]
    return f"an idle replica is too slow: {', '.join(missed) or 'the objectives together are missed'}"


def _quantiles(values_ms: Floats) -> dict[float, float]:
    counted = values_ms[int(len(values_ms) * WARM_UP) :]
    return {share: quantile(counted, share) for share in QUANTILES}
