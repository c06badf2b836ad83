"""The engine's contract on an LLM object: an event loop of its own, a task per request."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from threading import Lock, Thread
from typing import Any

from ..base import Limits, OnStep
from ..request import Blocks, Counters, Event, Finish, QueueFullError, Request, Timing
from .api import CompletionOutput, Llm, MakeSamplingParams, RequestOutput, RequestPerfMetrics
from .sampling import end_of_stop_word, sampling_arguments
from .stats import counters_of

FINISHES: dict[str, Finish] = {"stop": "stop", "length": "length", "cancelled": "cancelled"}


class LlmEngine:
    """Completes requests with TensorRT-LLM; batching, the KV cache and the choice of tokens are its own."""

    def __init__(self, llm: Llm, make_sampling_params: MakeSamplingParams, limits: Limits) -> None:
        self.limits = limits
        self._llm, self._make_sampling_params = llm, make_sampling_params
        self._lock = Lock()  # of _tasks
        self._tasks: dict[Request, asyncio.Task[None] | None] = {}  # None: not begun yet
        self._results: dict[Request, RequestOutput] = {}  # of the loop alone, as all below
        self._cancelled: set[Request] = set()
        self._events: list[Event] = []
        self._counters = Counters(max_active=limits.max_batch_size)

    def start(self, on_step: OnStep) -> None:
        """Begin; `on_step` is called from the loop's thread."""
        self._on_step = on_step
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, name="llm")
        self._thread.start()

    def submit(self, request: Request) -> None:
        """Take a request."""
        params = self._make_sampling_params(**sampling_arguments(request))
        with self._lock:
            room = self.limits.max_batch_size + self.limits.max_queue_size
            if self.limits.max_queue_size and len(self._tasks) >= room:
                raise QueueFullError(f"{self.limits.max_queue_size} requests wait already (max_queue_size)")
            self._tasks[request] = None
        self._loop.call_soon_threadsafe(self._begin, request, params)

    def cancel(self, request: Request) -> None:
        """End a request early."""
        self._loop.call_soon_threadsafe(self._abort, request)

    def counters(self) -> Counters:
        """Return the state after the last iteration that TensorRT-LLM told of."""
        stats = self._llm.get_stats(timeout=0.001)
        if stats:
            self._counters = counters_of(stats[-1], self.limits.max_batch_size, self._counters)
        return self._counters

    def close(self) -> None:
        """End the loop, then the LLM."""
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._llm.shutdown()

    def _begin(self, request: Request, params: Any) -> None:
        self._tasks[request] = self._loop.create_task(self._answer(request, params))

    def _abort(self, request: Request) -> None:
        if request in self._tasks:
            self._cancelled.add(request)
            if (result := self._results.get(request)) is not None:
                result.abort()

    async def _answer(self, request: Request, params: Any) -> None:
        last = Event(request, (), finish="error", error="the engine was closed")
        try:
            last = await self._follow(request, params)
        except asyncio.CancelledError:
            pass
        except Exception as problem:  # the LLM API's have no base of their own; one request fails, not the engine
            last = Event(request, (), finish="error", error=f"{type(problem).__name__}: {problem}")
        self._results.pop(request, None)
        self._cancelled.discard(request)
        with self._lock:
            del self._tasks[request]
        self._emit(last)

    async def _follow(self, request: Request, params: Any) -> Event:
        """Emit the events of a request but the last, which is returned."""
        if request in self._cancelled:
            return Event(request, (), finish="cancelled")
        # words of several tokens are looked for here, token by token
        is_streaming = request.needs_steps or any(len(word) > 1 for word in request.stop_words)
        result = self._llm.generate_async(request.tokens.tolist(), params, streaming=is_streaming)
        self._results[request] = result
        seen = sent = 0
        async for output in result:
            completion = output.outputs[0]
            finish = _finish(output, completion)
            end = end_of_stop_word(completion.token_ids, seen, request.stop_words)
            seen = len(completion.token_ids)
            if end is not None:
                result.abort()
                finish = "stop"
            if finish:
                return _event(request, completion, slice(sent, end), finish)
            if request.needs_steps:
                self._emit(_event(request, completion, slice(sent, None), finish))
                sent = seen
        return Event(request, (), finish="error", error="TensorRT-LLM ended the request without a reason")

    def _emit(self, event: Event) -> None:
        """Queue an event; those of all requests that moved in this turn of the loop leave together."""
        if not self._events:
            self._loop.call_soon(self._flush)
        self._events.append(event)

    def _flush(self) -> None:
        events, self._events = self._events, []
        self._on_step(events)

    async def _end(self) -> None:
        await asyncio.sleep(0)  # a task that is cancelled before it began would say nothing
        tasks = [task for task in self._tasks.values() if task is not None]
        for result in self._results.values():
            result.abort()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks)
        await asyncio.sleep(0)  # the flush


def _finish(output: RequestOutput, completion: CompletionOutput) -> Finish:
    if completion.finish_reason is None:
        return "error" if output.finished else ""
    return FINISHES.get(completion.finish_reason, "error")


def _event(request: Request, completion: CompletionOutput, new: slice, finish: Finish) -> Event:
    tokens = tuple(completion.token_ids[new])
    log_probs: tuple[float, ...] = ()
    if request.needs_log_probs:
        log_probs = tuple(_log_probs(tokens, (completion.logprobs or ())[new]))
    error = f"TensorRT-LLM ended the request: {completion.finish_reason}" if finish == "error" else ""
    metrics = completion.request_perf_metrics if finish else None
    return Event(request, tokens, log_probs, finish, error, _timing(metrics), _blocks(metrics))


def _log_probs(tokens: Sequence[int], given: Sequence[Any]) -> list[float]:
    """Return each token's own; given are numbers, or candidates by token."""
    pairs = zip(tokens, given, strict=True)
    return [one if isinstance(one, float) else one[token].logprob for token, one in pairs]


def _timing(metrics: RequestPerfMetrics | None) -> Timing:
    if metrics is None:
        return Timing()
    times = metrics.timing_metrics
    stages = (times.arrival_time, times.first_scheduled_time, times.first_token_time, times.last_token_time)
    return Timing(*((t.days * 86_400 + t.seconds) * 10**9 + t.microseconds * 1000 for t in stages))


def _blocks(metrics: RequestPerfMetrics | None) -> Blocks:
    if metrics is None:
        return Blocks()
    cache = metrics.kv_cache_metrics
    return Blocks(cache.num_new_allocated_blocks, cache.num_reused_blocks, cache.num_total_allocated_blocks)
