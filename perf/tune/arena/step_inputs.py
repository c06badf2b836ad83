"""Input data for the steps of an ensemble: what really reaches them, from one request that is sent step by step."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tritonsmith.backends.client.base import Client, InferRequest, ModelMetadata, Tensor, connect
from tritonsmith.backends.client.tensors import Array, decode
from tritonsmith.generator.catalog.datatypes import BY_WIRE
from tritonsmith.generator.errors import ServerError, UsageError
from tritonsmith.perf.measure.input_data import Row, made_up_rows, write_input_data
from tritonsmith.perf.tune.arena.bench import Bench

ROWS = 4


def step_inputs(bench: Bench, models: Sequence[str]) -> dict[str, Path]:
    """Write input data for each of the models: what reaches it of the pipeline's own data, else made-up rows.

    Raises: ServerError.
    """
    seen: dict[str, list[Row]] = {}
    with connect(bench.target.grpc_url) as client, suppress(ServerError, UsageError, KeyError, ValueError, TypeError):
        for row in _first_rows(bench.task.input_data, client.metadata(bench.task.model)):
            for name, tensors in _walk(client, bench.task.model, bench.changes.base, row):
                seen.setdefault(name, []).append(tensors)
    control = bench.target.control
    written = {}
    for name in models:
        rows = seen.get(name) or made_up_rows(control.metadata(name), control.config(name))
        written[name] = write_input_data(bench.folder.absolute() / f"input-{name}.json", rows)
    return written


def _walk(client: Client, ensemble: str, configs: Mapping[str, ModelConfig], row: Row) -> list[tuple[str, Row]]:
    """Send one row through an ensemble step by step; return what each model was sent, without the batch axis."""
    tensors, found = dict(row), []
    waiting = list(configs[ensemble].ensemble_scheduling.step)
    while waiting:
        step = next(one for one in waiting if set(one.input_map.values()) <= tensors.keys())
        waiting.remove(step)
        inputs = {name: tensors[value] for name, value in step.input_map.items()}
        config = configs[step.model_name]
        if config.ensemble_scheduling.step:
            found += _walk(client, step.model_name, configs, inputs)
        else:
            found.append((step.model_name, inputs))
        answers = _infer(client, step.model_name, inputs, is_batched=config.max_batch_size > 0)
        tensors |= {value: answers[name] for name, value in step.output_map.items() if name in answers}
    return found


def _infer(client: Client, model: str, inputs: Row, *, is_batched: bool) -> dict[str, Array]:
    types = {spec.name: spec.datatype for spec in client.metadata(model).inputs}
    sent = [Tensor(name, types[name], array[np.newaxis] if is_batched else array) for name, array in inputs.items()]
    outputs = client.infer(InferRequest(model, sent)).outputs
    return {name: tensor.array[0] if is_batched else tensor.array for name, tensor in outputs.items()}


def _first_rows(path: Path | None, metadata: ModelMetadata) -> list[Row]:
    """Read the first rows of an input-data file, each tensor without the batch axis."""
    if path is None:
        return []
    rows = json.loads(path.read_bytes())["data"][:ROWS]
    specs = {spec.name: spec for spec in metadata.inputs}
    return [{name: _array(value, specs[name].datatype) for name, value in row.items()} for row in rows]


def _array(value: Any, datatype: str) -> Array:
    """Return one tensor of perf_analyzer's input data: {"content": ..., "shape": ...} or plain values."""
    content = value["content"] if isinstance(value, dict) and "content" in value else value
    shape = value["shape"] if isinstance(value, dict) and "shape" in value else None
    if isinstance(content, dict):
        raw = base64.b64decode(content["b64"])
        if shape is None:
            raise UsageError("base64 without a shape")
        return decode(raw, datatype, shape)
    if datatype == "BYTES":
        array: Array = np.array([str(one).encode() for one in np.ravel(content)], dtype=object)
    else:
        array = np.asarray(content, dtype=BY_WIRE[datatype].numpy)
    return array.reshape(shape) if shape is not None else array
