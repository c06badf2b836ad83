"""Where a configuration as served differs from the one that was written: what the server completes is no difference."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from google.protobuf.message import Message
from tritonclient.grpc.model_config_pb2 import ModelConfig, ModelInstanceGroup

from tritonsmith.backends.deploy.live.core import MARK

# Filled in by the server where nothing is written. Source: core: model_config_utils.cc (GetNormalizedModelConfig,
# NormalizeModelConfig, AutoCompleteBackendFields), seen on 2.51.
FILLED = frozenset(
    {
        "name",
        "platform",
        "backend",
        "runtime",
        "default_model_filename",
        "version_policy.latest.num_versions",
        "optimization.input_pinned_memory.enable",
        "optimization.output_pinned_memory.enable",
        "sequence_batching.max_sequence_idle_microseconds",
        "sequence_batching.oldest.max_candidate_sequences",
        "dynamic_batching.default_priority_level",
        "model_transaction_policy.decoupled",  # of an ensemble: its steps'
    }
)
# What a backend may add to a configuration that leaves it out; a dynamic batcher of defaults, too, differs in no field.
# Source: core: backend_model.cc (UpdateModelConfig): tensors, the largest batch, a scheduler where there is none.
COMPLETED = ("input", "output", "max_batch_size")
PREFERRED = ("dynamic_batching.preferred_batch_size", "sequence_batching.oldest.preferred_batch_size")
_AUTO = ModelInstanceGroup.KIND_AUTO


def differences(written: ModelConfig, served: ModelConfig) -> list[str]:
    """Return a line for each field that is served otherwise than written: `path: as served -> as written`."""
    return list(_between(written, served, ""))


def _between(written: Message, served: Message, prefix: str) -> Iterator[str]:
    for entry in written.DESCRIPTOR.fields:
        path = f"{prefix}{entry.name}"
        mine, theirs = getattr(written, entry.name), getattr(served, entry.name)
        if mine == theirs and _has(written, entry) == _has(served, entry):
            continue
        if _is_completed(path, written, entry) or _is_normal(path, written, served):
            continue
        if path == "instance_group":
            yield from _groups(mine, theirs)
        elif path in ("input", "output"):
            yield from _tensors(path, mine, theirs)
        elif path == "metric_tags":
            yield from _tags(dict(mine), dict(theirs))
        elif entry.message_type is not None and not _is_repeated(entry):
            yield from _messages(path, written, served, entry)
        else:
            yield _line(path, mine, theirs)


def _messages(path: str, written: Message, served: Message, entry: Any) -> Iterator[str]:
    """Yield where one message in another differs; a scheduler counts by being there."""
    inner = list(_between(getattr(written, entry.name), getattr(served, entry.name), f"{path}."))
    yield from inner
    if not inner and entry.containing_oneof is not None and _has(written, entry) and not _has(served, entry):
        yield f"{path}: absent -> {{}}"
    if not inner and path == "sequence_batching" and _has(served, entry) and not _has(written, entry):
        yield f"{path}: {{}} -> absent"


def _groups(written: Sequence[Any], served: Sequence[Any]) -> Iterator[str]:
    """Yield where instance groups differ; without any, and in place of KIND_AUTO, the server chooses."""
    if not written:
        return
    if len(written) != len(served):
        yield f"instance_group: {len(served)} -> {len(written)} groups"
        return
    for index, (mine, theirs) in enumerate(zip(written, served, strict=True)):
        plain = ModelInstanceGroup()
        plain.CopyFrom(theirs)
        plain.name = mine.name or plain.name
        expected = ModelInstanceGroup()
        expected.CopyFrom(mine)
        expected.name = plain.name
        expected.kind = plain.kind if mine.kind == _AUTO else mine.kind
        expected.count = mine.count if mine.count > 0 else plain.count
        if not mine.gpus:
            plain.ClearField("gpus")
        yield from _between(expected, plain, f"instance_group[{index}].")


def _tensors(path: str, written: Sequence[Any], served: Sequence[Any]) -> Iterator[str]:
    """Yield where tensors differ; those that a backend adds do not count."""
    known = {tensor.name: tensor for tensor in served}
    for tensor in written:
        if tensor.name not in known:
            yield f"{path} {tensor.name}: absent -> {tensor.name}"
            continue
        filled = type(tensor)()
        filled.CopyFrom(known[tensor.name])
        if not tensor.dims:
            filled.ClearField("dims")
        if not tensor.data_type:
            filled.ClearField("data_type")
        yield from _between(tensor, filled, f"{path} {tensor.name}.")


def _tags(written: dict[str, str], served: dict[str, str]) -> Iterator[str]:
    theirs = {key: value for key, value in served.items() if key != MARK}
    if written != theirs:
        yield _line("metric_tags", written, theirs)


def _is_completed(path: str, written: Message, entry: Any) -> bool:
    """Whether nothing is written where the server fills something in."""
    is_absent = not getattr(written, entry.name) if not entry.message_type or _is_repeated(entry) else None
    if is_absent is None:
        is_absent = not _has(written, entry)
    return is_absent and (path in FILLED or path in COMPLETED)


def _is_normal(path: str, written: Any, served: Any) -> bool:
    """Whether the server only says what holds anyway: the preferred batch size, which is the largest batch."""
    if path not in PREFERRED or written.preferred_batch_size:
        return False
    return len(served.preferred_batch_size) == 1


def _has(message: Message, entry: Any) -> bool:
    return message.HasField(entry.name) if entry.has_presence else False


def _is_repeated(entry: Any) -> bool:
    return bool(entry.is_repeated)


def _line(path: str, written: Any, served: Any) -> str:
    return f"{path}: {_short(served)} -> {_short(written)}"


def _short(value: Any) -> str:
    text = " ".join(str(value).split()) or "absent"
    return text if len(text) <= 40 else f"{text[:37]}..."
