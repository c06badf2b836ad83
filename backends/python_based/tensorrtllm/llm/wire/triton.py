"""What is used of Triton's `triton_python_backend_utils`, as types."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


class InputTensor(Protocol):
    """A tensor of a request."""

    def name(self) -> str:
        """Return its name."""

    def as_numpy(self) -> Array:
        """Return a view on shared memory, gone with the request."""


class ResponseSender(Protocol):
    """Where the responses of a request go."""

    def send(self, response: Any = None, flags: int = 0) -> None:
        """Hand a response to the server; waits until it has been taken."""

    def is_cancelled(self) -> bool:
        """Ask the server whether the client has cancelled or gone."""


class TritonRequest(Protocol):
    """A request as `execute` gets it."""

    def inputs(self) -> Sequence[InputTensor]:
        """Return the tensors that were sent."""

    def requested_output_names(self) -> Sequence[str]:
        """Return the outputs that are wanted."""

    def request_id(self) -> str:
        """Return the client's id; empty where it gave none."""

    def parameters(self) -> str:
        """Return the request parameters as JSON."""

    def get_response_sender(self) -> ResponseSender:
        """Return where responses go."""


class Triton(Protocol):
    """The module itself."""

    TRITONSERVER_RESPONSE_COMPLETE_FINAL: int
    TritonError: Any
    TritonModelException: type[Exception]
    MetricFamily: Any

    def Tensor(self, name: str, array: Array) -> Any:  # noqa: N802 - Triton's name
        """Return an output tensor; `array` must not be changed afterwards."""

    def InferenceResponse(self, output_tensors: Sequence[Any] = (), error: Any = None) -> Any:  # noqa: N802
        """Return a response."""


def arrays_of(request: TritonRequest) -> Mapping[str, Array]:
    """Return a request's tensors by name, as views that are gone with the request."""
    return {tensor.name(): tensor.as_numpy() for tensor in request.inputs()}


ONE = np.ones((1, 1), np.int32)  # the sequence_length of a response with one token of one beam
