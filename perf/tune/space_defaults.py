"""What is varied where nobody says what: the fields that usually pay, and how they are thinned out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from tritonclient.grpc.model_config_pb2 import ModelConfig, ModelInstanceGroup

from tritonsmith.perf.document import Scalar
from tritonsmith.perf.tune.variant_files import FIELD, VariantFiles

DELAYS_US = (0, 100, 500, 2000)
COUNT, BATCH = "instance_group.count", "max_batch_size"
DELAY, PREFERRED = "dynamic_batching.max_queue_delay_microseconds", "dynamic_batching.preferred_batch_size"
THREADS = "parameters.intra_op_thread_count"
# What matters most first: the last are the first to be left out.
IMPORTANCE = (FIELD, COUNT, DELAY, BATCH, THREADS, PREFERRED)
OWN_BATCHING = ("tensorrtllm", "vllm")  # engines that batch in flight: Triton's settings do little for them


@dataclass(frozen=True)
class Axis:
    """A field of a model and its values."""

    model: str
    path: str
    values: tuple[Scalar, ...]

    @property
    def field(self) -> str:
        """Return the field as in a sweep's variant."""
        return f"models.{self.model}.{self.path}"


def default_axes(configs: Mapping[str, ModelConfig], files: VariantFiles, cores: int) -> list[Axis]:
    """Return what is varied of models that compute, the values of each ascending."""
    return [axis for name, config in configs.items() for axis in _axes(name, config, tuple(files.get(name, ())), cores)]


def thinned(axes: Sequence[Axis], most: int) -> tuple[list[Axis], tuple[str, ...]]:
    """Return axes with at most `most` combinations, and what was left out, in words.

    The axis with the most values loses every second, those of the least important first, but never its first and last;
    with two values everywhere the least important axes are left as they are in the spec.
    """
    kept, notes = list(axes), dict[str, None]()
    while math.prod(len(axis.values) for axis in kept) > most:
        index = max(range(len(kept)), key=lambda i: (len(kept[i].values), IMPORTANCE.index(kept[i].path), i))
        axis = kept[index]
        if len(axis.values) > 2:
            kept[index] = replace(axis, values=(*axis.values[:-1:2], axis.values[-1]))
            notes[f"{axis.field}: only some of its values are tried"] = None
        else:
            del kept[index]
            notes.pop(f"{axis.field}: only some of its values are tried", None)
            notes[f"{axis.field}: left as it is"] = None
    return kept, tuple(notes)


def _axes(name: str, config: ModelConfig, variants: tuple[str, ...], cores: int) -> list[Axis]:
    if config.backend in OWN_BATCHING:
        return []
    limit = config.max_batch_size
    values: dict[str, tuple[Scalar, ...]] = {FIELD: variants, COUNT: _counts(config, cores)}
    if not config.HasField("sequence_batching"):
        values[BATCH] = _powers_of_two(limit)
        if limit > 1:
            values |= {DELAY: DELAYS_US, PREFERRED: ("[]", f"[{limit // 2}]")}
    if config.backend == "onnxruntime" and not _is_on_gpu(config):
        values[THREADS] = tuple(_powers_of_two(cores))
    return [Axis(name, path, given) for path, given in values.items() if len(given) > 1]


def _counts(config: ModelConfig, cores: int) -> tuple[Scalar, ...]:
    return (1, 2, 4) if _is_on_gpu(config) else _powers_of_two(cores) if cores > 4 else tuple(range(1, cores + 1))


def _is_on_gpu(config: ModelConfig) -> bool:
    return any(group.kind == ModelInstanceGroup.KIND_GPU for group in config.instance_group)


def _powers_of_two(most: int) -> tuple[Scalar, ...]:
    """Return 1, 2, 4 and so on to `most`, which is the last even where it is none."""
    powers = [1 << bits for bits in range(max(0, most).bit_length())]
    return tuple(powers) if most <= 0 or powers[-1] == most else (*powers, most)
