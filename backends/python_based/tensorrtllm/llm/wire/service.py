"""Requests in, responses out: what the backend's model.py holds."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from threading import Event as Flag
from threading import Lock, Thread
from time import monotonic

from ..base import Engine
from ..request import Event, QueueFullError, Request, RequestError
from .inputs import Tensors, is_stop, read_rows
from .metrics import Lengths, Metrics
from .outputs import merge
from .parameters import Settings
from .stream import Stream
from .triton import Triton, TritonRequest, arrays_of
from .unsupported import refuse_unsupported


class Service:
    """Serves an engine's answers to Triton.

    Three threads meet here. Triton's calls `accept`, which only reads and submits. The engine's puts each step's
    events into a queue, in one call. Ours sends them: a send waits 0.2 ms for the server, and the engine must not.
    A fourth asks from time to time who has gone, and sets the metrics.
    """

    def __init__(self, engine: Engine, settings: Settings, triton: Triton, metrics: Metrics) -> None:
        self._engine, self._settings, self._triton, self._metrics = engine, settings, triton, metrics
        self._steps: SimpleQueue[Sequence[Event] | None] = SimpleQueue()
        self._streams: dict[Request, Stream] = {}
        self._by_id: dict[str, set[Stream]] = {}
        self._lock = Lock()  # of _streams and _by_id
        self._ended = Flag()
        self._threads = [Thread(target=self._send_all, name="sender"), Thread(target=self._poll, name="poller")]

    def start(self) -> None:
        """Start the engine and the threads."""
        self._engine.start(self._steps.put)
        for thread in self._threads:
            thread.start()

    def accept(self, requests: Sequence[TritonRequest]) -> None:
        """Submit requests to the engine; what cannot be served is answered at once."""
        for request in requests:
            stream = Stream(
                self._triton, request.get_response_sender(), request.request_id(), request.requested_output_names()
            )
            try:
                self._submit(stream, arrays_of(request), request.parameters())
            except QueueFullError as error:
                stream.fail(str(error), self._triton.TritonError.UNAVAILABLE)  # as a full queue of Triton's own
            except RequestError as error:
                stream.fail(str(error), self._triton.TritonError.INVALID_ARG)

    def close(self) -> None:
        """End the engine and the threads; requests inside get an error."""
        self._engine.close()
        self._steps.put(None)
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def _submit(self, stream: Stream, tensors: Tensors, parameters: str) -> None:
        if is_stop(tensors):
            self._stop(stream)
            return
        refuse_unsupported(tensors, parameters)
        stream.add(read_rows(tensors, self._engine.limits, self._settings))
        requests = list(stream.open)
        with self._lock:
            self._streams.update(dict.fromkeys(requests, stream))
            self._by_id.setdefault(stream.id, set()).add(stream)
        submitted = []
        try:
            for request in requests:
                self._engine.submit(request)
                submitted.append(request)
        except RequestError:
            self._forget(stream, set(requests) - set(submitted))
            for request in submitted:  # one response tells of the refusal; the other rows have no one to read them
                self._engine.cancel(request)
            raise

    def _stop(self, stream: Stream) -> None:
        """End the requests that have this one's id; none may be left, which is no error."""
        if not stream.id:
            raise RequestError("stop needs the id of the request to be stopped as its own request id")
        with self._lock:
            requests = [request for one in self._by_id.get(stream.id, ()) for request in list(one.open)]
        for request in requests:
            self._engine.cancel(request)
        stream.finish_empty()

    def _send_all(self) -> None:
        """Send what comes, the requests in turn: behind a backlog, a first token would wait for all of it."""
        waiting: dict[Request, deque[Event]] = {}
        is_open = True
        while is_open or waiting:
            while is_open and (not waiting or not self._steps.empty()):
                step = self._steps.get()
                is_open = step is not None
                for event in step or ():
                    waiting.setdefault(event.request, deque()).append(event)
            for request in list(waiting):
                self._send(self._next(waiting[request]))
                if not waiting[request]:
                    del waiting[request]

    def _next(self, events: deque[Event]) -> Event:
        """Take a request's next event, where responses are coalesced all of them as one."""
        if not self._settings.is_coalescing or len(events) == 1:
            return events.popleft()
        merged = merge(list(events))
        events.clear()
        return merged

    def _send(self, event: Event) -> None:
        stream = self._streams.get(event.request)
        if stream is None:
            return
        answer = stream.open[event.request]
        try:
            stream.respond(answer, event)
        except self._triton.TritonModelException:  # the server no longer takes responses to this one
            self._engine.cancel(event.request)
        if event.finish:
            self._metrics.observe(Lengths(len(event.request.tokens), answer.generated))
            self._forget(stream, {event.request})

    def _forget(self, stream: Stream, requests: set[Request]) -> None:
        with self._lock:
            for request in requests:
                self._streams.pop(request, None)
                stream.open.pop(request, None)
            streams = self._by_id.get(stream.id)
            if streams is not None and not stream.open:
                streams.discard(stream)
                if not streams:
                    del self._by_id[stream.id]

    def _poll(self) -> None:
        """Look after cancellations and metrics, each at its period, until the end."""
        periods: dict[Callable[[], None], float] = {
            self._cancel_abandoned: self._settings.cancellation_check_period_ms / 1000,
            self._update_metrics: self._settings.stats_check_period_ms / 1000,
        }
        due_s = dict.fromkeys(periods, monotonic())
        while not self._ended.wait(max(0.0, min(due_s.values()) - monotonic())):
            for task, period_s in periods.items():
                if due_s[task] <= monotonic():
                    task()
                    due_s[task] = monotonic() + period_s

    def _cancel_abandoned(self) -> None:
        with self._lock:
            streams = set(self._streams.values())
        for stream in streams:
            if stream.is_abandoned():
                for request in list(stream.open):
                    self._engine.cancel(request)

    def _update_metrics(self) -> None:
        self._metrics.update(self._engine.counters())
