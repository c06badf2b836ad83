"""The client over HTTP, with the protocol's binary tensors."""

from __future__ import annotations

import contextlib
import http.client
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import quote

from google.protobuf import json_format
from tritonclient.grpc.model_config_pb2 import ModelConfig
from tritonclient.grpc.service_pb2 import ModelStatisticsResponse

from tritonsmith.backends.client.base import InferRequest, InferResponse, ModelMetadata, Tensor, TensorSpec
from tritonsmith.backends.client.control import Control, ModelState, http_error, no_answer
from tritonsmith.backends.client.tensors import decode, encode
from tritonsmith.generator.errors import ServerError, UsageError

HEADER = "Inference-Header-Content-Length"  # where the JSON ends and the binary tensors begin
Answer = tuple[int, http.client.HTTPMessage, bytes]  # status, headers, body


class _Closed(Exception):  # noqa: N818 - caught here, a state and no error of the user's
    """Raised where a connection is closed or refused; `error` is what to say if it stays so."""

    def __init__(self, error: ServerError) -> None:
        self.error = error


class HttpClient:
    """See `base.Client`."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._control = Control(url)
        self._connection: http.client.HTTPConnection | None = None

    def infer(self, request: InferRequest, *, timeout_s: float = 60.0) -> InferResponse:
        """Send one request and return its response."""
        header, tensors = request_parts(request)
        version = f"/versions/{request.version}" if request.version else ""
        path = f"/v2/models/{quote(request.model)}{version}/infer"
        status, headers, content = self._post(path, header + tensors, len(header), timeout_s)
        if status >= 400:
            raise http_error(self.url, path, status, content)
        return _response(content, int(headers.get(HEADER) or len(content)))

    def stream(self, requests: Iterable[InferRequest], *, timeout_s: float = 60.0) -> Iterator[InferResponse]:
        """Refuse: Triton streams tensors over gRPC alone."""
        raise UsageError("Triton streams tensors only over gRPC", hint="use --protocol grpc and the gRPC port")

    def metadata(self, model: str, version: str = "") -> ModelMetadata:
        """Return a model's tensors."""
        answer = self._control.metadata(model, version)
        inputs, outputs = (
            tuple(TensorSpec(t["name"], t["datatype"], tuple(int(n) for n in t["shape"])) for t in answer[key])
            for key in ("inputs", "outputs")
        )
        return ModelMetadata(answer["name"], tuple(answer["versions"]), answer["platform"], inputs, outputs)

    def config(self, model: str, version: str = "") -> ModelConfig:
        """Return a model's configuration, completed by the server."""
        return json_format.ParseDict(self._control.config(model, version), ModelConfig(), ignore_unknown_fields=True)

    def statistics(self, model: str = "", version: str = "") -> ModelStatisticsResponse:
        """Return the statistics of one model or of all."""
        answer = self._control.statistics(model, version)
        return json_format.ParseDict(answer, ModelStatisticsResponse(), ignore_unknown_fields=True)

    def index(self) -> list[ModelState]:
        """Return every model and version that the server knows."""
        return self._control.index()

    def load(
        self,
        model: str,
        config: Mapping[str, Any] | None = None,
        *,
        files: Mapping[str, bytes] | None = None,
        timeout_s: float = 120.0,
    ) -> None:
        """Load a model, with `config` in place of its config.pbtxt; `files` are refused.

        A body of 2 GiB ends a server of release 24.10 (a signed 32-bit length), and since 25.05 one of 64 MiB is the
        most that a server takes unasked (--http-max-input-size); gRPC takes 2 GiB in all of them, without base64.
        """
        if files:
            raise UsageError("files are uploaded over gRPC alone", hint="use the gRPC port")
        self._control.load(model, config, timeout_s=timeout_s)

    def unload(self, model: str, *, timeout_s: float = 60.0) -> None:
        """Unload a model."""
        self._control.unload(model, timeout_s=timeout_s)

    def is_live(self) -> bool:
        """Return whether the server answers."""
        return self._control.is_live()

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()

    def _post(self, path: str, body: bytes, header_bytes: int, timeout_s: float) -> Answer:
        """Post on the kept connection; a connection that the server has closed meanwhile is opened again once."""
        headers = {HEADER: str(header_bytes), "Content-Type": "application/octet-stream"}
        kept, self._connection = self._connection, None
        if kept is not None:
            with contextlib.suppress(_Closed):
                return self._exchange(kept, path, body, headers, timeout_s)
        try:
            fresh = http.client.HTTPConnection(self.url, timeout=timeout_s)
            return self._exchange(fresh, path, body, headers, timeout_s)
        except _Closed as problem:
            raise problem.error from problem

    def _exchange(
        self, connection: http.client.HTTPConnection, path: str, body: bytes, headers: dict[str, str], timeout_s: float
    ) -> Answer:
        """Send one request and keep the connection where it was answered."""
        try:
            if connection.sock is not None:
                connection.sock.settimeout(timeout_s)
            connection.request("POST", path, body, headers)
            answer = connection.getresponse()
            content = answer.read()
        except TimeoutError as problem:
            connection.close()
            raise ServerError(f"{self.url} did not answer within {timeout_s:g} s") from problem
        except (OSError, http.client.HTTPException) as problem:
            connection.close()
            raise _Closed(no_answer(self.url, problem)) from problem
        self._connection = connection
        return answer.status, answer.headers, content


def request_parts(request: InferRequest) -> tuple[bytes, bytes]:
    """Return a request's JSON header and its binary tensors."""
    inputs, blobs = [], []
    for tensor in request.inputs:
        blobs.append(encode(tensor.array, tensor.datatype))
        size = {"binary_data_size": len(blobs[-1])}
        inputs.append(
            {"name": tensor.name, "datatype": tensor.datatype, "shape": list(tensor.array.shape), "parameters": size}
        )
    header: dict[str, Any] = {"inputs": inputs, "parameters": {**request.parameters, "binary_data_output": True}}
    if request.id:
        header["id"] = request.id
    if request.outputs:
        header["outputs"] = [{"name": name, "parameters": {"binary_data": True}} for name in request.outputs]
    return json.dumps(header).encode(), b"".join(blobs)


def _response(content: bytes, header_bytes: int) -> InferResponse:
    header, offset = json.loads(content[:header_bytes]), header_bytes
    outputs = {}
    for tensor in header.get("outputs", []):
        size = int(tensor["parameters"]["binary_data_size"])
        array = decode(content[offset : offset + size], tensor["datatype"], tensor["shape"])
        outputs[tensor["name"]] = Tensor(tensor["name"], tensor["datatype"], array)
        offset += size
    return InferResponse(
        header["model_name"], header["model_version"], header.get("id", ""), outputs, header.get("parameters", {})
    )
