"""Which way of serving a model meets what is asked at the least cost, and why the others are not taken."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from tritonsmith.generator.catalog.gpus import Gpu
from tritonsmith.generator.errors import AnswerIsNo, UsageError
from tritonsmith.perf.plan.candidates import Way
from tritonsmith.perf.plan.core import (
    Candidate,
    LanguageModel,
    Memory,
    Replicas,
    Serving,
    StepTimes,
    Traffic,
)
from tritonsmith.perf.plan.cost import Cost, cost_of, cost_of_fleet, joules_per_token
from tritonsmith.perf.plan.memory.replica import memory, quantisations_that_fit
from tritonsmith.perf.plan.options import Wishes, ways_of
from tritonsmith.perf.plan.regions.core import RegionalPlan, ends_of
from tritonsmith.perf.plan.regions.split import World, rates_of, require_sense
from tritonsmith.perf.plan.replicas.arrivals import least_replicas, traffic_rate_per_s
from tritonsmith.perf.plan.replicas.replica import Replica
from tritonsmith.perf.plan.replicas.replicas import replicas
from tritonsmith.perf.plan.shares import gpu_of, per_gpu, whole_of
from tritonsmith.perf.plan.steps.roofline import RooflineTimes
from tritonsmith.perf.plan.steps.throughput import require_positions, throughput
from tritonsmith.perf.report.numbers import significant

GIB = 2.0**30
MOST_SIMULATED = 12  # ways to compare; beyond them only those are simulated that may cost less than the best so far
MOST_TIES = 3  # ways that the reason names
FAR = 2.0  # times the cost of the best so far: a way that cannot be below is not simulated


class Estimator(Protocol):
    """Says how long steps take."""

    def __call__(self, model: LanguageModel, serving: Serving, gpu: Gpu) -> StepTimes:
        """Return step times. Raises: UsageError where it knows none."""
        ...


@dataclass(frozen=True)
class Found:
    """All ways that were looked at, the pick first, then the others that meet what is asked, then those that do not.

    `reason` says why the first is picked; `is_pick` is whether there is one; `regions` is the pick in several of them.
    """

    candidates: tuple[Candidate, ...]
    is_pick: bool
    reason: str
    regions: RegionalPlan | None = None

    @property
    def pick(self) -> Candidate | None:
        """The way to take, None where nothing meets what is asked."""
        return self.candidates[0] if self.is_pick else None


def find(
    model: LanguageModel,
    wishes: Wishes,
    estimate: Estimator = RooflineTimes,
    told: Callable[[str], None] = lambda name: None,
) -> Found:
    """Return all ways of serving a model, judged; `told` hears which of them is simulated.

    Raises: UsageError for a traffic of no rate, and for one that no replica of this model could take, however large.
    """
    if wishes.traffic is not None:
        traffic_rate_per_s(wishes.traffic)
        require_positions(model, wishes.traffic)
    looked_at = [
        one for way in ways_of(model, wishes) if (one := _look_at(way, model, wishes.traffic, estimate)) is not None
    ]
    if wishes.traffic is None:
        ordered = sorted(
            looked_at, key=lambda one: (bool(one.problem), *_size(one, wishes), one.serving.spread.pipeline)
        )
        is_any = not ordered[0].problem
        what = "the cheapest GPUs" if wishes.prices else "the fewest GPUs"
        return Found(tuple(ordered), is_any, f"{what} that hold it; no traffic was given" if is_any else "")
    if wishes.regions is not None:
        require_sense(wishes.regions)
    judged = _judge(looked_at, model, wishes, wishes.traffic, estimate, told)
    ranked = sorted(judged, key=lambda pair: _rank(pair[0], wishes))
    ordered, world = [one for one, _ in ranked], ranked[0][1]
    is_pick = ordered[0].replicas is not None
    regions = world.plan(_price_of_replica(ordered[0], wishes)) if world is not None else None
    return Found(tuple(ordered), is_pick, _reason(ordered, wishes) if is_pick else "", regions)


def _look_at(way: Way, model: LanguageModel, traffic: Traffic | None, estimate: Estimator) -> Candidate:
    """Return a way with its memory, and what one replica of it does at most."""
    length = traffic.input_tokens + traffic.output_tokens / 2 if traffic else None
    held = memory(model, way.serving, way.gpu, tokens_per_sequence=length)
    candidate = Candidate(way.gpu.name, way.serving, held, way.problem)
    if way.problem:
        return candidate
    if not held.fits:
        return replace(candidate, problem=_misfit(held))
    if traffic is None:
        return candidate
    try:
        times = estimate(model, way.serving, way.gpu)
        return replace(candidate, throughput=throughput(times, model, way.serving, held, traffic))
    except UsageError as problem:
        return replace(candidate, problem=problem.message)


def _misfit(held: Memory) -> str:
    needed = held.gpu_bytes - held.free_bytes.value
    largest = max(held.parts, key=lambda part: part.bytes.value)
    return (
        f"does not fit: {needed / GIB:,.1f} GiB are needed of {held.gpu_bytes / GIB:,.1f}, "
        f"{largest.bytes.value / GIB:,.1f} of them for {largest.name}"
    )


def _judge(
    looked_at: Sequence[Candidate],
    model: LanguageModel,
    wishes: Wishes,
    traffic: Traffic,
    estimate: Estimator,
    told: Callable[[str], None],
) -> Iterator[tuple[Candidate, World | None]]:
    """Yield candidates with replicas and costs, those first that can be the cheapest; with their regions, if any."""
    yield from ((one, None) for one in looked_at if one.throughput is None)
    possible = sorted((one for one in looked_at if one.throughput), key=lambda one: _bound(one, wishes, traffic))
    best, simulated = math.inf, 0
    for one in possible:
        least = _bound(one, wishes, traffic)[0]
        if least > FAR * best or (simulated >= MOST_SIMULATED and least >= best):
            cost = f", {significant(least)} per hour," if wishes.prices else ""
            gpus = _least_gpus(one, wishes, traffic)
            yield replace(one, problem=f"not simulated: {gpus} GPUs{cost} at least"), None
            continue
        told(name_of(one))
        simulated += 1
        done, world = _with_replicas(one, model, wishes, traffic, estimate)
        best = min(best, _size(done, wishes)[0] if done.replicas else math.inf)
        yield done, world


def _with_replicas(
    one: Candidate, model: LanguageModel, wishes: Wishes, traffic: Traffic, estimate: Estimator
) -> tuple[Candidate, World | None]:
    """Return a candidate with its replicas and what they cost, and its regions; a problem where none are enough."""
    gpu, full = gpu_of(one.gpu), one.throughput
    assert full is not None, "only what has a throughput is simulated"
    times = estimate(model, one.serving, gpu)
    try:
        found = replicas(
            times,
            one.serving,
            one.memory,
            traffic,
            wishes.objectives,
            spare=wishes.spare,
            full=full.tokens_per_s,
            seed=wishes.seed,
        )
        world = _world(one, times, wishes, traffic)
    except AnswerIsNo as no:
        return replace(one, problem=no.message), None
    all_up = found.tails_all_up if world is None else world.all_up()
    done = replace(one, replicas=found, by_region={} if world is None else world.fleet)
    done = replace(done, joules_per_token=joules_per_token(gpu, done.gpus, all_up, traffic))
    if not wishes.prices:
        return done, world
    cost = _cost(done, found, world, wishes, traffic)
    priced = replace(
        done,
        cost_per_hour=cost.per_hour,
        cost_per_million_tokens=cost.per_million_tokens,
        cost_per_million_requests=cost.per_million_requests,
    )
    return priced, world


def _world(one: Candidate, times: StepTimes, wishes: Wishes, traffic: Traffic) -> World | None:
    """Return a candidate's replicas in the regions of the traffic; None where it comes from one place.

    Raises: AnswerIsNo where a region's users, or if asked those of a lost one, cannot be answered in time.
    """
    if wishes.regions is None:
        return None
    replica = Replica(times, one.serving, one.memory.kv_tokens.value)
    full = one.throughput.tokens_per_s if one.throughput else None
    return World(replica, traffic, wishes.objectives, wishes.regions, spare=wishes.spare, full=full, seed=wishes.seed)


def _cost(done: Candidate, found: Replicas, world: World | None, wishes: Wishes, traffic: Traffic) -> Cost:
    gpus, price = done.serving.spread.gpus, _price(done, wishes)
    if world is None:
        return cost_of(found, gpus, price, traffic)
    return cost_of_fleet(done.fleet, ends_of(world.fleet, world.between()), gpus, price, traffic)


def _bound(one: Candidate, wishes: Wishes, traffic: Traffic) -> tuple[float, ...]:
    """Return the least that a candidate can cost, as `_size` counts."""
    gpus = _least_gpus(one, wishes, traffic)
    return gpus * _price(one, wishes), float(one.serving.spread.gpus)


def _least_gpus(one: Candidate, wishes: Wishes, traffic: Traffic) -> int:
    assert one.throughput is not None, "asked of candidates that have one"
    rates = rates_of(wishes.regions, traffic.rate_per_s).values() if wishes.regions else (traffic.rate_per_s,)
    each = [least_replicas(rate, one.throughput.requests_per_s.value) + wishes.spare for rate in rates]
    return sum(each) * one.serving.spread.gpus


def _price(one: Candidate, wishes: Wishes) -> float:
    """Return what one GPU, or slice of one, costs in an hour: its part of the GPU's price; of 1 without prices."""
    return (wishes.prices or {}).get(whole_of(one.gpu), 1.0) / per_gpu(one.gpu)


