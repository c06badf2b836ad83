"""What a spec's `tune:` says, in the words of tuning: variations, limits and loads."""

from __future__ import annotations

from tritonsmith.generator.spec.tune import Tune, Value
from tritonsmith.perf.document import Scalar, Variation
from tritonsmith.perf.measure.load import Load
from tritonsmith.perf.tune.core import Limit, LimitMetric
from tritonsmith.perf.variants import EMPTY, NOTHING, scalar_of

_METRICS: tuple[LimitMetric, ...] = (
    "mean_ms",
    "p50_ms",
    "p90_ms",
    "p95_ms",
    "p99_ms",
    "ttft_ms",
    "tpot_ms",
    "memory_mib",
)


def variations_of(tune: Tune) -> tuple[Variation, ...]:
    """Return what `vary:` varies, model by model."""
    return tuple(
        Variation(f"models.{model}.{path}", tuple(map(_scalar, values)))
        for model, fields in tune.vary.items()
        for path, values in fields.items()
    )


def limits_of(tune: Tune) -> tuple[Limit, ...]:
    """Return the limits."""
    given = tune.limits.given
    return tuple(Limit(metric, given[metric]) for metric in _METRICS if metric in given)


def loads_of(tune: Tune) -> tuple[Load, ...]:
    """Return the levels of load, ascending and each once; none where the spec gives none."""
    if tune.loads is None:
        return ()
    if tune.loads.concurrency:
        return tuple(Load("concurrency", value) for value in sorted(set(tune.loads.concurrency)))
    return tuple(Load("request_rate", value) for value in sorted(set(tune.loads.request_rate)))


def _scalar(value: Value) -> Scalar:
    if value is None:
        return NOTHING
    if isinstance(value, dict):
        return EMPTY
    return f"[{','.join(value)}]" if isinstance(value, tuple) else scalar_of(value)
