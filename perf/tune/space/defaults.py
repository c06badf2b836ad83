"""What is varied where nobody says what: the fields that usually pay, and how they are thinned out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from tritonclient.grpc.model_config_pb2 import ModelConfig, ModelInstanceGroup

from tritonsmith.generator.spec.tune import VARIANTS
from tritonsmith.perf.document import Scalar
from tritonsmith.perf.tune.space.variant_files import VariantFiles

DELAYS_US = (0, 100, 500, 2000)
COUNT, BATCH = "instance_group.count", "max_batch_size"
DELAY, PREFERRED = "dynamic_batching.max_queue_delay_microseconds", "dynamic_batching.preferred_batch_size"
THREADS = "parameters.intra_op_thread_count"
# What matters most first: the last are the first to be left out.
IMPORTANCE = (VARIANTS, COUNT, DELAY, BATCH, THREADS, PREFERRED)
OWN_BATCHING = ("tensorrtllm", "vllm")  # engines that batch in flight: Triton's settings do little for them


@dataclass(frozen=True)
class Axis:
    """A field of a model and its values."""

    model: str
    path: str
    values: tuple[Scalar, ...]
    kept: Scalar = ""  # of the values the one that is never left out: the configuration's own

    @property
    def field(self) -> str:
        """Return the field as in a sweep's variant."""
        return f"models.{self.model}.{self.path}"


def default_axes(configs: Mapping[str, ModelConfig], files: VariantFiles, cores: int) -> list[Axis]:
    """Return what is varied of models that compute, the values of each ascending."""
    return [axis for name, config in configs.items() for axis in _axes(name, config, tuple(files.get(name, ())), cores)]


def thinned(axes: Sequence[Axis], most: int) -> tuple[list[Axis], tuple[str, ...]]:
    """Return axes with at most `most` combinations, and what was left out, in words.

    The axis with the most values loses every second, those of the least important first, but never its first, its last
    and its own; with three values or fewer everywhere the least important axes are left as they are in the spec.
    """
    kept, notes = list(axes), dict[str, None]()
    while math.prod(len(axis.values) for axis in kept) > most:
        index = max(range(len(kept)), key=lambda i: (len(kept[i].values), IMPORTANCE.index(kept[i].path), i))
        axis = kept[index]
        if (fewer := _fewer(axis)) != axis.values:
            kept[index] = replace(axis, values=fewer)
            notes[f"{axis.field}: only some of its values are tried"] = None
        else:
            index = max(range(len(kept)), key=lambda i: (IMPORTANCE.index(kept[i].path), i))
            gone = kept.pop(index)
            notes.pop(f"{gone.field}: only some of its values are tried", None)
            notes[f"{gone.field}: left as it is"] = None
    return kept, tuple(notes)


def _fewer(axis: Axis) -> tuple[Scalar, ...]:
    """Return an axis's first, last and own value, and of more than four others every second."""
    last, step = len(axis.values) - 1, 2 if len(axis.values) > 4 else len(axis.values)
    return tuple(v for i, v in enumerate(axis.values) if i % step == 0 or i == last or v == axis.kept)


def _axes(name: str, config: ModelConfig, variants: tuple[str, ...], cores: int) -> list[Axis]:
    if config.backend in OWN_BATCHING:
        return []
    limit = config.max_batch_size
    delay = config.dynamic_batching.max_queue_delay_microseconds
    preferred = f"[{','.join(map(str, config.dynamic_batching.preferred_batch_size))}]"
    own: dict[str, Scalar] = {COUNT: max((group.count for group in config.instance_group), default=0), BATCH: limit}
    own |= {DELAY: delay, PREFERRED: preferred}
    values: dict[str, tuple[Scalar, ...]] = {VARIANTS: variants, COUNT: _counts(config, cores)}
    if not config.HasField("sequence_batching"):
        values[BATCH] = _powers_of_two(limit)
        if limit > 1:
            values[DELAY] = tuple(sorted({*DELAYS_US, delay}))
            values[PREFERRED] = tuple(dict.fromkeys(("[]", f"[{limit // 2}]", preferred)))
    if config.backend == "onnxruntime" and not _is_on_gpu(config):
        values[THREADS] = tuple(_powers_of_two(cores))
    return [Axis(name, path, given, own.get(path, "")) for path, given in values.items() if len(given) > 1]


def _counts(config: ModelConfig, cores: int) -> tuple[Scalar, ...]:
    return (1, 2, 4) if _is_on_gpu(config) else _powers_of_two(cores) if cores > 4 else tuple(range(1, cores + 1))


def _is_on_gpu(config: ModelConfig) -> bool:
    return any(group.kind == ModelInstanceGroup.KIND_GPU for group in config.instance_group)


def _powers_of_two(most: int) -> tuple[Scalar, ...]:
    """Return 1, 2, 4 and so on to `most`, which is the last even where it is none."""
    powers = [1 << bits for bits in range(max(0, most).bit_length())]
    return tuple(powers) if most <= 0 or powers[-1] == most else (*powers, most)