def _price_of_replica(one: Candidate, wishes: Wishes) -> float | None:
    return _price(one, wishes) * one.serving.spread.gpus if wishes.prices else None


def _size(one: Candidate, wishes: Wishes) -> tuple[float, ...]:
    """Return what a candidate costs: a price per hour, or a number of GPUs; then how many are lost with one."""
    gpus = one.gpus or one.serving.spread.gpus
    return gpus * _price(one, wishes), float(one.serving.spread.gpus)


def _rank(one: Candidate, wishes: Wishes) -> tuple[float, ...]:
    """Return by what candidates are ordered: can it be, its cost, the size of a replica, its tails."""
    if one.replicas is None:
        return (1.0 if one.throughput else 2.0 if one.memory.fits else 3.0, *_size(one, wishes), 0.0)
    tails = one.replicas.tails
    return (0.0, *_size(one, wishes), tails.latency_ms.get(0.99, math.inf))


def _reason(ordered: Sequence[Candidate], wishes: Wishes) -> str:
    """Return why the first is picked, ties explained."""
    good = [one for one in ordered if one.replicas is not None]
    what = "costs the least" if wishes.prices else "takes the fewest GPUs"
    count = f"of {len(good)} ways that meet what is asked" if len(good) > 1 else "the only way that meets what is asked"
    together = f", in {len(wishes.regions.shares)} regions together," if wishes.regions else ""
    words = f"{what}{together} {count}{_elsewhere(good, wishes)}" if len(good) > 1 else count
    ties = [one for one in good[1:] if _size(one, wishes)[0] == _size(good[0], wishes)[0]]
    larger = [one for one in ties if one.serving.spread.gpus > good[0].serving.spread.gpus]
    slower = [one for one in ties if one not in larger]
    as_much = f"would {'cost' if wishes.prices else 'take'} as much, but"
    if larger:
        words += f"; {_names(larger)} {as_much} more GPUs are lost with one replica"
    if slower:
        words += f"; {_names(slower)} {as_much} the slowest answers are no faster"
    return words


