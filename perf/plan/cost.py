"""What a fleet costs and takes: per hour, per million tokens or requests, joules for a token."""

from __future__ import annotations

import math
from dataclasses import dataclass

from tritonsmith.generator.catalog.gpus import Gpu
from tritonsmith.generator.errors import UsageError
from tritonsmith.perf.cost import cost_per_million
from tritonsmith.perf.plan.core import Figure, Replicas, Tails, Traffic
from tritonsmith.perf.plan.replicas.arrivals import least_replicas, traffic_rate_per_s

# Shares of the board's limit that GPUs drew, idle and while they generated text in batches of 1 to 128: H100 267-680 W
# of 700, H200 80 W idle, 517 W at 128 and 593 W at most of 700, B200 452-943 W of 1000.
# Source: api.serialalice.pt/alice-benchmark (June 2026).
IDLE, BUSY, LEAST_BUSY, MOST_BUSY = 0.11, 0.74, 0.38, 0.97


@dataclass(frozen=True)
class Cost:
    """What a fleet costs while it answers a traffic all the time, in the currency of its price.

    Tokens are those generated. Ends of intervals are the fleets that the ends of `rate_per_replica` need; a high end is
    infinite where replicas may be too slow for the objectives, however many there are.
    """

    per_hour: Figure
    per_million_tokens: Figure
    per_million_requests: Figure


def cost_of(found: Replicas, gpus_per_replica: int, price_per_gpu_hour: float, traffic: Traffic) -> Cost:
    """Return what the replicas of a traffic cost, spare ones included, a roll-out's surge not.

    Raises: UsageError for a price of 0 or less.
    """
    rate_per_s, rate = traffic_rate_per_s(traffic), found.rate_per_replica
    ends = _total(found, rate_per_s, rate.high), _total(found, rate_per_s, rate.low)
    return cost_of_fleet(found.total, ends, gpus_per_replica, price_per_gpu_hour, traffic)


def cost_of_fleet(
    replicas: int, ends: tuple[float, float], gpus_per_replica: int, price_per_gpu_hour: float, traffic: Traffic
) -> Cost:
    """Return what so many replicas cost that answer a traffic; `ends` are the fewest and the most that it may take.

    Raises: UsageError for a price of 0 or less.
    """
    if price_per_gpu_hour <= 0:
        raise UsageError(f"a price of {price_per_gpu_hour:g} per GPU and hour is none", hint="give one above 0")
    rate_per_s, replica_price = traffic_rate_per_s(traffic), gpus_per_replica * price_per_gpu_hour
    source = f"{gpus_per_replica} GPUs a replica at {price_per_gpu_hour:g} per GPU and hour"
    per_hour = Figure(replicas * replica_price, ends[0] * replica_price, ends[1] * replica_price, source)
    return Cost(
        per_hour,
        _per_million(per_hour, rate_per_s * tokens_per_request(traffic)),
        _per_million(per_hour, rate_per_s),
    )


def joules_per_token(gpu: Gpu, gpus: int, tails: Tails, traffic: Traffic) -> Figure:
    """Return what so many GPUs take for a generated token of a traffic; `tails` are those of each replica, all up.

    A GPU with a small batch is busy all the same: while it takes steps it draws what GPUs did with one sequence, and
    more by the share of what it can do. Boards only: hosts, fans and losses come on top.
    """
    tokens_per_s = traffic_rate_per_s(traffic) * tokens_per_request(traffic)
    least = IDLE + tails.busy * (LEAST_BUSY - IDLE)
    shares = (
        least + min(1.0, tails.utilisation) * (BUSY - LEAST_BUSY),
        least,
        IDLE + tails.busy * (MOST_BUSY - IDLE),
    )
    value, low, high = (gpus * gpu.power_w * share / tokens_per_s for share in shares)
    source = (
        f"{gpus} boards of at most {gpu.power_w:g} W, {IDLE:.0%} of that idle, {LEAST_BUSY:.0%}-{MOST_BUSY:.0%} busy, "
        f"which is {tails.busy:.0%} of the time"
    )
    return Figure(value, low, high, source)


def tokens_per_request(traffic: Traffic) -> float:
    """Return the tokens that an answer has on average."""
    if traffic.arrivals:
        return sum(outputs for _, _, outputs in traffic.arrivals) / len(traffic.arrivals)
    return traffic.output_tokens


def _total(found: Replicas, rate_per_s: float, rate_per_replica: float) -> float:
    if rate_per_replica <= 0:
        return math.inf
    return least_replicas(rate_per_s, rate_per_replica) + found.spare


def _per_million(per_hour: Figure, rate_per_s: float) -> Figure:
    value, low, high = (
        cost_per_million(price, rate_per_s) or 0.0 for price in (per_hour.value, per_hour.low, per_hour.high)
    )
    return Figure(value, low, high, f"{per_hour.source}, {rate_per_s:,.4g} of them a second")
