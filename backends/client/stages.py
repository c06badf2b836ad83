"""In which order changed models are loaded, so that no ensemble loses a step that it has in between."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from tritonclient.grpc.model_config_pb2 import ModelConfig


def load_stages(
    wanted: Mapping[str, ModelConfig], current: Mapping[str, ModelConfig], changed: Collection[str]
) -> list[list[str]]:
    """Return what is to be loaded, one stage after the other; in `wanted` a pipeline stands before what it holds.

    No step may have a smaller largest batch than its ensemble: an ensemble shrinks before its steps and grows after
    them.
    """
    loaded = [name for name in wanted if name in changed]
    ensembles = [name for name in loaded if wanted[name].ensemble_scheduling.step]
    first = [name for name in ensembles if name in current and _shrinks(wanted[name], current[name])]
    steps = [name for name in loaded if name not in ensembles]
    last = [[name] for name in reversed(ensembles) if name not in first]
    return [stage for stage in ([[name] for name in first] + [steps] + last) if stage]


def _shrinks(wanted: ModelConfig, current: ModelConfig) -> bool:
    return wanted.max_batch_size < current.max_batch_size
