"""The spec's `tune:`: what a tuning is to find, under which limits and loads, and what it varies."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tritonsmith.generator.findings import Finding, error
from tritonsmith.generator.spec import tree
from tritonsmith.generator.spec.assign import assign
from tritonsmith.generator.spec.document import ModelSpec
from tritonsmith.generator.spec.settings import Settings, read_settings
from tritonsmith.generator.suggest import did_you_mean

_NO_MODEL = "there is no model"
VARIANTS = "variants"  # the one word of `vary:` that is no field of ModelConfig
LatencyMetric = Literal["mean_ms", "p50_ms", "p90_ms", "p95_ms", "p99_ms"]
Positive = Annotated[float, Field(gt=0)]
# One value of a field: a scalar's text, a list's texts, {} for a message that is there, null for none.
Value = str | tuple[str, ...] | dict[str, Any] | None


class Limits(Settings):
    """What must hold of a pick; `ttft_ms` and `tpot_ms` are p99s of a model that streams."""

    mean_ms: Positive | None = None
    p50_ms: Positive | None = None
    p90_ms: Positive | None = None
    p95_ms: Positive | None = None
    p99_ms: Positive | None = None
    ttft_ms: Positive | None = None
    tpot_ms: Positive | None = None
    memory_mib: Positive | None = None

    @property
    def given(self) -> dict[str, float]:
        """Return the limits that are given, by metric."""
        return {name: value for name, value in self if value is not None}


class Loads(Settings):
    """The levels of load, of one kind."""

    concurrency: tuple[Annotated[int, Field(ge=1, le=4096)], ...] = Field((), description="requests in flight")
    request_rate: tuple[Annotated[float, Field(gt=0, le=1_000_000)], ...] = Field((), description="requests per second")

    @model_validator(mode="after")
    def _is_of_one_kind(self) -> Loads:
        if bool(self.concurrency) == bool(self.request_rate):
            raise ValueError("give one of concurrency and request_rate: [1, 2, 4, 8]")
        return self


class Tune(Settings):
    """What `tritonsmith tune` is to find, and what it varies."""

    objective: Literal["throughput", "latency", "goodput", "cost"] = "throughput"
    limits: Limits = Field(default_factory=Limits, description="what must hold of a pick, e.g. p99_ms: 50")
    loads: Loads | None = Field(None, description="levels of load: concurrency, or request_rate")
    latency_metric: LatencyMetric = Field("p99_ms", description="what the objective latency makes least")
    price_per_hour: float = Field(0.0, ge=0, description="of the machine, in any currency; for the objective cost")
    vary: dict[str, dict[str, tuple[Value, ...]]] = Field(
        default_factory=dict, description="model: {field of ModelConfig, or variants: [values]}"
    )

    @model_validator(mode="after")
    def _has_what_the_objective_needs(self) -> Tune:
        if self.objective == "cost" and not self.price_per_hour:
            raise ValueError("objective: cost needs price_per_hour")
        if self.objective == "goodput" and not self.limits.given.keys() - {"memory_mib"}:
            raise ValueError("objective: goodput needs a limit on time, e.g. limits: {p99_ms: 50}")
        return self


def read_tune(node: tree.Node, models: Mapping[str, ModelSpec], findings: list[Finding]) -> Tune | None:
    """Return the spec's `tune:`; what is wrong is added to `findings`, and None returned where it cannot be read."""
    count = len(findings)
    if isinstance(node, tree.Mapping):
        node = node.without_nulls()
        wrong = list(_wrong_variations(node.entries.get("vary"), models))
        # where models could not be read, those that seem to lack may be among them
        findings.extend(finding for finding in wrong if not count or not finding.message.startswith(_NO_MODEL))
    if len(findings) > count:
        return None
    return read_settings(Tune, node, "tune", findings)


def _wrong_variations(vary: tree.Node | None, models: Mapping[str, ModelSpec]) -> Iterator[Finding]:
    for model, fields in vary.entries.items() if isinstance(vary, tree.Mapping) else ():
        assert isinstance(vary, tree.Mapping)
        key = f"tune.vary.{model}"
        if model not in models:
            message = f"{_NO_MODEL} '{model}' to vary.{did_you_mean(model, models)}"
            yield error(message, vary.place_of(model), key=key, remedy=f"the models are {', '.join(models)}")
        elif not isinstance(fields, tree.Mapping):
            message = f"expected fields and their values, got {tree.kind_of(fields)}"
            yield error(message, fields.place, key=key, remedy="{max_batch_size: [8, 16]}")
        else:
            for path, values in fields.entries.items():
                yield from _wrong_values(models[model], path, values, fields.place_of(path), f"{key}.{path}")


def _wrong_values(model: ModelSpec, path: str, values: tree.Node, place: Any, key: str) -> Iterator[Finding]:
    if not isinstance(values, tree.Sequence) or not values.items:
        shown = "an empty list" if isinstance(values, tree.Sequence) else tree.kind_of(values)
        yield error(f"expected a list of values, got {shown}", values.place, key=key, remedy=f"{path}: [1, 2]")
        return
    for first, second in itertools.combinations(values.items, 2):
        if tree.to_data(first) == tree.to_data(second):
            yield error(f"{tree.kind_of(second)} is given twice", second.place, key=key, remedy="leave one out")
            return
    if path == VARIANTS:
        yield from _unknown_variants(model, values, key)
        return
    for value in values.items:
        wrong = assign(ModelConfig(), path.split("."), value)
        for finding in wrong:
            is_about_field = finding.message.startswith("unknown field")
            yield replace(finding, key=key, place=place if is_about_field else value.place)
        if wrong:
            return  # the others would be told the same


def _unknown_variants(model: ModelSpec, values: tree.Sequence, key: str) -> Iterator[Finding]:
    known = model.variants
    for item in values.items:
        name = item.text if isinstance(item, tree.Scalar) else ""
        if name not in known:
            message = f"'{model.name}' has no variant {tree.kind_of(item)}.{did_you_mean(name, known)}"
            hint = f"it has {', '.join(known)}" if known else f"give models.{model.name}.variants: {{NAME: FILE}}"
            yield error(message, item.place, key=key, remedy=hint)