def _elsewhere(good: Sequence[Candidate], wishes: Wishes) -> str:
    """Return which way would be picked in one place, where that is another than in several regions."""
    sizes = [_size(replace(one, by_region={}), wishes)[0] for one in good]
    return "" if min(sizes) == sizes[0] else f"; in one place {name_of(good[sizes.index(min(sizes))])} would"


def _names(found: Sequence[Candidate]) -> str:
    more = f" and {len(found) - MOST_TIES} more" if len(found) > MOST_TIES else ""
    return ", ".join(map(name_of, found[:MOST_TIES])) + more


def name_of(one: Candidate) -> str:
    """Return a candidate in a few words: "H100-SXM-80GB TP2 fp8, KV fp8"."""
    serving = one.serving
    return f"{one.gpu} {serving.spread} {serving.weight_type}{serving.batch_words}, KV {serving.cache_type}"


def is_misfit(one: Candidate) -> bool:
    """Whether memory alone keeps a candidate out."""
    return not one.memory.fits and one.problem.startswith("does not fit")


def misfits(found: Iterable[Candidate]) -> list[Candidate]:
    """Return the candidates that fail for memory alone, the one that lacks least first."""
    return sorted(filter(is_misfit, found), key=lambda one: -one.memory.free_bytes.value)


def would_fit(model: LanguageModel, wishes: Wishes, found: Iterable[Candidate]) -> Iterator[str]:
    """Yield which quantisations would fit where the files' own types do not, each on the fewest GPUs."""
    tokens = wishes.traffic.longest if wishes.traffic else 1
    told: set[str] = set()
    for one in sorted(misfits(found), key=lambda one: one.serving.spread.gpus):
        for serving in quantisations_that_fit(model, one.serving, gpu_of(one.gpu), tokens=tokens):
            if serving.weight_type not in told and serving.weight_type != one.serving.weight_type:
                told.add(serving.weight_type)
                cache = f" --kv-cache {serving.cache_type}" if serving.cache_type == "fp8" else ""
                yield f"would fit: --weights {serving.weight_type}{cache}, {serving.spread} of {one.gpu}"
