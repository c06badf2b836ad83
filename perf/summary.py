"""From cells to points: the repeats of one load and variant become one estimate with its spread, and a judgement."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from tritonsmith.perf.cost import cost_per_million
from tritonsmith.perf.document import Cell, Sweep
from tritonsmith.perf.executors.places import mixed_machines
from tritonsmith.perf.measure.load import Load
from tritonsmith.perf.measure.measurement import CacheUse, Measurement, Step
from tritonsmith.perf.measure.profile import TokenSource
from tritonsmith.perf.measure.replayed import Replayed
from tritonsmith.perf.measure.streams import NO_GOALS, Goals, Quantiles, Streams, good_requests
from tritonsmith.perf.statistics import Interval, median, median_interval, relative_spread, requests_needed
from tritonsmith.perf.variants import variant_name

# A point is unstable where the median absolute deviation of its repeats, as a standard deviation, exceeds this share
# of the median. Runs of 1.8 s on a busy 2-core machine vary by 3 % (p50) and 15 % (throughput); p99 by 30 % and more,
# so it takes no part.
UNSTABLE_SHARE = 0.25
STOLEN_SHARE = 0.02
CACHED_SHARE = 0.01
BUNCHED_SHARE = 0.25
LATENCIES = ("mean_us", "p50_us", "p90_us", "p95_us", "p99_us")
STREAM_TIMES = ("ttft", "tpot", "inter_token")
STREAM_QUANTILES = {"mean_us": 0.0, "p50_us": 0.5, "p90_us": 0.9, "p99_us": 0.99}


@dataclass(frozen=True)
class Estimate:
    """The median over the repeats, an interval for it, and the repeats' relative spread (MAD-based)."""

    value: float
    interval: Interval
    relative_spread: float


@dataclass(frozen=True)
class StreamPoint:
    """How answers streamed at one load, over all repeats.

    `times` is by name: ttft_, tpot_ and inter_token_ with mean_us, p50_us, p90_us, p99_us; without the last two where
    answers had a single response. `unreliable` names those with fewer than ten values beyond them in a repeat.
    `goodput_per_s` counts the requests that met every goal; None without goals.
    """

    tokens_by: TokenSource
    output_tokens_per_s: Estimate
    output_tokens: Estimate  # of a request, mean
    times: dict[str, Estimate]
    unreliable: tuple[str, ...]
    goodput_per_s: Estimate | None
    good_share: float


@dataclass(frozen=True)
class Point:
    """One load under one variant, over all repeats; latencies by their names in `Latency`."""

    load: Load
    variant: str
    variant_label: str  # V1, V2, ...; empty where nothing varies
    repeats: int
    requests: int
    throughput_per_s: Estimate
    latencies: dict[str, Estimate]
    responses_per_s: Estimate  # more than requests where the model is decoupled
    first_response_p50_us: Estimate
    unreliable: tuple[str, ...]  # quantiles with too few requests in each repeat
    steps: tuple[Step, ...]
    caches: tuple[CacheUse, ...]
    client_us: float
    overhead_us: float
    server_us: float
    windows_per_s: tuple[tuple[float, ...], ...]  # by repeat
    steal_share: float
    is_unstable: bool
    remarks: tuple[str, ...]
    streams: StreamPoint | None = None  # of decoupled models
    queue_to_compute: Mapping[str, float] = field(default_factory=dict)  # by step that computed anything
    cost_per_million_requests: float | None = None  # at this load; None without a price
    cost_per_million_tokens: float | None = None
    joules_per_request: float | None = None  # of the GPUs; None where the server does not tell
    replayed: tuple[Replayed, ...] = ()  # by repeat, where the load is a recorded trace

    @property
    def is_streamed(self) -> bool:
        """Return whether requests had several responses."""
        return self.responses_per_s.value > 1.01 * self.throughput_per_s.value


def summarise(sweep: Sweep) -> list[Point]:
    """Return the points of a sweep by variant, then by load."""
    groups: dict[tuple[str, Load], list[Cell]] = {}
    for cell in sweep.cells:
        groups.setdefault((variant_name(cell.variant), cell.measurement.load), []).append(cell)
    labels = {name: f"V{index}" for index, name in enumerate(sorted({name for name, _ in groups} - {""}), 1)}
    ordered = sorted(groups.items(), key=lambda group: (group[0][0], group[0][1].order))
    points = [
        summarise_point(
            (variant, labels.get(variant, "")),
            [cell.measurement for cell in sorted(cells, key=lambda cell: cell.repeat)],
            len(cells) if sweep.plan.slo else sweep.plan.repeats,  # a search measures as often as it must
            sweep.plan.goals,
            sweep.plan.price_per_hour,
        )
        for (variant, _), cells in ordered
    ]
    return [
        replace(point, remarks=(*point.remarks, *mixed_machines(cells)))
        for point, (_, cells) in zip(points, ordered, strict=True)
    ]


