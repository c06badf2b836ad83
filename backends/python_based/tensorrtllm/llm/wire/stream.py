"""One Triton request while it is being answered."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock
from typing import Any

from ..request import Event, Request
from .inputs import Row
from .outputs import Answer
from .triton import ONE, ResponseSender, Triton


class Stream:
    """The rows of a Triton request, their answers, and the sender that the responses go through.

    Responses are sent from one thread; `is_abandoned` is asked from another, and never after the last response: by
    then the server has dropped what it would look at.
    """

    def __init__(self, triton: Triton, sender: ResponseSender, id_: str, wanted: Sequence[str]) -> None:
        self.id = id_
        self.open: dict[Request, Answer] = {}
        self._triton, self._sender, self._wanted = triton, sender, frozenset(wanted)
        self._lock = Lock()
        self._is_closed = self._is_abandoned = False
        self._one = triton.Tensor("sequence_length", ONE)  # shared by all responses of one token

    def add(self, rows: Sequence[Row]) -> None:
        """Take the rows that will be answered."""
        self.open = {row.request: Answer(row) for row in rows}

    def respond(self, answer: Answer, event: Event) -> None:
        """Send what an event brings; the stream ends with the last event of its last row, or with the first error."""
        if self._is_closed:
            return
        is_last = bool(event.finish) and len(self.open) == 1
        if event.finish == "error":
            self.fail(event.error, self._triton.TritonError.INTERNAL)
        elif event.finish == "cancelled" and self._is_abandoned:
            self.fail("the request was cancelled", self._triton.TritonError.CANCELLED)
        else:
            tensors = answer.tensors(event)
            outputs = [
                self._one if array is ONE else self._triton.Tensor(name, array)
                for name, array in tensors.items()
                if name in self._wanted
            ]
            response = self._triton.InferenceResponse(outputs)
            if is_last:
                self._close(response)
            else:
                self._sender.send(response)

    def fail(self, message: str, code: Any) -> None:
        """End the stream with an error."""
        self._close(self._triton.InferenceResponse([], self._triton.TritonError(message, code)))

    def finish_empty(self) -> None:
        """End the stream with a response that holds nothing."""
        self._close(self._triton.InferenceResponse([]))

    def is_abandoned(self) -> bool:
        """Ask whether the client has cancelled or gone; True once only."""
        with self._lock:
            if self._is_closed or self._is_abandoned:
                return False
            self._is_abandoned = self._sender.is_cancelled()
            return self._is_abandoned

    def _close(self, response: Any) -> None:
        with self._lock:
            if not self._is_closed:
                self._is_closed = True
                self._sender.send(response, flags=self._triton.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
