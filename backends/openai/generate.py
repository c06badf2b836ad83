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
from tritonsmith.backends.openai.errors import ApiError, of_call, of_words
from tritonsmith.backends.openai.pipelines import Pipeline
from tritonsmith.backends.openai.tensors import Piece, Reader, Wish, infer_request, stop_request

STOP_LIMIT_S = 5.0  # for telling an engine to stop; it needs milliseconds
STOP_PERIOD_S = 0.1
END_LIMIT_S = 30.0  # after which a request that does not end is left to itself


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
        answers: asyncio.Queue[pb.ModelStreamInferResponse | ApiError | None] = asyncio.Queue()
        # In a task of its own: a task that is cancelled while it reads cancels the call too, without asking (grpc.aio).
        reading = asyncio.create_task(_read(call, answers))
        reader, is_over = Reader(), False
        try:
            while (answer := await answers.get()) is not None:
                if isinstance(answer, ApiError):
                    is_over = True
                    raise answer
                response = read_response(answer.infer_response)
                if response.outputs:
                    yield reader.piece(response)
            is_over = True
        finally:
            if not is_over:
                self._end_early(call, reading, pipeline, request_id)

    def _stream(self, request: InferRequest, timeout_s: float | None = None) -> Any:
        message = request_message(request)
        message.parameters["triton_enable_empty_final_response"].bool_param = True
        return self._stub.ModelStreamInfer(_once(message), timeout=timeout_s)

    def _end_early(self, call: Any, reading: asyncio.Task[None], pipeline: Pipeline, request_id: str) -> None:
        """End a request, in a task of its own since whoever waited may be cancelled too.

        A cancellation does not pass through an ensemble, and leaves it with a request in flight for ever, on which the
        server's exit waits (tried on 2.51): there the engine is told, and the stream ends by itself.
        """
        if not pipeline.is_ensemble:
            call.cancel()
            return
        task = asyncio.create_task(self._stop(call, reading, pipeline, request_id))
        self._stops.add(task)
        task.add_done_callback(self._stops.discard)

    async def _stop(self, call: Any, reading: asyncio.Task[None], pipeline: Pipeline, request_id: str) -> None:
        """Tell the engine to end a request until its stream has ended: one that waits in a queue is not stopped yet."""
        for _ in range(round(END_LIMIT_S / STOP_PERIOD_S)):
            with contextlib.suppress(grpc.RpcError):  # the server is going
                async for _ in self._stream(stop_request(pipeline, request_id), STOP_LIMIT_S):
                    pass
            if (await asyncio.wait({reading}, timeout=STOP_PERIOD_S))[0]:
                return
        call.cancel()


async def _read(call: Any, answers: asyncio.Queue[pb.ModelStreamInferResponse | ApiError | None]) -> None:
    """Put what a call answers into a queue, its error or None last."""
    end: ApiError | None = ApiError(500, "the answer broke off")
    try:
        async for answer in call:
            if answer.error_message:
                end = of_words(answer.error_message)
                return
            answers.put_nowait(answer)
        end = None
    except grpc.RpcError as problem:
        end = of_call(problem)
    except asyncio.CancelledError:  # of the call, by us: nobody waits
        end = None
    finally:
        answers.put_nowait(end)


async def _once(message: pb.ModelInferRequest) -> AsyncIterator[pb.ModelInferRequest]:
    yield message