def best_throughput(points: Sequence[Point]) -> Point:
    """Return the point that answered the most requests per second."""
    return max(points, key=lambda point: point.throughput_per_s.value)


def knee(points: Sequence[Point]) -> Point:
    """Return the point with the least p50 among those with at least 90% of the best throughput."""
    enough = 0.9 * best_throughput(points).throughput_per_s.value
    return min(
        (point for point in points if point.throughput_per_s.value >= enough),
        key=lambda point: point.latencies["p50_us"].value,
    )


def summarise_point(
    variant: tuple[str, str],
    repeats: Sequence[Measurement],
    planned: int,
    goals: Goals = NO_GOALS,
    price_per_hour: float = 0.0,
) -> Point:
    """Return one point from its repeats, of which `planned` were wanted; `variant` is its name and label."""
    steps, streams = merge_steps(repeats), summarise_streams(repeats, goals)
    ratios = {step.model: step.queue_to_compute for step in steps}
    joules = [one.joules_per_request for one in repeats if one.joules_per_request is not None]
    throughput = estimate(repeats, lambda one: one.throughput_per_s)
    latencies = {name: estimate(repeats, lambda one, name=name: getattr(one.latency, name)) for name in LATENCIES}  # type: ignore[misc]
    is_unstable = max(throughput.relative_spread, latencies["p50_us"].relative_spread) > UNSTABLE_SHARE
    return Point(
        load=repeats[0].load,
        variant=variant[0],
        variant_label=variant[1],
        repeats=len(repeats),
        requests=sum(one.latency.requests for one in repeats),
        throughput_per_s=throughput,
        latencies=latencies,
        responses_per_s=estimate(repeats, lambda one: one.responses_per_s),
        first_response_p50_us=estimate(repeats, lambda one: one.first_response_p50_us),
        unreliable=tuple(sorted({name for one in repeats for name in one.latency.unreliable})),
        steps=steps,
        caches=merge_caches(repeats),
        client_us=median([one.client_send_us + one.client_receive_us for one in repeats]),
        overhead_us=median([one.overhead_us for one in repeats]),
        server_us=median([one.server_us for one in repeats]),
        windows_per_s=tuple(one.windows_per_s for one in repeats),
        steal_share=max(one.machine.steal_share for one in repeats),
        is_unstable=is_unstable,
        remarks=tuple(_remarks(repeats, planned, throughput, latencies["p50_us"], is_unstable)),
        streams=streams,
        queue_to_compute={model: round(ratio, 4) for model, ratio in ratios.items() if ratio is not None},
        cost_per_million_requests=cost_per_million(price_per_hour, throughput.value),
        cost_per_million_tokens=cost_per_million(price_per_hour, streams.output_tokens_per_s.value if streams else 0),
        joules_per_request=median(joules) if len(joules) == len(repeats) else None,
        replayed=tuple(one.replayed for one in repeats if one.replayed),
    )


def summarise_streams(repeats: Sequence[Measurement], goals: Goals) -> StreamPoint | None:
    """Return how answers streamed over the repeats; None where any repeat's did not."""
    pairs = [(one.streams, one.measured_s) for one in repeats if one.streams]
    if len(pairs) < len(repeats):
        return None
    streams = [one for one, _ in pairs]
    good = [good_requests(one, goals) for one in streams]
    rates = [count / measured_s for count, (_, measured_s) in zip(good, pairs, strict=True)]
    times = dict(_stream_times(streams))
    return StreamPoint(
        tokens_by=streams[0].tokens_by,
        output_tokens_per_s=estimate_of([one.output_tokens_per_s for one in streams]),
        output_tokens=estimate_of([sum(one.output_tokens) / len(one.output_tokens) for one in streams]),
        times={name: one for name, (one, _) in times.items()},
        unreliable=tuple(name for name, (_, is_reliable) in times.items() if not is_reliable),
        goodput_per_s=estimate_of(rates) if goals else None,
        good_share=sum(good) / sum(len(one.ttft_us) for one in streams),
    )


