"""One request to a model by name, typed and shaped from what the server says of it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tritonsmith.backends.client.base import Client, InferRequest, InferResponse, ModelMetadata, Parameter, Tensor
from tritonsmith.backends.client.tensors import Array
from tritonsmith.backends.client.values import from_json, parse_json, read_value, shaped
from tritonsmith.generator.errors import ServerError, UsageError
from tritonsmith.generator.suggest import did_you_mean


@dataclass(frozen=True)
class Target:
    """A model that is ready, as the server describes it."""

    metadata: ModelMetadata
    config: ModelConfig

    @property
    def is_batched(self) -> bool:
        """Whether the first dimension of its tensors is the batch."""
        return self.config.max_batch_size > 0

    @property
    def is_decoupled(self) -> bool:
        """Whether one request may have any number of responses."""
        return self.config.model_transaction_policy.decoupled


@dataclass(frozen=True)
class Call:
    """What a person asks for: `texts` are --input's NAME=VALUE, `rows` the objects of --inputs FILE."""

    model: str
    version: str = ""
    texts: Sequence[str] = ()
    rows: Sequence[Mapping[str, Any]] = ()
    folder: Path = Path()  # to which "@FILE" in `rows` is relative
    outputs: Sequence[str] = ()
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    sequence_id: int | str | None = None
    is_sequence_start: bool = False
    is_sequence_end: bool = False


def find_target(client: Client, model: str, version: str = "") -> Target:
    """Return the model's description.

    Raises: ServerError where the server does not have it, or not ready; names the models or versions that it has.
    """
    states = client.index()
    ready = sorted({state.name for state in states if state.state == "READY"})
    if model not in ready:
        known = [state for state in states if state.name == model]
        if not known:
            suggestion = did_you_mean(model, ready)
            raise ServerError(
                f"{client.url} has no model '{model}'.{suggestion}",
                hint=f"it has {', '.join(ready) or 'no model ready'}",
            )
        state = known[-1].state or "not loaded"
        raise ServerError(f"model '{model}' is {state}" + (f": {known[-1].reason}" if known[-1].reason else ""))
    versions = [state.version for state in states if state.name == model and state.state == "READY"]
    if version and version not in versions:
        raise ServerError(
            f"model '{model}' has no version {version} that is ready",
            where=client.url,
            hint=f"ready: {', '.join(sorted(versions, key=int))}",
        )
    return Target(client.metadata(model, version), client.config(model, version))


def build_requests(call: Call, target: Target) -> list[InferRequest]:
    """Return the requests of a call: one from --input, one for each object of --inputs.

    Raises: UsageError for inputs that the model does not have, lacks, or cannot take.
    """
    objects: list[Mapping[str, list[Array]]] = []
    if call.texts:
        objects.append(_from_texts(call.texts, target))
    for row in call.rows:
        _check_names(row, target)
        specs = {spec.name: spec for spec in target.metadata.inputs}
        objects.append({name: [from_json(value, specs[name], call.folder)] for name, value in row.items()})
    if not objects:
        objects.append({})
    _check_outputs(call.outputs, target)
    last = len(objects) - 1
    return [
        InferRequest(
            call.model,
            _tensors(values, target),
            call.version,
            call.outputs,
            parameters={**call.parameters, **_sequence(call, is_first=n == 0, is_last=n == last)},
        )
        for n, values in enumerate(objects)
    ]


def send(client: Client, requests: Sequence[InferRequest], target: Target, timeout_s: float) -> Iterator[InferResponse]:
    """Send the requests one after the other and yield what comes back; a decoupled model's responses as they come.

    Outputs are in the order of the metadata; the server answers in an order of its own.
    """
    for request in requests:
        if not target.is_decoupled:
            yield in_order(client.infer(request, timeout_s=timeout_s), target.metadata)
            continue
        for response in client.stream([request], timeout_s=timeout_s):
            if response.outputs:  # the final one may be empty
                yield in_order(response, target.metadata)


