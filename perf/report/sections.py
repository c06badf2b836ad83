"""The page's drawings: which there are, and how to read each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from tritonsmith.ensembles.draw.core import Graph
from tritonsmith.perf.measure.load import LoadKind
from tritonsmith.perf.report import bars, charts, streams
from tritonsmith.perf.report.pipeline import draw_pipeline
from tritonsmith.perf.summary import Point, best_throughput, knee

Points = Sequence[Point]
MOST_PIPELINES = 3  # of more variants, the one that answered most is drawn


@dataclass(frozen=True)
class Figure:
    """A drawing and the line above it."""

    svg: Markup
    heading: str = ""


@dataclass(frozen=True)
class Section:
    """A part of the page: what is drawn, and how to read it."""

    key: str
    title: str
    text: str
    figures: tuple[Figure, ...]


def sections(points: Points, pipelines: Mapping[str, Graph]) -> Iterator[Section]:
    """Yield the page's sections from top to bottom; `pipelines` are drawn, by variant."""
    text = (
        "Each stem is one load: below the median latency, above the 99th percentile. Whiskers span the interval of the "
        "median over the repeats, which the table names. Hollow marks rest on too few requests."
    )
    drawing = _figure(charts.throughput_latency(points))
    yield Section("throughput-latency", "Throughput against latency", text, (drawing,))
    kinds = {point.load.kind for point in points}
    if "concurrency" in kinds:
        text = "What each further client buys, and what it costs."
        drawing = _figure(charts.load_curves(points, "concurrency"))
        yield Section("concurrency", "With more requests in flight", text, (drawing,))
    if "request_rate" in kinds:
        text = "Requests are sent whether or not earlier ones were answered. On the dotted line the server keeps up."
        drawing = _figure(charts.load_curves(points, "request_rate"))
        yield Section("rate", "With more requests per second", text, (drawing,))
    yield from _stream_sections(points)
    yield from _pipeline_section(points, pipelines)
    yield from _server_sections(points)
    text = (
        "Every measurement window against the median of its load: flat rows can be believed. Windows more than 25% "
        "off are marked; at the right stands the spread between repeats."
    )
    yield Section("stability", "How steady it was", text, _per_variant(points, bars.stability))


def by_variant(points: Points) -> list[list[Point]]:
    """Return the points of each variant."""
    names = dict.fromkeys(point.variant for point in points)
    return [[point for point in points if point.variant == name] for name in names]


def _stream_sections(points: Points) -> Iterator[Section]:
    """Yield how answers streamed, for models that are decoupled."""
    kinds: tuple[LoadKind, ...] = ("concurrency", "request_rate")
    figures = [
        _figure(draw(points, kind))
        for kind in kinds
        if streams.streamed(points, kind)
        for draw in (streams.token_times, streams.token_rates)
    ]
    if figures:
        text = (
            "What a reader of a streamed answer waits for: its first token, then each further one; and what the server "
            "writes in all. A good request met every goal."
        )
        yield Section("tokens", "Token by token", text, tuple(figures))


def _pipeline_section(points: Points, pipelines: Mapping[str, Graph]) -> Iterator[Section]:
    """Yield what was measured as a drawing, each step with its time at the load of the knee."""
    groups = [group for group in by_variant(points) if group[0].variant in pipelines]
    if len(groups) > MOST_PIPELINES:
        groups = [max(groups, key=lambda group: best_throughput(group).throughput_per_s.value)]
    figures = [_figure(draw_pipeline(pipelines[group[0].variant], knee(group)), _at_knee(group)) for group in groups]
    if figures:
        text = (
            "What was measured, as the server has it: models in boxes, tensors with type and shape between them. The "
            "bars are the mean time of a request in each model, waiting (queue) and computing."
        )
        yield Section("pipeline", "The pipeline", text, tuple(figures))


def _at_knee(group: Points) -> str:
    return f"{group[0].variant_label} with {charts.row_label(knee(group))}".strip()


def _server_sections(points: Points) -> Iterator[Section]:
    """Yield where the time goes, for the whole and by step, and the batch sizes where any exceeds 1."""
    high_us = bars.slowest_us(points)
    text = "The mean latency of a request, split into what the client, the network and the server's phases took."
    if any(point.streams for point in points):
        # Source: python_backend: a decoupled model's execute returns before its responses are sent
        text += " What a decoupled model does after its execute returned is in no phase; here it counts as network."
    figures = _per_variant(points, lambda group: bars.breakdown(group, high_us))
    yield Section("breakdown", "Where the time goes", text, figures)
    models = list(dict.fromkeys(step.model for point in points for step in point.steps))
    step_high_us = bars.slowest_step_us(points)
    if len(models) > 1:
        text = "The same for each step of the ensemble, from the server's statistics, all on one scale."
        figures = _per_model(points, models, lambda group, model: bars.step_breakdown(group, model, step_high_us))
        yield Section("steps", "Step by step", text, figures)
    batched = [model for model in models if any(_has_batches(point, model) for point in points)]
    if batched:
        text = (
            "How many requests ran together: the darker, the more of the executions had that size; and the mean size."
        )
        yield Section("batches", "Batch sizes", text, _per_model(points, batched, bars.batch_sizes))


def _has_batches(point: Point, model: str) -> bool:
    return any(step.model == model and max(step.batch_sizes, default=1) > 1 for step in point.steps)


def _per_variant(points: Points, draw: Callable[[Points], str]) -> tuple[Figure, ...]:
    return tuple(_figure(draw(group), group[0].variant_label) for group in by_variant(points))


def _per_model(points: Points, models: Sequence[str], draw: Callable[[Points, str], str]) -> tuple[Figure, ...]:
    return tuple(
        _figure(draw(group, model), f"{model} {group[0].variant_label}".strip())
        for model in models
        for group in by_variant(points)
    )


def _figure(drawing: str, heading: str = "") -> Figure:
    return Figure(Markup(drawing), heading)  # noqa: S704 - our own drawing; its texts are escaped where they are made
