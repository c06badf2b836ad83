"""The client over gRPC, on the protocol's own messages."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

import grpc  # type: ignore[import-untyped]
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc.model_config_pb2 import ModelConfig
from tritonclient.grpc.service_pb2_grpc import GRPCInferenceServiceStub

from tritonsmith.backends.client.base import (
    InferRequest,
    InferResponse,
    ModelMetadata,
    Parameter,
    Tensor,
    TensorSpec,
)
from tritonsmith.backends.client.control import START, ModelState
from tritonsmith.backends.client.tensors import decode, encode
from tritonsmith.generator.errors import ServerError

Answer = TypeVar("Answer")
CONTROL_S = 10.0
# gRPC's own words where nothing listens, and where a server has no such service (C++ and Python, Go)
_NO_TRITON = re.compile(r"connect|socket|method not found|unknown service", re.IGNORECASE)


class GrpcClient:
    """See `base.Client`."""

    def __init__(self, url: str) -> None:
        self.url = url
        unlimited = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
        self._channel = grpc.insecure_channel(url, options=unlimited)
        self._stub = GRPCInferenceServiceStub(self._channel)

    def infer(self, request: InferRequest, *, timeout_s: float = 60.0) -> InferResponse:
        """Send one request and return its response."""
        return read_response(self._call(self._stub.ModelInfer, request_message(request), timeout_s))

    def stream(self, requests: Iterable[InferRequest], *, timeout_s: float = 60.0) -> Iterator[InferResponse]:
        """Send requests on one stream and yield responses until each request has had its final one."""
        messages = [request_message(request) for request in requests]
        for message in messages:  # a decoupled model may end with an empty response, which else is not sent
            message.parameters["triton_enable_empty_final_response"].bool_param = True
        waiting = len(messages)
        call = self._stub.ModelStreamInfer(iter(messages), timeout=timeout_s)
        try:
            for answer in call:
                if answer.error_message:
                    raise ServerError(answer.error_message)
                response = read_response(answer.infer_response)
                yield response
                waiting -= response.is_final
                if not waiting:
                    break
            for _ in call:  # the server ends the stream; cancelled now, it would keep a decoupled model for 15 s (2.51)
                pass
        except grpc.RpcError as problem:
            raise self._error(problem, timeout_s) from problem
        finally:
            call.cancel()  # an open stream holds the server's exit

    def metadata(self, model: str, version: str = "") -> ModelMetadata:
        """Return a model's tensors."""
        answer = self._call(self._stub.ModelMetadata, pb.ModelMetadataRequest(name=model, version=version))
        inputs, outputs = (
            tuple(TensorSpec(t.name, t.datatype, tuple(t.shape)) for t in tensors)
            for tensors in (answer.inputs, answer.outputs)
        )
        return ModelMetadata(answer.name, tuple(answer.versions), answer.platform, inputs, outputs)

    def config(self, model: str, version: str = "") -> ModelConfig:
        """Return a model's configuration, completed by the server."""
        answer = self._call(self._stub.ModelConfig, pb.ModelConfigRequest(name=model, version=version))
        config: ModelConfig = answer.config
        return config

    def statistics(self, model: str = "", version: str = "") -> pb.ModelStatisticsResponse:
        """Return the statistics of one model or of all."""
        request = pb.ModelStatisticsRequest(name=model, version=version)
        answer: pb.ModelStatisticsResponse = self._call(self._stub.ModelStatistics, request)
        return answer

    def index(self) -> list[ModelState]:
        """Return every model and version that the server knows."""
        answer = self._call(self._stub.RepositoryIndex, pb.RepositoryIndexRequest())
        return [ModelState(m.name, m.version, m.state, m.reason) for m in answer.models]

    def load(
        self,
        model: str,
        config: Mapping[str, Any] | None = None,
        *,
        files: Mapping[str, bytes] | None = None,
        timeout_s: float = 120.0,
    ) -> None:
        """Load a model, with `config` in place of its config.pbtxt, and `files` (by path) in place of its folder."""
        request = pb.RepositoryModelLoadRequest(model_name=model)
        for path, data in (files or {}).items():
            request.parameters[f"file:{path}"].bytes_param = data
        if config is not None:
            request.parameters["config"].string_param = json.dumps(config)
        self._call(self._stub.RepositoryModelLoad, request, timeout_s)

    def unload(self, model: str, *, timeout_s: float = 60.0) -> None:
        """Unload a model."""
        self._call(self._stub.RepositoryModelUnload, pb.RepositoryModelUnloadRequest(model_name=model), timeout_s)

    def is_live(self) -> bool:
        """Return whether the server answers."""
        try:
            return bool(self._call(self._stub.ServerLive, pb.ServerLiveRequest(), 2.0).live)
        except ServerError:
            return False

    def close(self) -> None:
        """Close the channel."""
        self._channel.close()

    def _call(self, method: Callable[..., Answer], message: Any, timeout_s: float = CONTROL_S) -> Answer:
        try:
            return method(message, timeout=timeout_s)
        except grpc.RpcError as problem:
            is_late = problem.code() is grpc.StatusCode.DEADLINE_EXCEEDED
            raise self._error(problem, timeout_s) from (TimeoutError(str(problem)) if is_late else problem)

    def _error(self, problem: Any, timeout_s: float) -> ServerError:
        """Return the error for a failed call, in the server's words where it has any."""
        code, details = problem.code(), problem.details() or ""
        if code is grpc.StatusCode.DEADLINE_EXCEEDED:
            return ServerError(f"{self.url} did not answer within {timeout_s:g} s")
        if code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNIMPLEMENTED) and _NO_TRITON.search(details):
            return ServerError(f"no Triton answers over gRPC at {self.url}: {details.splitlines()[0]}", hint=START)
        return ServerError(details or f"{self.url} answered {code.name}")


def request_message(request: InferRequest) -> pb.ModelInferRequest:
    """Return a request as the protocol's message, its tensors as raw bytes."""
    message = pb.ModelInferRequest(model_name=request.model, model_version=request.version, id=request.id)
    for name, value in request.parameters.items():
        _set_parameter(message.parameters[name], value)
    for tensor in request.inputs:
        message.inputs.add(name=tensor.name, datatype=tensor.datatype, shape=list(tensor.array.shape))
        message.raw_input_contents.append(encode(tensor.array, tensor.datatype))
    for name in request.outputs:
        message.outputs.add(name=name)
    return message


def read_response(message: pb.ModelInferResponse) -> InferResponse:
    """Return what a response message holds."""
    raw = iter(message.raw_output_contents)  # a tensor in shared memory has none, but we never ask for that
    outputs = {t.name: Tensor(t.name, t.datatype, decode(next(raw), t.datatype, t.shape)) for t in message.outputs}
    parameters = {name: _parameter(value) for name, value in message.parameters.items()}
    return InferResponse(message.model_name, message.model_version, message.id, outputs, parameters)


def _set_parameter(target: pb.InferParameter, value: Parameter) -> None:
    if isinstance(value, bool):
        target.bool_param = value
    elif isinstance(value, int):
        target.int64_param = value
    elif isinstance(value, float):
        target.double_param = value
    else:
        target.string_param = value


def _parameter(value: pb.InferParameter) -> Parameter:
    kind = value.WhichOneof("parameter_choice")
    found: Parameter = getattr(value, kind) if kind else ""
    return found