def _stream_times(streams: Sequence[Streams]) -> Iterator[tuple[str, tuple[Estimate, bool]]]:
    """Yield each time's name with its estimate, and whether every repeat had enough values for it."""
    for kind in STREAM_TIMES:
        ones: list[Quantiles] = [getattr(one, kind) for one in streams if getattr(one, kind)]
        if len(ones) < len(streams):
            continue
        least = min(one.count for one in ones)
        for name, share in STREAM_QUANTILES.items():
            is_reliable = least >= requests_needed(share)
            yield f"{kind}_{name}", (estimate_of([getattr(one, name) for one in ones]), is_reliable)


def estimate(repeats: Sequence[Measurement], read: Callable[[Measurement], float]) -> Estimate:
    """Return the median of one number over the repeats, with its spread."""
    return estimate_of([read(one) for one in repeats])


def estimate_of(values: Sequence[float]) -> Estimate:
    """Return the median of a value per repeat, with its spread."""
    return Estimate(median(values), median_interval(values), relative_spread(values))


def merge_steps(repeats: Sequence[Measurement]) -> tuple[Step, ...]:
    """Return each step over all repeats: medians of the times, sums of the counts."""
    by_model: dict[str, list[Step]] = {}
    for step in (step for one in repeats for step in one.steps):
        by_model.setdefault(step.model, []).append(step)
    return tuple(_merge_step(model, steps) for model, steps in by_model.items())


def merge_caches(repeats: Sequence[Measurement]) -> tuple[CacheUse, ...]:
    """Return what the response cache did for each model, over all repeats."""
    hits, misses = Counter[str](), Counter[str]()
    for use in (use for one in repeats for use in one.caches):
        hits[use.model] += use.hits
        misses[use.model] += use.misses
    return tuple(CacheUse(model, hits[model], misses[model]) for model in hits)


def _merge_step(model: str, steps: Sequence[Step]) -> Step:
    sizes: Counter[int] = Counter()
    for step in steps:
        sizes.update(step.batch_sizes)
    return Step(
        model=model,
        requests=sum(step.requests for step in steps),
        executions=sum(step.executions for step in steps),
        failures=sum(step.failures for step in steps),
        queue_us=median([step.queue_us for step in steps]),
        compute_input_us=median([step.compute_input_us for step in steps]),
        compute_infer_us=median([step.compute_infer_us for step in steps]),
        compute_output_us=median([step.compute_output_us for step in steps]),
        batch_sizes=dict(sorted(sizes.items())),
    )


def _remarks(
    repeats: Sequence[Measurement], planned: int, throughput: Estimate, p50: Estimate, is_unstable: bool
) -> Iterable[str]:
    """Say what a reader must know before believing the point."""
    if is_unstable:
        worst, name = max((throughput.relative_spread, "throughput"), (p50.relative_spread, "p50"))
        yield f"unstable: {name} varies by {worst:.0%} between repeats"
    if len(repeats) < planned:
        yield f"only {len(repeats)} of {planned} repeats measured"
    behind = sum(one.is_generator_behind for one in repeats)
    if behind:
        yield f"perf_analyzer did not hold the load in {behind} of {len(repeats)} repeats"
    load = repeats[0].load
    if load.kind == "request_rate" and not behind and throughput.value < 0.9 * load.value:
        yield f"the server fell behind: {throughput.value:.0f} answered of {load.value:g} requests sent per second"
    yield from _bunched(repeats)
    failures = sum(step.failures for one in repeats for step in one.steps)
    if failures:
        yield f"{failures} requests failed"
    for use in merge_caches(repeats):
        if use.hit_share > CACHED_SHARE:
            yield (
                f"{use.hit_share:.0%} of the requests to {use.model} were answered from the response cache: what is "
                "measured is the cache; give as many different inputs as there will be, or measure without it "
                f"(--vary models.{use.model}.response_cache.enable=false)"
            )
    stolen = max(one.machine.steal_share for one in repeats)
    if stolen > STOLEN_SHARE:
        yield f"the hypervisor took up to {stolen:.0%} of the CPU time"


def _bunched(repeats: Sequence[Measurement]) -> Iterable[str]:
    """Say where most tokens came together with the one before, which makes the median gap no time per token."""
    gaps = [one.streams.inter_token for one in repeats if one.streams and one.streams.inter_token]
    if not gaps:
        return
    middle_us, mean_us = median([one.p50_us for one in gaps]), median([one.mean_us for one in gaps])
    if middle_us < BUNCHED_SHARE * mean_us:
        yield (
            f"tokens came in bunches: half of them within {middle_us / 1e3:.2g} ms of the one before, "
            f"{mean_us / 1e3:.2g} ms apart on average; TPOT is the time per token"
        )
