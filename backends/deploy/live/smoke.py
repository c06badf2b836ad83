"""One request to each model that changed: the user's, or one made up from its metadata."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tritonsmith.backends.client.base import Client, InferRequest, Parameter, Tensor
from tritonsmith.backends.client.configs import as_json
from tritonsmith.backends.client.infer import Call, Target, build_requests, send
from tritonsmith.backends.client.made_up import made_up_rows
from tritonsmith.backends.client.values import parse_json
from tritonsmith.backends.deploy.live.judge import Outcome, Smoke, mismatches
from tritonsmith.generator.errors import ServerError, TritonsmithError, UsageError

SMOKE_LIMIT_S = 60.0
TRIES = 3  # made-up requests
SEQUENCE_ID = 0x7F1704  # of a made-up sequence: one request that starts and ends it
_NO_ANSWER = re.compile(r"^no Triton answers|^\S+ did not answer within")  # our clients' words; all else is Triton's
Requests = Mapping[str, Sequence[Mapping[str, Any]]]  # of the user's: by model the objects as `infer --inputs` has them


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
