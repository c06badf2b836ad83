"""One request to each model that changed: whether it answers, and whether its answer is what its metadata says."""

from __future__ import annotations

import enum
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tritonsmith.backends.client.base import Client, InferRequest, InferResponse, ModelMetadata, Parameter, Tensor
from tritonsmith.backends.client.configs import as_json
from tritonsmith.backends.client.infer import Call, Target, build_requests, send
from tritonsmith.backends.client.made_up import made_up_rows
from tritonsmith.backends.client.values import parse_json
from tritonsmith.generator.errors import ServerError, TritonsmithError, UsageError

SMOKE_LIMIT_S = 60.0
TRIES = 3  # made-up requests
SEQUENCE_ID = 0x7F1704  # of a made-up sequence: one request that starts and ends it
_NO_ANSWER = re.compile(r"^no Triton answers|^\S+ did not answer within")  # our clients' words; all else is Triton's
Requests = Mapping[str, Sequence[Mapping[str, Any]]]  # of the user's: by model the objects as `infer --inputs` has them


class Outcome(enum.Enum):
    """How a request went."""

    ANSWERED = "answered"
    WRONG = "answered with something else than its metadata says"
    REFUSED = "answered with an error of the model's own"
    SILENT = "not served"


@dataclass(frozen=True)
class Smoke:
    """A model's answer to one request; `said` is what is wrong with it, `outputs` what came, `absent` what did not.

    A model may leave out what its metadata has.
    """

    outcome: Outcome
    said: str = ""
    outputs: frozenset[str] = frozenset()
    absent: frozenset[str] = frozenset()


def read_requests(path: Path) -> tuple[Requests, Path]:
    """Return the user's requests by model, and the folder to which their "@FILE" is relative.

    Raises: UsageError.
    """
    hint = 'write JSON: {"MODEL": {"INPUT": value, ...}}, or a list of such objects for a model'
    try:
        content = parse_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as problem:
        raise UsageError(f"cannot read {path}: {problem}", hint=hint) from None
    if not isinstance(content, dict):
        raise UsageError(f"{path} holds no requests by model", hint=hint)
    rows = {name: one if isinstance(one, list) else [one] for name, one in content.items()}
    if not all(isinstance(row, dict) for one in rows.values() for row in one):
        raise UsageError(f"{path} holds no requests by model", hint=hint)
    return rows, path.parent


def ask(client: Client, call: Call, *, is_served: Callable[[], bool]) -> Smoke:
    """Send the user's requests to a model, the rows of `call`, else one made up from metadata, others while refused.

    Whether an error is the model's own is asked of the server: what a model calls may not be served, and says so.
    """
    try:
        target = Target(client.metadata(call.model, call.version), client.config(call.model, call.version))
        if call.rows:
            return _sent(client, target, build_requests(call, target), is_served)
        requests = [replace(request, version=call.version) for request in made_up(target)[:TRIES]]
        tried = (_sent(client, target, [request], is_served) for request in requests)
        *_, last = _until_answered(tried)
    except ServerError as problem:
        return Smoke(Outcome.SILENT, _first_line(problem))
    except UsageError as problem:  # no values can be made up, or the user's do not fit
        return Smoke(Outcome.WRONG if call.rows else Outcome.REFUSED, _first_line(problem))
    return last


def judge(now: Smoke, before: Smoke | None, *, is_given: bool) -> str:
    """Return why a model is not accepted; empty where it is.

    A model may refuse values that were made up, an image decoder for one: that counts where the model before took
    them, and where the user gave the request. So does an answer that its metadata belies.
    """
    if now.outcome is Outcome.SILENT:
        return f"does not answer: {now.said}"
    was = before.outcome if before is not None else None
    if now.outcome is Outcome.ANSWERED:
        lost = sorted(before.outputs & now.absent) if before is not None and was is Outcome.ANSWERED else []
        return f"no longer answers with {', '.join(lost)}" if lost else ""
    if now.outcome is Outcome.WRONG:
        return "" if was is Outcome.WRONG else f"answers wrongly: {now.said}"
    if is_given or was is Outcome.ANSWERED:
        return f"answers {'the given' if is_given else 'a made-up'} request with an error: {now.said}"
    return ""


