"""One request through two models: one reads the prompt, the other goes on from its KV cache. Runs inside Triton.

The first answers with `context_phase_params`, by which the second finds the cache and the first token.
Source: TensorRT-LLM: triton_backend/all_models/disaggregated_serving (request parameter request_type). Upstream fails a
whole batch for one bad request, and hands neither ids nor cancellations on; here each request stands alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import numpy as np
import numpy.typing as npt

from .model_parameters import read_parameters, require_batching, tensor_names

Tensors = dict[str, npt.NDArray[Any]]
# (model, inputs, outputs, request id, request_type) -> responses
Ask = Callable[[str, Tensors, tuple[str, ...], str, str], Iterator[Tensors]]
HANDED_OVER = "context_phase_params"


class RefusedError(ValueError):
    """Raised for a request that cannot be served; the message is for the client."""


class ModelError(RuntimeError):
    """Raised where one of the two models fails; `code` is Triton's."""

    def __init__(self, model: str, message: str, code: Any) -> None:
        super().__init__(f"{model}: {message}")
        self.code = code


@dataclass(frozen=True)
class Setup:
    """The two models, and what this model's own configuration says."""

    context: str
    generation: str
    inputs: frozenset[str]
    is_decoupled: bool


@dataclass(frozen=True)
class Request:
    """A request as the client sent it; `outputs` are those that it asks for, all where it names none."""

    inputs: Tensors
    outputs: tuple[str, ...]
    id: str
    is_cancelled: Callable[[], bool]


def read_setup(config: Mapping[str, Any]) -> Setup:
    """Return the setup of a model's configuration (Triton's JSON form).

    Raises: ValueError where it names no models, or has no batch axis.
    """
    require_batching(config)
    names = ("context_model_name", "generation_model_name")
    texts = read_parameters(config, names)
    for name in names:
        if name not in texts:
            raise ValueError(f"parameter {name} is not set: it names one of the two models")
    is_decoupled = bool(config.get("model_transaction_policy", {}).get("decoupled", False))
    return Setup(texts[names[0]], texts[names[1]], tensor_names(config, "input"), is_decoupled)


def serve(setup: Setup, request: Request, ask: Ask) -> Iterator[Tensors]:
    """Yield the responses to a request.

    Raises: RefusedError where it is not one row; ModelError where a model fails.
    """
    if _is_set(request.inputs, "stop"):
        yield from _stop(setup, request, ask)
        return
    rows = {array.shape[0] for array in request.inputs.values()}
    if rows != {1}:
        raise RefusedError(f"a request of {max(rows, default=0)} rows: one row at a time is handed over")
    own_id = request.id or uuid4().hex  # a request without an id could not be stopped
    # an empty response only says that it was the last
    answers = [answer for answer in ask(setup.context, request.inputs, (), own_id, "context_only") if answer]
    if len(answers) != 1 or HANDED_OVER not in answers[0]:
        what = f"{len(answers)} responses" if len(answers) != 1 else f"a response without {HANDED_OVER}"
        raise ModelError(setup.context, f"expected one response with {HANDED_OVER}, got {what}", None)
    inputs = {**request.inputs, HANDED_OVER: answers[0][HANDED_OVER]}
    for response in ask(setup.generation, inputs, request.outputs, own_id, "generation_only"):
        if request.is_cancelled():
            _end(setup, own_id, ask)
            return
        if response:
            yield response


def _stop(setup: Setup, request: Request, ask: Ask) -> Iterator[Tensors]:
    """Hand a client's own wish to stop on to both models; the second's empty response is the answer."""
    if not request.id:
        raise RefusedError("stop needs the id of the request to be stopped as its own request id")
    for _ in ask(setup.context, request.inputs, request.outputs, request.id, "context_only"):
        pass
    yield from ask(setup.generation, request.inputs, request.outputs, request.id, "generation_only")


def _end(setup: Setup, request_id: str, ask: Ask) -> None:
    """End a request whose client is gone."""
    nothing = np.zeros((1, 1), np.int32)
    inputs = {"input_ids": nothing, "input_lengths": nothing, "request_output_len": nothing + 1}
    for _ in ask(setup.generation, {**inputs, "stop": np.ones((1, 1), np.bool_)}, (), request_id, "generation_only"):
        pass


def _is_set(inputs: Tensors, name: str) -> bool:
    return name in inputs and bool(inputs[name].any())
