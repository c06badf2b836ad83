"""Write build/typings: type stubs for tritonclient's protobuf modules, made from their own descriptors.

tritonclient ships neither stubs nor py.typed, so without these every ModelConfig is Any. mypy-protobuf is a protoc
plug-in that reads a CodeGeneratorRequest; the descriptors in the wheel are all it needs, no protoc and no .proto file.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from google.protobuf.compiler import plugin_pb2
from google.protobuf.descriptor import FileDescriptor
from tritonclient.grpc import model_config_pb2, service_pb2

ANYTHING = "from typing import Any\ndef __getattr__(name: str) -> Any: ...\n"


def main(target: Path) -> None:
    """Write the stubs below `target`."""
    request = plugin_pb2.CodeGeneratorRequest(parameter="quiet,readable_stubs")
    for module in (model_config_pb2, service_pb2):
        add_file(request, module.DESCRIPTOR)
        request.file_to_generate.append(module.DESCRIPTOR.name)
    plugin = Path(sys.executable).with_name("protoc-gen-mypy")
    answer = subprocess.run([plugin], input=request.SerializeToString(), stdout=subprocess.PIPE, check=True)
    response = plugin_pb2.CodeGeneratorResponse.FromString(answer.stdout)
    if response.error:
        sys.exit(response.error)
    package = target / "tritonclient" / "grpc"
    package.mkdir(parents=True, exist_ok=True)
    for file in response.file:
        text = file.content.replace("import model_config_pb2", "from tritonclient.grpc import model_config_pb2")
        name = Path(file.name).name.replace("grpc_service_pb2", "service_pb2")  # the name the wheel imports it by
        (package / name).write_text(text)
    (package / "__init__.pyi").write_text(ANYTHING)
    (package.parent / "__init__.pyi").write_text(ANYTHING)


def add_file(request: plugin_pb2.CodeGeneratorRequest, file: FileDescriptor) -> None:
    """Append a file's descriptor, its imports first."""
    for needed in file.dependencies:
        add_file(request, needed)
    if all(known.name != file.name for known in request.proto_file):
        file.CopyToProto(request.proto_file.add())


main(Path(sys.argv[1]))
