"""Configuration variants of a sweep: which there are, in which order, and how one becomes a ModelConfig."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from google.protobuf.json_format import ParseDict, ParseError
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tritonsmith.generator.errors import UsageError
from tritonsmith.generator.suggest import did_you_mean
from tritonsmith.perf.document import Scalar, SweepPlan, Variation
from tritonsmith.perf.measure.load import Load

Variant = dict[str, Scalar]
CHEAP = "instance_group"  # 0.1 s to change on a live server; any other field costs a full reload


def parse_variation(text: str) -> Variation:
    """Read "models.classifier.instance_group.count=1,2,4".

    Raises: UsageError.
    """
    field, separator, values = text.partition("=")
    if not separator or not field.startswith("models.") or not values:
        raise UsageError(f"cannot vary '{text}'", hint="write --vary models.NAME.FIELD=VALUE,VALUE")
    return Variation(field, tuple(_scalar(value) for value in values.split(",")))


def measuring_order(plan: SweepPlan) -> Iterator[tuple[int, Variant, tuple[Load, ...]]]:
    """Yield (repeat, variant, loads): every repeat in an order of its own, drawn from the seed.

    Drift of the machine then falls on all points alike. Instance counts change innermost, because that is cheap.
    """
    draw = random.Random(plan.seed)  # noqa: S311 - an order, not a secret
    for repeat in range(plan.repeats):
        for variant in _shuffled_variants(plan.variations, draw):
            yield repeat, variant, tuple(draw.sample(plan.loads, len(plan.loads)))


def changed_configs(variant: Mapping[str, Scalar], configs: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the configurations that the variant changes, by model; `configs` are those that are served.

    Raises: UsageError for a model that is not served or a field that ModelConfig does not have.
    """
    changed: dict[str, Any] = {}
    for field, value in variant.items():
        model, path = split_field(field, configs)
        changed[model] = set_field(changed.get(model, configs[model]), path, value)
        try:
            ParseDict(changed[model], ModelConfig())
        except ParseError as problem:
            raise UsageError(f"--vary {field}={value}: {problem}", hint="fields are ModelConfig's own") from None
    return changed


def split_field(field: str, models: Iterable[str]) -> tuple[str, tuple[str, ...]]:
    """Split "models.NAME.PATH" into the model's name, which may have dots of its own, and the path."""
    rest = field.removeprefix("models.")
    for name in sorted(models, key=len, reverse=True):
        if rest.startswith(f"{name}."):
            return name, tuple(rest[len(name) + 1 :].split("."))
    name = rest.partition(".")[0]
    raise UsageError(f"--vary {field}: no model '{name}' here.{did_you_mean(name, models)}", hint=", ".join(models))


def set_field(config: Mapping[str, Any], path: Sequence[str], value: Scalar) -> dict[str, Any]:
    """Return the configuration with one field set; in a list, of every entry."""
    name, rest = path[0], path[1:]
    if not rest:
        return {**config, name: value}
    inner = config.get(name) or {}
    if isinstance(inner, list):
        return {**config, name: [set_field(entry, rest, value) for entry in inner]}
    return {**config, name: set_field(inner, rest, value)}


def variant_name(variant: Mapping[str, Scalar]) -> str:
    """Return a short name: "classifier.instance_group.count=2"; empty for the configuration as served."""
    return ", ".join(f"{field.removeprefix('models.')}={value}" for field, value in variant.items())


def _shuffled_variants(variations: Sequence[Variation], draw: random.Random) -> Iterator[Variant]:
    outer = [variation for variation in variations if CHEAP not in variation.field]
    inner = [variation for variation in variations if CHEAP in variation.field]
    for settings in _shuffled(_combinations(outer), draw):
        for cheap in _shuffled(_combinations(inner), draw):
            yield settings | cheap


def _combinations(variations: Sequence[Variation]) -> list[Variant]:
    fields = [variation.field for variation in variations]
    products = itertools.product(*(variation.values for variation in variations))
    return [dict(zip(fields, values, strict=True)) for values in products]


def _shuffled(items: list[Variant], draw: random.Random) -> list[Variant]:
    return draw.sample(items, len(items))


def _scalar(text: str) -> Scalar:
    for read in (int, float):
        try:
            return read(text)
        except ValueError:
            continue
    return {"true": True, "false": False}.get(text, text)
