"""A Grafana dashboard of a fleet, in a ConfigMap that Grafana's sidecar finds by its label."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

from tritonsmith.generator.manifests.kubernetes.core import Manifest, metadata
from tritonsmith.generator.manifests.kubernetes.rules import (
    BATCH_SIZE,
    DURATIONS,
    FAILURES,
    KV_CACHE,
    MODEL,
    NEWER_METRICS,
    PENDING,
    POD,
    RATIO,
    WAITING,
    Span,
    publishes_engine_metrics,
    series,
)
from tritonsmith.generator.manifests.workload import Workload

FILE = "dashboard.json"
WIDTH, HEIGHT, COLUMNS = 12, 8, 2  # of Grafana's 24 columns


@dataclass(frozen=True)
class Panel:
    """A graph: queries by their legend, in a unit of Grafana's."""

    title: str
    queries: dict[str, str]
    unit: str = "short"
    about: str = ""


def dashboards(workload: Workload) -> list[Manifest]:
    """Return the ConfigMap; none where the servers publish no metrics."""
    if not workload.metrics_port:
        return []
    document = metadata(workload, "-dashboard")
    document["labels"] |= {"grafana_dashboard": "1"}
    text = json.dumps(dashboard(workload), indent=1, sort_keys=True) + "\n"
    return [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": document, "data": {FILE: text}}]


def dashboard(workload: Workload) -> Manifest:
    """Return the dashboard, in Grafana's own JSON."""
    source = {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"}
    return {
        "uid": f"triton-{workload.name}"[:40],  # Grafana's limit
        "title": f"Triton: {workload.name}",
        "tags": ["triton"],
        "schemaVersion": 39,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": [source]},
        "panels": [_panel(number, panel) for number, panel in enumerate(panels(workload))],
    }


def panels(workload: Workload) -> list[Panel]:
    """Return the graphs, in their order."""
    found = [*_traffic(workload), *_waiting(workload), *_latencies(workload)]
    if publishes_engine_metrics(workload):
        found += _engine(workload)
    return [*found, *_machines(workload)]


def _traffic(workload: Workload) -> Iterator[Panel]:
    span = Span()
    for title, counter in (("Requests", "nv_inference_request_success"), ("Inferences", "nv_inference_count")):
        rate = f"sum by ({MODEL}) (rate({series(workload, counter)}[{span.window}]))"
        yield Panel(f"{title} per second", {"{{model}}": rate}, "reqps")
    failed = f"sum by ({MODEL}, reason) (rate({series(workload, 'nv_inference_request_failure')}[{span.window}]))"
    yield Panel(
        "Failures per second",
        {"{{model}} {{reason}}": failed},
        "reqps",
        "As Triton counts them: an ensemble's twice, and once more in its step.",
    )
    yield Panel(
        "Share of requests that fail",
        {"{{model}}": series(workload, FAILURES)},
        "percentunit",
        "Without those that clients cancelled.",
    )


def _waiting(workload: Workload) -> Iterator[Panel]:
    ratio = "Time in queues over time in models, of all models of a pod. Nothing is shown while requests wait and "
    ratio += "none ends."
    yield Panel("Queue to compute, by pod", {"{{pod}}": series(workload, RATIO)}, about=ratio)
    yield Panel("Pending requests, by pod", {"{{pod}}": series(workload, PENDING)})
    yield Panel(
        "Batch size",
        {"{{model}}": series(workload, BATCH_SIZE)},
        about="Inferences over executions: what dynamic batching makes of the traffic.",
    )


def _latencies(workload: Workload) -> Iterator[Panel]:
    config, window = workload.server.metrics.config, Span().window
    for counter, record in DURATIONS.items():
        part = counter.removeprefix("nv_inference_").removesuffix("_duration_us").replace("_", " ")
        yield Panel(f"Mean time: {part}", {"{{model}}": series(workload, record)}, "µs")
    is_newer = workload.release.name >= NEWER_METRICS
    if is_newer and config.get("histogram_latencies") == "true":
        bucket = series(workload, "nv_inference_first_response_histogram_ms_bucket")
        counts = f"sum by ({MODEL}, le) (rate({bucket}[{window}]))"
        queries = {f"{{{{model}}}} p{q}": f"histogram_quantile({q / 100}, {counts})" for q in (50, 95, 99)}
        yield Panel("Time to the first response", queries, "ms")
    if config.get("summary_latencies") == "true":
        worst = f"max by ({MODEL}, quantile) ({series(workload, 'nv_inference_request_summary_us')})"
        about = "Of the worst pod: quantiles of several cannot be put together."
        yield Panel("Quantiles of the request time", {"{{model}} {{quantile}}": worst}, "µs", about)


def _engine(workload: Workload) -> Iterator[Panel]:
    yield Panel("Waiting in the engine, by pod", {"{{pod}}": series(workload, WAITING)})
    kinds = {}
    for kind in ("active", "scheduled", "context"):
        matcher = f'request_type="{kind}"'
        kinds[kind] = f"sum({series(workload, 'nv_trt_llm_request_metrics', matcher)})"
    yield Panel("Requests in the engines", kinds)
    yield Panel("KV cache used, by pod", {"{{pod}}": series(workload, KV_CACHE)}, "percentunit")


def _machines(workload: Workload) -> Iterator[Panel]:
    if workload.needs.gpus:
        gpu = f"sum by ({POD}, gpu_uuid)"
        used, total = (f"{gpu} ({series(workload, f'nv_gpu_memory_{part}_bytes')})" for part in ("used", "total"))
        busy = f"{gpu} ({series(workload, 'nv_gpu_utilization')})"
        yield Panel("GPU utilisation", {"{{pod}} {{gpu_uuid}}": busy}, "percentunit")
        yield Panel("GPU memory used", {"{{pod}} {{gpu_uuid}}": f"{used} / ({total} > 0)"}, "percentunit")
    if workload.release.name < NEWER_METRICS:
        return
    load = f"max by ({MODEL}) ({series(workload, 'nv_model_load_duration_secs')})"
    yield Panel("Time to load", {"{{model}}": load}, "s")


def _panel(number: int, panel: Panel) -> Manifest:
    source = {"type": "prometheus", "uid": "${datasource}"}
    targets = [
        {"refId": chr(ord("A") + place), "expr": query, "legendFormat": legend, "datasource": source}
        for place, (legend, query) in enumerate(panel.queries.items())
    ]
    row, column = divmod(number, COLUMNS)
    return {
        "id": number + 1,
        "type": "timeseries",
        "title": panel.title,
        "description": panel.about,
        "datasource": source,
        "gridPos": {"x": column * WIDTH, "y": row * HEIGHT, "w": WIDTH, "h": HEIGHT},
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "targets": targets,
    }
