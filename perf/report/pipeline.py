"""The pipeline that was measured, drawn with each model's time in its box."""

from __future__ import annotations

from tritonsmith.ensembles.draw.card import Timing
from tritonsmith.ensembles.draw.core import Graph
from tritonsmith.ensembles.draw.svg import render_graph
from tritonsmith.perf.measure.measurement import Step
from tritonsmith.perf.report.numbers import duration
from tritonsmith.perf.summary import Point


def draw_pipeline(graph: Graph, point: Point) -> str:
    """Return the drawing, with the mean times of the requests at one load.

    A model that is in two steps has one time: the server counts by model.
    """
    return render_graph(graph, {step.model: _timing(step) for step in point.steps if step.requests})


def _timing(step: Step) -> Timing:
    compute_us = step.total_us - step.queue_us
    return Timing(step.queue_us, compute_us, f"queue {duration(step.queue_us)}, compute {duration(compute_us)}")
