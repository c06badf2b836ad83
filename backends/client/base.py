"""A thin typed client for any Triton: the same calls over gRPC and over HTTP, every failure a ServerError."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from tritonclient.grpc.model_config_pb2 import ModelConfig
from tritonclient.grpc.service_pb2 import ModelStatisticsResponse

from tritonsmith.backends.client.control import ModelState
from tritonsmith.backends.client.tensors import Array
from tritonsmith.generator.errors import UsageError

Parameter = bool | int | float | str
WireProtocol = Literal["grpc", "http"]


@dataclass(frozen=True)
class Tensor:
    """A named array; `datatype` is the protocol's name (FP32, BYTES), which BF16 does not tell by its numpy type."""

    name: str
    datatype: str
    array: Array


@dataclass(frozen=True)
class InferRequest:
    """One request. `outputs` empty asks for all; `parameters` are the protocol's and the user's."""

    model: str
    inputs: Sequence[Tensor]
    version: str = ""
    outputs: Sequence[str] = ()
    id: str = ""
    parameters: Mapping[str, Parameter] = field(default_factory=dict)


@dataclass(frozen=True)
class InferResponse:
    """One response: its outputs by name, and the response's own parameters."""

    model: str
    version: str
    id: str
    outputs: Mapping[str, Tensor]
    parameters: Mapping[str, Parameter]

    @property
    def is_final(self) -> bool:
        """Whether a decoupled model has said that no more follows."""
        return bool(self.parameters.get("triton_final_response", False))


@dataclass(frozen=True)
class TensorSpec:
    """A tensor as the model's metadata names it; the shape has the batch dimension, -1 is any size."""

    name: str
    datatype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class ModelMetadata:
    """A model as it is served."""

    name: str
    versions: tuple[str, ...]
    platform: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


class Client(Protocol):
    """What both protocols offer. Every call has a time limit of its own and raises ServerError."""

    url: str

    def infer(self, request: InferRequest, *, timeout_s: float = 60.0) -> InferResponse:
        """Send one request and return its response."""

    def stream(self, requests: Iterable[InferRequest], *, timeout_s: float = 60.0) -> Iterator[InferResponse]:
        """Send requests on one stream and yield responses until each request has had its final one."""

    def metadata(self, model: str, version: str = "") -> ModelMetadata:
        """Return a model's tensors."""

    def config(self, model: str, version: str = "") -> ModelConfig:
        """Return a model's configuration, completed by the server."""

    def statistics(self, model: str = "", version: str = "") -> ModelStatisticsResponse:
        """Return the statistics of one model or of all."""

    def index(self) -> list[ModelState]:
        """Return every model and version that the server knows."""

    def load(
        self,
        model: str,
        config: Mapping[str, Any] | None = None,
        *,
        files: Mapping[str, bytes] | None = None,
        timeout_s: float = 120.0,
    ) -> None:
        """Load a model, with `config` in place of its config.pbtxt, and `files` (by path) in place of its folder."""

    def unload(self, model: str, *, timeout_s: float = 60.0) -> None:
        """Unload a model."""

    def is_live(self) -> bool:
        """Return whether the server answers."""

    def close(self) -> None:
        """Close the connection."""


def connect(url: str, protocol: WireProtocol = "grpc") -> AbstractContextManager[Client]:
    """Return a client for "host:port" (a scheme is allowed) as a context; nothing is sent yet."""
    from contextlib import closing

    plain = url.partition("://")[2].rstrip("/") if "://" in url else url
    if protocol == "grpc":
        from tritonsmith.backends.client.over_grpc import GrpcClient

        return closing(GrpcClient(plain))
    from tritonsmith.backends.client.over_http import HttpClient

    return closing(HttpClient(plain))


def grpc_beside(http_url: str) -> str:
    """Return where Triton answers gRPC by default: the port after HTTP's.

    Raises: UsageError where the URL has no port.
    """
    host, separator, port = http_url.removeprefix("http://").rstrip("/").rpartition(":")
    if not separator or not port.isdigit():
        raise UsageError(f"--url '{http_url}' has no port", hint="write HOST:PORT, e.g. localhost:8000")
    return f"{host}:{int(port) + 1}"
