"""Input data for the steps of an ensemble: what really reaches them, from one request that is sent step by step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tritonsmith.backends.client.base import Client, InferRequest, Tensor, connect
from tritonsmith.backends.client.infer import find_target
from tritonsmith.backends.client.made_up import made_up_rows
from tritonsmith.backends.client.tensors import bf16_bits
from tritonsmith.generator import console
from tritonsmith.generator.errors import ServerError, UsageError
from tritonsmith.perf.measure.input_data import Row, read_rows, write_input_data
from tritonsmith.perf.tune.arena.bench import Bench

ROWS = 4


def step_inputs(bench: Bench, models: Sequence[str]) -> dict[str, Path]:
    """Write input data for each of the models: what reaches it of the pipeline's own data, else made-up rows.

    Raises: ServerError.
    """
    seen: dict[str, list[Row]] = {}
    problem = ""
    try:
        for name, tensors in _sent_on(bench):
            seen.setdefault(name, []).append(tensors)
    except (ServerError, UsageError) as error:
        problem = f": {error}"
    control = bench.target.control
    written = {}
    for name in models:
        if name not in seen:
            console.say(f"note: '{name}' is measured with made-up rows, not with what the pipeline sends it{problem}")
        rows = seen.get(name) or made_up_rows(control.metadata(name), control.config(name))
        written[name] = write_input_data(bench.folder.absolute() / f"input-{name}.json", rows)
    return written


def _sent_on(bench: Bench) -> Iterator[tuple[str, Row]]:
    """Yield which model is sent what of the first rows of the pipeline's own data.

    Raises: ServerError where a step fails; UsageError for data that do not fit the pipeline.
    """
    if bench.task.input_data is None:
        return
    with connect(bench.target.grpc_url) as client:
        for row in read_rows(bench.task.input_data, find_target(client, bench.task.model), ROWS):
            yield from _walk(client, bench.task.model, bench.changes.base, row)


def _walk(client: Client, ensemble: str, configs: Mapping[str, ModelConfig], row: Row) -> list[tuple[str, Row]]:
    """Send one row through an ensemble step by step; return what each model was sent, without the batch axis."""
    tensors, found = dict(row), []
    waiting = list(configs[ensemble].ensemble_scheduling.step)
    while waiting:
        step = next((one for one in waiting if set(one.input_map.values()) <= tensors.keys()), None)
        if step is None:  # the others wait for an output that did not come
            break
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


def _infer(client: Client, model: str, inputs: Row, *, is_batched: bool) -> Row:
    types = {spec.name: spec.datatype for spec in client.metadata(model).inputs}
    sent = [Tensor(name, types[name], array[np.newaxis] if is_batched else array) for name, array in inputs.items()]
    outputs = client.infer(InferRequest(model, sent)).outputs
    arrays = {name: bf16_bits(one.array) if one.datatype == "BF16" else one.array for name, one in outputs.items()}
    return {name: array[0] for name, array in arrays.items()} if is_batched else arrays
