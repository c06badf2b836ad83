"""What a box says about a model: version, backend, batching, instances, each in a few words of Triton's own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tritonclient.grpc.model_config_pb2 import ModelConfig, ModelInput, ModelInstanceGroup, ModelOutput

from tritonsmith.ensembles.draw.core import Tensor, plain
from tritonsmith.generator.catalog.datatypes import BY_NUMBER
from tritonsmith.generator.checks.rules.enums import enum_name
from tritonsmith.generator.wiring import full_shape

_IN_FLIGHT = ("inflight_fused_batching", "inflight_batching")  # gpt_model_type of TensorRT-LLM's backend
UNKNOWN = "?"


def model_facts(config: ModelConfig, version: str) -> tuple[str, ...]:
    """Return the lines of a model's box."""
    lines = (
        _served_by(config, version),
        _batching(config),
        ", ".join(_scheduler(config)),
        _instances(config),
        *_extras(config),
    )
    return tuple(plain(line) for line in lines if line)


def version_words(wanted: int, present: Sequence[int]) -> str:
    """Return which version a step runs: its number, or the newest of those that the repository holds."""
    if wanted >= 0:
        return f"version {wanted}"
    return f"latest version ({max(present)})" if present else "latest version"


def tensor_type(item: ModelInput | ModelOutput, config: ModelConfig) -> str:
    """Return a tensor's type and shape with the batch axis, as the server sees it, e.g. FP32 [-1,8,8]."""
    if item.data_type not in BY_NUMBER:
        return UNKNOWN
    datatype = BY_NUMBER[item.data_type].name.removeprefix("TYPE_")
    dims = ",".join(map(str, full_shape(item.dims, config))) if item.dims else UNKNOWN
    return f"{datatype} [{dims}]"


def tensors_of(items: Sequence[ModelInput] | Sequence[ModelOutput], config: ModelConfig) -> tuple[Tensor, ...]:
    """Return a model's inputs or outputs."""
    return tuple(Tensor(plain(item.name), tensor_type(item, config)) for item in items)


def _served_by(config: ModelConfig, version: str) -> str:
    what = "ensemble" if config.platform == "ensemble" else config.backend or config.platform or "backend unknown"
    return f"{what}, {version}" if version else what


def _batching(config: ModelConfig) -> str:
    size = f"max_batch_size {config.max_batch_size}" if config.max_batch_size > 0 else "no batching"
    gpt = config.parameters["gpt_model_type"].string_value if "gpt_model_type" in config.parameters else ""
    return f"{size}, in-flight batching" if gpt in _IN_FLIGHT else size


def _scheduler(config: ModelConfig) -> Iterator[str]:
    if config.HasField("dynamic_batching"):
        batcher = config.dynamic_batching
        yield "dynamic batcher"
        if batcher.preferred_batch_size:
            yield f"preferred {' '.join(map(str, batcher.preferred_batch_size))}"
        if batcher.max_queue_delay_microseconds:
            yield f"delay {batcher.max_queue_delay_microseconds:,} µs"
    elif config.HasField("sequence_batching"):
        strategy = config.sequence_batching.WhichOneof("strategy_choice") or "direct"
        yield f"sequence batcher ({strategy})"
        if strategy == "oldest" and config.sequence_batching.oldest.max_candidate_sequences:
            yield f"{config.sequence_batching.oldest.max_candidate_sequences} candidates"


def _instances(config: ModelConfig) -> str:
    if config.platform == "ensemble":
        return ""
    return ", ".join(map(_group, config.instance_group)) or "default instance group"


def _group(group: ModelInstanceGroup) -> str:
    kind = enum_name(ModelInstanceGroup.Kind, group.kind)
    gpus = f" on GPU {' '.join(map(str, group.gpus))}" if group.gpus else ""
    return f"{group.count or 1} × {kind}{gpus}{', passive' if group.passive else ''}"


def _extras(config: ModelConfig) -> Iterator[str]:
    words = []
    if config.response_cache.enable:
        words.append("response cache")
    if config.model_warmup:
        count = len(config.model_warmup)
        words.append(f"{count} warm-up sample{'s'[: count != 1]}")
    yield ", ".join(words)