def in_order(response: InferResponse, metadata: ModelMetadata) -> InferResponse:
    """Return a response with its outputs in the order of the metadata."""
    position = {spec.name: n for n, spec in enumerate(metadata.outputs)}
    ordered = sorted(response.outputs.items(), key=lambda item: position.get(item[0], len(position)))
    return replace(response, outputs=dict(ordered))


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Return the objects of an --inputs file: one object, or a list of them.

    Raises: UsageError.
    """
    try:
        content = parse_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as problem:
        raise UsageError(
            f"cannot read {path}: {problem}", hint='write JSON: {"input": [1, 2]} or a list of such'
        ) from None
    rows = content if isinstance(content, list) else [content]
    if not rows or not all(isinstance(row, dict) for row in rows):
        raise UsageError(f"{path} holds no inputs", hint='write JSON: {"input": [1, 2]} or a list of such')
    return rows


def read_parameter(text: str) -> tuple[str, Parameter]:
    """Return name and value of `--parameter NAME=VALUE`; true, false and numbers are typed, anything else is text."""
    name, separator, value = text.partition("=")
    if not separator or not name:
        raise UsageError(f"'{text}' is no parameter", hint="write --parameter NAME=VALUE")
    try:
        typed = json.loads(value)
    except ValueError:
        typed = value
    return name, typed if isinstance(typed, bool | int | float | str) else value


def read_pair(text: str) -> tuple[str, str]:
    """Return name and value of `--input NAME=VALUE`, both as written.

    Raises: UsageError.
    """
    name, separator, value = text.partition("=")
    if not separator or not name:
        raise UsageError(f"'{text}' is no input", hint="write --input NAME=VALUE or --input NAME=@FILE")
    return name, value


def _from_texts(texts: Sequence[str], target: Target) -> dict[str, list[Array]]:
    """Return the values by input; an input that is given several times has several, one row each."""
    pairs = [read_pair(text) for text in texts]
    _check_names(dict(pairs), target)
    specs = {spec.name: spec for spec in target.metadata.inputs}
    values: dict[str, list[Array]] = {}
    for name, value in pairs:
        values.setdefault(name, []).append(read_value(value, specs[name]))
    return values


def _tensors(values: Mapping[str, list[Array]], target: Target) -> list[Tensor]:
    optional = {tensor.name for tensor in target.config.input if tensor.optional}
    missing = [spec for spec in target.metadata.inputs if spec.name not in values and spec.name not in optional]
    if missing:
        wanted = ", ".join(f"{spec.name} ({spec.datatype} {list(spec.shape)})" for spec in missing)
        raise UsageError(
            f"model '{target.metadata.name}' also needs {wanted}", hint="write --input NAME=VALUE for each"
        )
    tensors = []
    for spec in target.metadata.inputs:
        if parts := [shaped(array, spec, is_batched=target.is_batched) for array in values.get(spec.name, [])]:
            if len(parts) > 1 and not target.is_batched:
                raise UsageError(
                    f"input '{spec.name}' is given {len(parts)} times, but '{target.metadata.name}' does not batch",
                    hint="give it once, or several objects in an --inputs file",
                )
            tensors.append(Tensor(spec.name, spec.datatype, _stacked(parts, spec.name)))
    return tensors


def _stacked(parts: list[Array], name: str) -> Array:
    if len({part.shape[1:] for part in parts}) > 1:
        shapes = ", ".join(str(list(part.shape)) for part in parts)
        raise UsageError(
            f"the values of input '{name}' differ in shape: {shapes}", hint="rows of a batch have one shape"
        )
    return np.concatenate(parts) if len(parts) > 1 else parts[0]


def _check_names(names: Mapping[str, Any], target: Target) -> None:
    known = [spec.name for spec in target.metadata.inputs]
    for name in names:
        if name not in known:
            raise UsageError(
                f"model '{target.metadata.name}' has no input '{name}'.{did_you_mean(name, known)}",
                hint=f"its inputs are {_described(target.metadata)}",
            )


def _check_outputs(names: Sequence[str], target: Target) -> None:
    known = [spec.name for spec in target.metadata.outputs]
    for name in names:
        if name not in known:
            raise UsageError(
                f"model '{target.metadata.name}' has no output '{name}'.{did_you_mean(name, known)}",
                hint=f"its outputs are {', '.join(known)}",
            )


def _described(metadata: ModelMetadata) -> str:
    return ", ".join(f"{spec.name} ({spec.datatype} {list(spec.shape)})" for spec in metadata.inputs)


def _sequence(call: Call, *, is_first: bool, is_last: bool) -> dict[str, Parameter]:
    """Return the parameters of a sequence; several requests of one call are steps of the same sequence."""
    if call.sequence_id is None:
        if call.is_sequence_start or call.is_sequence_end:
            raise UsageError("--sequence-start and --sequence-end belong to a sequence", hint="add --sequence-id")
        return {}
    return {
        "sequence_id": call.sequence_id,
        "sequence_start": call.is_sequence_start and is_first,
        "sequence_end": call.is_sequence_end and is_last,
    }
