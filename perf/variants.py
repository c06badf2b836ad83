"""Configuration variants of a sweep: which there are, in which order, and how one becomes a ModelConfig."""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from google.protobuf.message import Message
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tritonsmith.generator.errors import UsageError
from tritonsmith.generator.findings import NOWHERE, Finding
from tritonsmith.generator.spec import tree as tree_of
from tritonsmith.generator.spec.assign import assign
from tritonsmith.generator.suggest import did_you_mean
from tritonsmith.perf.document import Scalar, SweepPlan, Variation
from tritonsmith.perf.measure.load import Load

Variant = dict[str, Scalar]
NOTHING, EMPTY = "null", "{}"  # values of a field that has fields of its own: left out, and given
_COMMA = re.compile(r",(?![^\[]*\])")  # one that is not within brackets
CHEAP = "instance_group"  # 0.1 s to change on a live server; any other field costs a full reload


def parse_variation(text: str) -> Variation:
    """Read "models.classifier.instance_group.count=1,2,4".

    The value of a field that is a list stands in brackets: "...preferred_batch_size=[4],[4,8]". `null` leaves
    out a field that has fields of its own, `{}` gives it where it is not there: "...dynamic_batching=null,{}".
    Raises: UsageError.
    """
    field, separator, values = text.partition("=")
    if not separator or not field.startswith("models.") or not values:
        raise UsageError(f"cannot vary '{text}'", hint="write --vary models.NAME.FIELD=VALUE,VALUE")
    return Variation(field, tuple(map(scalar_of, _COMMA.split(values))))


def measuring_order(plan: SweepPlan) -> Iterator[tuple[int, Variant, tuple[Load, ...]]]:
    """Yield (repeat, variant, loads): every repeat in an order of its own, drawn from the seed.

    Drift of the machine then falls on all points alike. Instance counts change innermost, because that is cheap.
    """
    draw = random.Random(plan.seed)  # noqa: S311 - an order, not a secret
    for repeat in range(plan.repeats):
        for variant in _shuffled_variants(plan.variations, draw):
            yield repeat, variant, tuple(draw.sample(plan.loads, len(plan.loads)))


def all_variants(plan: SweepPlan) -> dict[str, Variant]:
    """Return every variant of a plan by its name, in the order of the names."""
    return dict(sorted((variant_name(variant), variant) for _, variant, _ in measuring_order(plan)))


def changed_configs(variant: Mapping[str, Scalar], configs: Mapping[str, ModelConfig]) -> dict[str, ModelConfig]:
    """Return the configurations that the variant changes, by model; `configs` are those that are served.

    Raises: UsageError for a model that is not served, a field that ModelConfig does not have, or a value not its type.
    """
    changed: dict[str, ModelConfig] = {}
    for field, value in variant.items():
        model, path = split_field(field, configs)
        config = changed.setdefault(model, ModelConfig())
        if not config.ListFields():
            config.CopyFrom(configs[model])
        for wrong in set_field(config, path, value):
            raise UsageError(f"--vary {field}={value}: {wrong.message}", hint=wrong.remedy)
    return changed


def require_variations(variations: Iterable[Variation], models: Iterable[str]) -> None:
    """Refuse what cannot be varied, before anything is started or measured for it.

    Raises: UsageError.
    """
    empty = {name: ModelConfig() for name in models}
    for variation in variations:
        for value in variation.values:
            changed_configs({variation.field: value}, empty)


def split_field(field: str, models: Iterable[str]) -> tuple[str, tuple[str, ...]]:
    """Split "models.NAME.PATH" into the model's name, which may have dots of its own, and the path."""
    rest = field.removeprefix("models.")
    for name in sorted(models, key=len, reverse=True):
        if rest.startswith(f"{name}."):
            return name, tuple(rest[len(name) + 1 :].split("."))
    name = rest.partition(".")[0]
    raise UsageError(
        f"--vary {field}: no model '{name}' here.{did_you_mean(name, models)}", hint=f"it has {', '.join(models)}"
    )


def set_field(message: Message, path: Sequence[str], value: Scalar) -> list[Finding]:
    """Set one field, in a list of every entry (of a new one where it is empty); return what is wrong with that.

    A list's value is its text: "[4,8]". "null" leaves out a field that has fields of its own, "{}" gives it.
    """
    return assign(message, path, _node(value))


def variant_name(variant: Mapping[str, Scalar]) -> str:
    """Return a short name: "classifier.instance_group.count=2"; empty for the configuration as served."""
    return ", ".join(f"{field.removeprefix('models.')}={_as_typed(value)}" for field, value in variant.items())


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


def _node(value: Scalar) -> tree_of.Node:
    """Return a value as a spec would have it."""
    text = _as_typed(value)
    if text == EMPTY:
        return tree_of.Mapping({}, NOWHERE)
    if text.startswith("[") and text.endswith("]"):
        items = [item.strip() for item in text[1:-1].split(",")]
        return tree_of.Sequence([tree_of.Scalar(item, NOWHERE, is_quoted=True) for item in items if item], NOWHERE)
    return tree_of.Scalar(text, NOWHERE, is_quoted=text != NOTHING)


def _as_typed(value: Scalar) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def scalar_of(text: str) -> Scalar:
    """Return the value that a text is: a number, true or false, a list's text without blanks, else the text itself."""
    if text.startswith("["):
        return text.replace(" ", "")
    for read in (int, float):
        try:
            return read(text)
        except ValueError:
            continue
    return {"true": True, "false": False}.get(text, text)
