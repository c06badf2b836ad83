"""Clients that ask for ever, each one request after the other, and count what is lost."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tritonclient.grpc as over_grpc
import tritonclient.http as over_http

MODEL = "waiting"
WAIT_MS, INSTANCES = 20, 1  # in the model: some request is always in flight, and others wait
LIMIT_S = 60.0  # of one request
PAUSE_S = 0.05  # after one that was lost
SCRIPT = """\
import time

import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        responses = []
        for request in requests:
            time.sleep({seconds})
            x = pb_utils.get_input_tensor_by_name(request, "x").as_numpy()
            responses.append(pb_utils.InferenceResponse([pb_utils.Tensor("y", x)]))
        return responses
"""
CONFIG = """\
name: "{name}" backend: "python" max_batch_size: 0
input [{{name: "x" data_type: TYPE_INT64 dims: [1]}}] output [{{name: "y" data_type: TYPE_INT64 dims: [1]}}]
instance_group [{{kind: KIND_CPU count: {count}}}]
"""
Ask = Callable[[np.ndarray[Any, np.dtype[np.int64]]], np.ndarray[Any, np.dtype[np.int64]] | None]


def write_model(repository: Path) -> None:
    """Write a repository with one model, which waits and then answers with its input."""
    (repository / MODEL / "1").mkdir(parents=True)
    (repository / MODEL / "1" / "model.py").write_text(SCRIPT.format(seconds=WAIT_MS / 1000), encoding="utf-8")
    (repository / MODEL / "config.pbtxt").write_text(CONFIG.format(name=MODEL, count=INSTANCES), encoding="utf-8")


@dataclass(frozen=True)
class Client:
    """A client that asks for ever; `renew_s` is how long it keeps an HTTP connection, None for ever."""

    name: str
    protocol: Literal["http", "grpc"]
    url: str
    renew_s: float | None = None


@dataclass
class Traffic:
    """What became of the requests, by the client's name; `reasons` are those for which requests were lost."""

    answered: Counter[str] = field(default_factory=Counter)
    lost: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, name: str, problem: str) -> None:
        """Count a request; `problem` is empty where it was answered."""
        with self._lock:
            if problem:
                self.lost[name] += 1
                self.reasons[f"{name}: {problem}"] += 1
            else:
                self.answered[name] += 1


@contextmanager
def running_traffic(clients: Sequence[Client]) -> Iterator[Traffic]:
    """Ask with all clients while the block runs."""
    traffic, end = Traffic(), threading.Event()
    threads = [threading.Thread(target=_ask_for_ever, args=(traffic, end, client), daemon=True) for client in clients]
    for thread in threads:
        thread.start()
    try:
        yield traffic
    finally:
        end.set()
        for thread in threads:
            thread.join(LIMIT_S)


def _ask_for_ever(traffic: Traffic, end: threading.Event, client: Client) -> None:
    connect = _over_http if client.protocol == "http" else _over_grpc
    number, began_s = 0, time.monotonic()
    ask, connection = connect(client.url)
    while not end.is_set():
        if client.renew_s is not None and time.monotonic() - began_s > client.renew_s:
            connection.close()
            ask, connection = connect(client.url)
            began_s = time.monotonic()
        number += 1
        try:
            answer = ask(np.array([number], np.int64))
            problem = "" if answer is not None and answer.tolist() == [number] else f"answered with {answer}"
        except Exception as error:
            problem = f"{type(error).__name__}: {error}"
            end.wait(PAUSE_S)
        traffic.add(client.name, problem)
    connection.close()


def _over_http(url: str) -> tuple[Ask, Any]:
    client = over_http.InferenceServerClient(url, network_timeout=LIMIT_S, connection_timeout=LIMIT_S)

    def ask(x: np.ndarray[Any, np.dtype[np.int64]]) -> np.ndarray[Any, np.dtype[np.int64]] | None:
        tensor = over_http.InferInput("x", [1], "INT64")
        tensor.set_data_from_numpy(x)
        answer: np.ndarray[Any, np.dtype[np.int64]] | None = client.infer(MODEL, [tensor]).as_numpy("y")
        return answer

    return ask, client


def _over_grpc(url: str) -> tuple[Ask, Any]:
    # a channel of its own: the client shares one among six by default
    client = over_grpc.InferenceServerClient(url, channel_args=[("grpc.use_local_subchannel_pool", 1)])

    def ask(x: np.ndarray[Any, np.dtype[np.int64]]) -> np.ndarray[Any, np.dtype[np.int64]] | None:
        tensor = over_grpc.InferInput("x", [1], "INT64")
        tensor.set_data_from_numpy(x)
        answer: np.ndarray[Any, np.dtype[np.int64]] | None = client.infer(
            MODEL, [tensor], client_timeout=LIMIT_S
        ).as_numpy("y")
        return answer

    return ask, client
