"""What may be picked: every legal combination of what varies, over all models that a pipeline computes with.

A candidate's variant holds only what differs from the configuration as it is, so that bringing one onto a server, or
into a spec, touches nothing else.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from tritonclient.grpc.model_config_pb2 import ModelConfig

from tritonsmith.generator.errors import UsageError
from tritonsmith.generator.repository.core import Repository
from tritonsmith.generator.spec.tune import VARIANTS
from tritonsmith.perf.document import Scalar, Variation
from tritonsmith.perf.served import computing
from tritonsmith.perf.simulate.configuration import instances_of
from tritonsmith.perf.tune.core import Candidate
from tritonsmith.perf.tune.space.defaults import COUNT, THREADS, Axis, default_axes, thinned
from tritonsmith.perf.tune.space.legal import Judge
from tritonsmith.perf.tune.space.variant_files import VariantFiles, without_alias
from tritonsmith.perf.variants import changed_configs, require_variations, set_field, split_field, variant_name

OWN = "as it is"  # the name of the configuration that nothing was changed in
MOST = 400  # candidates, where we choose what varies
MOST_GIVEN = 5000  # where the user does


@dataclass(frozen=True)
class Space:
    """All candidates, the configuration as it is (`OWN`) first; `dropped` counts combinations by why they are none.

    `notes` say in words what was left out so that the candidates are few enough.
    """

    candidates: tuple[Candidate, ...]
    dropped: Mapping[str, int]
    notes: tuple[str, ...] = ()


def candidates_of(
    repository: Repository,
    model: str,
    variations: Sequence[Variation] = (),
    *,
    cores: int,
    variants: VariantFiles | None = None,
    most: int = MOST,
) -> Space:
    """Return the candidates for tuning `model`, with those models that it reaches as steps or by calls.

    Without `variations` each model gets what usually pays, on that many `cores`, thinned out to at most about `most`.
    `repository` is the built one, the files of the `variants` in it.

    Raises: UsageError where there is no such model, for a field that ModelConfig does not have, a value that is none,
    or far too many combinations.
    """
    configs = configs_of(repository)
    if model not in configs:
        raise UsageError(f"there is no model '{model}' to tune", hint=f"it has {', '.join(configs)}")
    files = variants or {}
    models = computing(model, configs, repository.settings.get("calls", {}))
    notes: tuple[str, ...] = ()
    if variations:
        axes = [_axis(variation, configs, files) for variation in variations]
        _refuse_too_many(axes)
    else:
        axes, notes = thinned(default_axes({name: configs[name] for name in models}, files, cores), most)
    own = Candidate(OWN, {}, _thrift({}, configs))
    judge = Judge(repository, configs)
    found: dict[tuple[tuple[str, Scalar], ...], Candidate] = {(): own}
    dropped: Counter[str] = Counter()
    for shown in _combinations(axes, configs, files):
        variant = without_alias(shown, files)
        key = tuple(sorted(variant.items()))
        if key in found:
            continue
        if reason := judge.reason(variant):
            dropped[reason] += 1
            continue
        whole = {**variant, **judge.derived(variant)}
        found[key] = Candidate(variant_name(shown), whole, _thrift(whole, configs))
    return Space(tuple(found.values()), dict(dropped), notes)


def configs_of(repository: Repository) -> dict[str, ModelConfig]:
    """Return the configurations by model, without models that have none that parses."""
    return {name: model.config for name, model in repository.models.items() if model.config is not None}


def _axis(variation: Variation, configs: Mapping[str, ModelConfig], files: VariantFiles) -> Axis:
    model, path = split_field(variation.field, configs)
    if path == (VARIANTS,):
        known = files.get(model, {})
        for value in variation.values:
            if value not in known:
                message = f"--vary {variation.field}={value}: '{model}' has no such variant"
                raise UsageError(message, hint=f"it has {', '.join(known) or 'none'}: variants: {{NAME: FILE}}")
    else:
        require_variations([variation], configs)
    return Axis(model, ".".join(path), variation.values)


def _refuse_too_many(axes: Sequence[Axis]) -> None:
    count = math.prod(len(axis.values) for axis in axes)
    if count > MOST_GIVEN:
        raise UsageError(f"{count:,} combinations are more than the {MOST_GIVEN:,} that are tried", hint="vary less")


def _combinations(
    axes: Sequence[Axis], configs: Mapping[str, ModelConfig], files: VariantFiles
) -> Iterator[dict[str, Scalar]]:
    """Yield each combination as what it changes; values that are there already are left out."""
    kept = [[(axis.field, value) for value in axis.values] for axis in axes]
    for combination in itertools.product(*kept):
        yield {
            field: value
            for field, value in _without_shadowed(dict(combination)).items()
            if not _is_there(field, value, configs, files)
        }


def _without_shadowed(variant: Mapping[str, Scalar]) -> dict[str, Scalar]:
    """Return a variant without the fields of what it leaves out (dynamic_batching=null has no delay)."""
    gone = tuple(f"{field}." for field, value in variant.items() if value == "null")
    return {field: value for field, value in variant.items() if not field.startswith(gone)} if gone else dict(variant)


def _is_there(field: str, value: Scalar, configs: Mapping[str, ModelConfig], files: VariantFiles) -> bool:
    """Whether a value changes nothing, as far as the configuration as written says."""
    model, path = split_field(field, configs)
    if path == (VARIANTS,):
        return not files[model][str(value)]
    config = configs[model]
    if path == tuple(COUNT.split(".")) and not any(group.count for group in config.instance_group):
        return len(config.instance_group) <= 1 and value == instances_of(config)
    if path == tuple(THREADS.split(".")) and path[1] not in config.parameters:
        return value == 1  # what our onnxruntime backend takes where nothing is said
    changed = ModelConfig()
    changed.CopyFrom(config)
    set_field(changed, path, value)
    return changed == config


def _thrift(variant: Mapping[str, Scalar], configs: Mapping[str, ModelConfig]) -> tuple[float, ...]:
    """Return instances, microseconds of delay, rows of a batch, and changes, each summed: the less the cheaper."""
    after = {**configs, **changed_configs(variant, configs)}.values()
    computing = [config for config in after if not config.ensemble_scheduling.step]
    instances = sum(map(instances_of, computing))
    delays = sum(config.dynamic_batching.max_queue_delay_microseconds for config in computing)
    rows = sum(config.max_batch_size for config in computing)
    return (float(instances), float(delays), float(rows), float(len(variant)))