def note_of(model: str, now: Smoke) -> str:
    """Return what is to be said of a model that was accepted though its answer proves little; else nothing."""
    if now.outcome is Outcome.REFUSED:
        return f"'{model}' is served, and refuses a made-up request ({now.said}): give one with --smoke"
    return f"'{model}' answers as wrongly as before: {now.said}" if now.outcome is Outcome.WRONG else ""


def made_up(target: Target) -> list[InferRequest]:
    """Return requests with made-up values, each a sequence of its own where the model wants one.

    Raises: UsageError where there are none for a data type.
    """
    metadata = target.metadata
    inputs = [{"name": spec.name, "datatype": spec.datatype, "shape": list(spec.shape)} for spec in metadata.inputs]
    datatypes = {spec.name: spec.datatype for spec in metadata.inputs}
    parameters: dict[str, Parameter] = {}
    if target.config.HasField("sequence_batching"):
        parameters = {"sequence_id": SEQUENCE_ID, "sequence_start": True, "sequence_end": True}
    return [
        InferRequest(
            metadata.name,
            [
                Tensor(name, datatypes[name], np.expand_dims(array, 0) if target.is_batched else array)
                for name, array in row.items()
            ],
            parameters=parameters,
        )
        for row in made_up_rows({"inputs": inputs}, as_json(target.config))
    ]


def mismatches(response: InferResponse, metadata: ModelMetadata) -> Iterator[str]:
    """Yield where a response is not what the model's metadata says."""
    for spec in metadata.outputs:
        tensor = response.outputs.get(spec.name)
        if tensor is None:
            continue
        if tensor.datatype != spec.datatype:
            yield f"output '{spec.name}' is {tensor.datatype}, not {spec.datatype}"
        if not _fits(tensor.array.shape, spec.shape):
            shape = json.dumps(list(tensor.array.shape))
            yield f"output '{spec.name}' has shape {shape}, not {json.dumps(list(spec.shape))}"


def _fits(shape: Sequence[int], wanted: Sequence[int]) -> bool:
    """Whether a shape is as said; last axes of any size may be missing, as TensorRT-LLM's postprocessing has it."""
    if len(shape) > len(wanted) or any(size != -1 for size in wanted[len(shape) :]):
        return False
    return all(want in (-1, got) for want, got in zip(wanted, shape, strict=False))


def _sent(client: Client, target: Target, requests: Sequence[InferRequest], is_served: Callable[[], bool]) -> Smoke:
    try:
        responses = [response for request in requests for response in send(client, [request], target, SMOKE_LIMIT_S)]
    except ServerError as problem:
        is_silent = bool(_NO_ANSWER.search(problem.message)) or not is_served()
        return Smoke(Outcome.SILENT if is_silent else Outcome.REFUSED, _first_line(problem))
    wrong = [line for response in responses for line in mismatches(response, target.metadata)]
    names = frozenset(name for response in responses for name in response.outputs)
    absent = frozenset(spec.name for spec in target.metadata.outputs) - names
    return Smoke(Outcome.WRONG if wrong else Outcome.ANSWERED, "; ".join(dict.fromkeys(wrong)), names, absent)


def _until_answered(tried: Iterator[Smoke]) -> Iterator[Smoke]:
    """Yield answers up to the first that is none of refusal: one made-up value may be too small, another not."""
    for one in tried:
        yield one
        if one.outcome is not Outcome.REFUSED:
            return


def _first_line(problem: TritonsmithError) -> str:
    place = f"{problem.where}: " if problem.where else ""
    return f"{place}{problem.message}".strip().splitlines()[0]
