"""A running server for people and for machines: a table of what its models do, and the findings on them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tritonsmith.backends.running.observe import Activity, Observation
from tritonsmith.generator import console

_HEADER = ("model", "requests/s", "rows a request", "rows a batch", "queue ms", "compute ms", "busy instances")


def as_table(observation: Observation) -> str:
    """Return what each model did: over the window, or, marked with *, since it was loaded."""
    rows = [_row(activity) for activity in observation.models.values()]
    head = f"{observation.url}, watched for {observation.window_s:.1f} s (*: idle meanwhile, so since it was loaded)"
    return f"{head}\n{console.table(_HEADER, rows)}" if rows else f"{observation.url}: no model is ready"


def as_json(observation: Observation) -> list[dict[str, Any]]:
    """Return what each model did as data; rates and shares are null where nothing came while it was watched."""
    return [_document(activity) for activity in observation.models.values()]


def _row(activity: Activity) -> Sequence[str]:
    is_watched = activity.window_s > 0
    busy = f"{activity.busy_instances:.2f} of {activity.instances}" if is_watched else f"? of {activity.instances}"
    return (
        activity.name,
        f"{activity.requests_per_s:.1f}" if is_watched else "0*",
        f"{activity.rows_per_request:.2f}",
        f"{activity.rows_per_execution:.2f}",
        f"{activity.queue_us / 1000:.3f}",
        f"{activity.compute_us / 1000:.3f}",
        "-" if activity.is_ensemble else busy,
    )


def _document(activity: Activity) -> dict[str, Any]:
    is_watched = activity.window_s > 0
    return {
        "model": activity.name,
        "window_s": activity.window_s,
        "requests": activity.counters.requests,
        "failures": activity.counters.failures,
        "requests_per_s": activity.requests_per_s if is_watched else None,
        "in_flight": activity.in_flight if is_watched else None,
        "busy_instances": activity.busy_instances if is_watched else None,
        "instances": activity.instances,
        "rows_per_request": activity.rows_per_request,
        "rows_per_execution": activity.rows_per_execution,
        "executions_by_batch_size": {str(size): count for size, count in sorted(activity.counters.batch_sizes.items())},
        "queue_us": activity.queue_us,
        "compute_input_us": activity.input_us,
        "compute_infer_us": activity.infer_us,
        "compute_output_us": activity.output_us,
    }
