"""A gRPC client of the model `tensorrt_llm` and the pipeline around it: responses as they come."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any

import numpy as np
import numpy.typing as npt
import tritonclient.grpc as grpc

from tritonsmith.perf.bench.llm_model import MODEL

Array = npt.NDArray[Any]
TYPES = {"bool": "BOOL", "int32": "INT32", "int64": "INT64", "uint64": "UINT64", "float32": "FP32", "object": "BYTES"}


@dataclass(frozen=True)
class Response:
    """One response: its tensors, or an error; of several requests on one stream, that with the id."""

    tensors: dict[str, Array]
    error: str = ""
    is_final: bool = False
    id: str = ""

    @property
    def tokens(self) -> list[int]:
        """The tokens of its one beam."""
        ids: list[int] = self.tensors["output_ids"].ravel().tolist() if "output_ids" in self.tensors else []
        return ids

    @property
    def text(self) -> str:
        """Its text, of whatever rows it has."""
        return b"".join(self.tensors["text_output"].ravel()).decode() if "text_output" in self.tensors else ""


def inputs_for(tokens: Sequence[Any], length: int, **more: Any) -> list[grpc.InferInput]:
    """Return the inputs of a request; `tokens` may be several rows of one length, `more` values for all rows."""
    ids = np.atleast_2d(np.array(tokens, np.int32))
    rows = len(ids)
    given = {"input_lengths": np.int32(ids.shape[1]), "request_output_len": np.int32(length), **more}
    arrays = {"input_ids": ids, **{name: _for_rows(value, rows) for name, value in given.items()}}
    return [infer_input(name, array) for name, array in arrays.items()]


def infer_input(name: str, array: Array) -> grpc.InferInput:
    """Return an input of a request."""
    tensor = grpc.InferInput(name, list(array.shape), TYPES[str(array.dtype)])
    tensor.set_data_from_numpy(array)
    return tensor


class Stream:
    """A gRPC stream: requests go out, responses of all of them come in."""

    def __init__(self, url: str) -> None:
        self._client = grpc.InferenceServerClient(url)
        self._responses: SimpleQueue[Response] = SimpleQueue()
        self._client.start_stream(lambda result, error: self._responses.put(_response(result, error)))

    def ask(self, tokens: Sequence[Any], length: int, *, model: str = MODEL, id_: str = "", **more: Any) -> None:
        """Send a request by its tokens."""
        self.send(model, inputs_for(tokens, length, **more), id_=id_)

    def send(
        self, model: str, inputs: Sequence[grpc.InferInput], *, id_: str = "", outputs: Sequence[str] = ()
    ) -> None:
        """Send a request; without `outputs` for all of them."""
        wanted = [grpc.InferRequestedOutput(name) for name in outputs] or None
        self._client.async_stream_infer(model, inputs, request_id=id_, outputs=wanted, enable_empty_final_response=True)

    def next(self, timeout_s: float = 30) -> Response:
        """Return the next response of any request."""
        return self._responses.get(timeout=timeout_s)

    def unread(self) -> list[str]:
        """Return the errors among the responses that nobody has read."""
        return [self._responses.get().error for _ in range(self._responses.qsize())]

    def rest(self, timeout_s: float = 30) -> Iterator[Response]:
        """Yield responses until one ends its request."""
        while True:
            response = self.next(timeout_s)
            yield response
            if response.is_final:
                return

    def close(self, *, is_cancelling: bool = True) -> None:
        """Close the stream; requests on it are cancelled unless it waits for them."""
        self._client.stop_stream(cancel_requests=is_cancelling)
        self._client.close()


@contextmanager
def open_stream(url: str) -> Iterator[Stream]:
    """Open a stream; it is cancelled at the end, as a client does that goes away."""
    stream = Stream(url)
    try:
        yield stream
    finally:
        stream.close()


def _for_rows(value: Any, rows: int) -> Array:
    if isinstance(value, np.ndarray):
        return value
    array = np.asarray(value)
    kind = {"int64": np.int32, "float64": np.float32}.get(str(array.dtype), array.dtype)
    return np.full((rows, 1), array.astype(kind))


def _response(result: Any, error: Any) -> Response:
    if error is not None:
        return Response({}, str(error), is_final=True)
    message = result.get_response()
    tensors = {output.name: result.as_numpy(output.name) for output in message.outputs}
    final = message.parameters["triton_final_response"].bool_param
    return Response(tensors, "", final, message.id)
