"""The routes: /v1/chat/completions, /v1/completions, /v1/models, /health."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from http import HTTPStatus
from typing import Any, Literal, TypeVar
from uuid import uuid4

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Send

from tritonsmith.backends.openai.answer import Form, Json, model_json, models_json
from tritonsmith.backends.openai.completion import Completion
from tritonsmith.backends.openai.errors import ApiError, invalid
from tritonsmith.backends.openai.generate import Triton
from tritonsmith.backends.openai.pipelines import Pipeline
from tritonsmith.backends.openai.prompt import read_prompt
from tritonsmith.backends.openai.request import Asked, read_chat, read_completion, read_model
from tritonsmith.backends.openai.tensors import Wish

MOST_BODY_BYTES = 4 << 20
Kind = Literal["chat", "completion"]
Result = TypeVar("Result")


def make_app(pipelines: Sequence[Pipeline], grpc_url: str) -> Starlette:
    """Return the application that speaks for these pipelines of the server at `grpc_url`."""
    front = FrontEnd(pipelines, grpc_url)
    routes = [
        Route("/v1/chat/completions", front.chat, methods=["POST"]),
        Route("/v1/completions", front.complete, methods=["POST"]),
        Route("/v1/models", front.list_models, methods=["GET"]),
        Route("/v1/models/{name:path}", front.show_model, methods=["GET"]),
        Route("/health", front.health, methods=["GET"]),
    ]
    handlers: Mapping[Any, Any] = {ApiError: _told, HTTPException: _told_by_http, Exception: _told_of_bug}
    return Starlette(routes=routes, exception_handlers=handlers, lifespan=front.lifespan)


class FrontEnd:
    """Answers OpenAI's requests with what Triton says."""

    def __init__(self, pipelines: Sequence[Pipeline], grpc_url: str) -> None:
        self._pipelines = {name: pipeline for pipeline in pipelines for name in pipeline.names}
        self._names = [pipeline.name for pipeline in pipelines]
        self._url = grpc_url
        self._created = int(time.time())

    @asynccontextmanager
    async def lifespan(self, _: Starlette) -> AsyncIterator[None]:
        """Be connected while the application runs; a connection belongs to the event loop in which it was made."""
        self._triton = Triton(self._url)
        yield
        await self._triton.close()

    async def chat(self, request: Request) -> Response:
        """Answer /v1/chat/completions."""
        return await self._answer(request, "chat", read_chat)

    async def complete(self, request: Request) -> Response:
        """Answer /v1/completions."""
        return await self._answer(request, "completion", read_completion)

    async def list_models(self, _: Request) -> Response:
        """Answer /v1/models."""
        return JSONResponse(models_json(self._names, self._created))

    async def show_model(self, request: Request) -> Response:
        """Answer /v1/models/NAME."""
        name = request.path_params["name"]
        self._find(name)
        return JSONResponse(model_json(name, self._created))

    async def health(self, _: Request) -> Response:
        """Answer 200 where every pipeline is ready, else 503 with those that are not."""
        models = sorted({pipeline.model for pipeline in self._pipelines.values()})
        ready = await asyncio.gather(*map(self._triton.is_ready, models))
        missing = [model for model, is_ready in zip(models, ready, strict=True) if not is_ready]
        return JSONResponse({"status": "not ready" if missing else "ok", "missing": missing}, 503 if missing else 200)

    async def _answer(self, request: Request, kind: Kind, read: Callable[[Json], Asked]) -> Response:
        body = await _read_body(request)
        pipeline = self._find(read_model(body))
        asked = read(body)
        prompt = await asyncio.to_thread(read_prompt, asked, pipeline)  # a long one would hold up the others' streams
        completion = Completion(prompt.tokens, prompt.max_tokens, asked.stop, lambda text: _count(pipeline, text))
        id_ = f"{'chatcmpl' if kind == 'chat' else 'cmpl'}-{uuid4().hex}"
        texts = self._texts(pipeline, Wish(prompt.text, prompt.max_tokens, asked.sampling), completion, id_)
        form = Form(kind, id_, int(time.time()), asked.model, asked.needs_usage)
        if not asked.is_streaming:
            text = await _unless_gone(request, _joined(texts))
            return JSONResponse(form.whole(text, completion.finish, completion.usage))
        # an error before the first word has a status of its own: afterwards it can only be an event
        first = await _unless_gone(request, anext(texts, ""))
        return _EventStream(_events(form, completion, first, texts), media_type="text/event-stream", headers=_NO_CACHE)

    def _find(self, name: str) -> Pipeline:
        if name not in self._pipelines:
            known = ", ".join(self._names)
            raise ApiError(404, f"the model '{name}' does not exist; there is {known}", "model", "model_not_found")
        return self._pipelines[name]

    async def _texts(
        self, pipeline: Pipeline, wish: Wish, completion: Completion, id_: str
    ) -> AsyncGenerator[str, None]:
        """Yield the answer's text in pieces, none of them empty, until it ends or a stop word is found."""
        async with aclosing(self._triton.pieces(pipeline, wish, id_)) as pieces:
            async for piece in pieces:
                if text := completion.push(piece):
                    yield text
                if completion.is_stopped:
                    return
        if text := completion.flush():
            yield text


