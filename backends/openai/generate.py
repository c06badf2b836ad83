"""One request to Triton over gRPC: responses as they come, and an early end that reaches the engine."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import grpc  # type: ignore[import-untyped]
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc.service_pb2_grpc import GRPCInferenceServiceStub

from tritonsmith.backends.client.base import InferRequest
from tritonsmith.backends.client.over_grpc import read_response, request_message
from tritonsmith.backends.openai.errors import of_call, of_words
from tritonsmith.backends.openai.pipelines import Pipeline
from tritonsmith.backends.openai.tensors import Piece, Reader, Wish, infer_request, stop_request

STOP_LIMIT_S = 5.0  # for telling an engine to stop; it needs milliseconds


class Triton:
    """Asks a server; to be made, used and closed in one event loop."""

    def __init__(self, url: str) -> None:
        unlimited = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
        self._channel = grpc.aio.insecure_channel(url, options=unlimited)
        self._stub: Any = GRPCInferenceServiceStub(self._channel)
        self._stops: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        """Close the connection, once the engines know who has gone."""
        await asyncio.gather(*self._stops)
        await self._channel.close()

    async def is_ready(self, model: str) -> bool:
        """Return whether a model answers."""
        try:
            answer = await self._stub.ModelReady(pb.ModelReadyRequest(name=model), timeout=STOP_LIMIT_S)
        except grpc.RpcError:
            return False
        return bool(answer.ready)

    async def pieces(self, pipeline: Pipeline, wish: Wish, request_id: str) -> AsyncGenerator[Piece, None]:
        """Yield what the responses to a wish bring. Whoever closes this before its end frees the engine.

        Raises: ApiError.
        """
        call = self._stream(infer_request(pipeline, wish, request_id))
        reader, is_over = Reader(), False
        try:
            async for answer in call:
                if answer.error_message:
                    is_over = True
                    raise of_words(answer.error_message)
                response = read_response(answer.infer_response)
                is_over = response.is_final
                if response.outputs:
                    yield reader.piece(response)
                # the loop goes on: the server ends the stream
            is_over = True
        except grpc.RpcError as problem:
            is_over = True
            raise of_call(problem) from problem
        finally:
            if not is_over:
                self._end_early(call, pipeline, request_id)

    def _stream(self, request: InferRequest, timeout_s: float | None = None) -> Any:
        message = request_message(request)
        message.parameters["triton_enable_empty_final_response"].bool_param = True
        return self._stub.ModelStreamInfer(_once(message), timeout=timeout_s)

    def _end_early(self, call: Any, pipeline: Pipeline, request_id: str) -> None:
        """Cancel a request, in a task of its own since whoever waited may be cancelled too."""
        call.cancel()
        if pipeline.engine:
            task = asyncio.create_task(self._stop(pipeline, request_id))
            self._stops.add(task)
            task.add_done_callback(self._stops.discard)

    async def _stop(self, pipeline: Pipeline, request_id: str) -> None:
        """Tell the engine to end a request, since a cancellation does not pass through an ensemble (tried on 2.51)."""
        with contextlib.suppress(grpc.RpcError):  # it has ended by itself, or the server is going
            async for _ in self._stream(stop_request(pipeline, request_id), STOP_LIMIT_S):
                pass


async def _once(message: pb.ModelInferRequest) -> AsyncIterator[pb.ModelInferRequest]:
    yield message