_NO_CACHE = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}  # the second: for nginx before it


class _EventStream(StreamingResponse):
    """Server-sent events; when the client goes, the request behind them ends at once."""

    async def stream_response(self, send: Send) -> None:
        """Send the events."""
        async with contextlib.AsyncExitStack() as stack:
            if isinstance(self.body_iterator, AsyncGenerator):
                stack.push_async_callback(self.body_iterator.aclose)
            await super().stream_response(send)


async def _events(
    form: Form, completion: Completion, first: str, rest: AsyncGenerator[str, None]
) -> AsyncGenerator[bytes, None]:
    """Yield the events of a streamed answer."""
    async with aclosing(rest):
        for chunk in form.opening():
            yield _event(chunk)
        if first:
            yield _event(form.text(first))
        try:
            async for text in rest:
                yield _event(form.text(text))
        except ApiError as problem:
            yield _event(problem.body())
            return
        for chunk in form.closing(completion.finish, completion.usage):
            yield _event(chunk)
        yield b"data: [DONE]\n\n"


def _event(content: Json) -> bytes:
    return b"data: " + json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"


async def _joined(texts: AsyncGenerator[str, None]) -> str:
    async with aclosing(texts):
        return "".join([text async for text in texts])


async def _unless_gone(request: Request, work: Awaitable[Result]) -> Result:
    """Return what the work returns; where the client goes first, the work is cancelled.

    Raises: ApiError 499, which nobody reads.
    """
    task, gone = asyncio.ensure_future(work), asyncio.ensure_future(_wait_until_gone(request))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise ApiError(499, "the client has gone")
    finally:
        for one in (task, gone):
            one.cancel()
        await asyncio.gather(task, gone, return_exceptions=True)


async def _wait_until_gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _read_body(request: Request) -> Any:
    """Return the body's JSON.

    Raises: ApiError where it is none, or too large.
    """
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > MOST_BODY_BYTES:
            raise ApiError(413, f"the body has more than {MOST_BODY_BYTES} bytes", code="request_too_large")
        parts.append(part)
    try:
        return json.loads(b"".join(parts))
    except (ValueError, RecursionError) as problem:
        raise invalid(f"the body is not JSON: {problem}") from None


def _count(pipeline: Pipeline, text: str) -> int:
    return len(pipeline.encoding.tokenizer.codec.encode(text))


def _told(_: Request, problem: Exception) -> Response:
    assert isinstance(problem, ApiError)
    headers = {"Retry-After": "1"} if problem.status in (429, 503) else {}
    return JSONResponse(problem.body(), problem.status, headers)


def _told_by_http(request: Request, problem: Exception) -> Response:
    assert isinstance(problem, HTTPException)
    place = f"{request.method} {request.url.path}"
    words = {404: f"there is no {place}", 405: f"{request.url.path} does not take {request.method}"}
    message = words.get(problem.status_code, HTTPStatus(problem.status_code).phrase)
    return JSONResponse(ApiError(problem.status_code, message).body(), problem.status_code, problem.headers)


def _told_of_bug(_: Request, __: Exception) -> Response:
    return JSONResponse(ApiError(500, "a bug in the front end; its terminal shows where").body(), 500)
