"""Whether the files of warm-up samples hold strings as Triton reads them: each after its length, in four bytes."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from posixpath import normpath

from tritonclient.grpc.model_config_pb2 import DataType

from tritonsmith.generator.checks.case import ModelCase
from tritonsmith.generator.checks.registry import check
from tritonsmith.generator.checks.rules.warmup import FOLDER, ON, UNNAMED, inputs_of_samples
from tritonsmith.generator.findings import Finding
from tritonsmith.generator.repository.contents import small_bytes

_LARGEST_FILE_BYTES = 1 << 20  # of strings for one request; larger ones are not read
_LENGTH_BYTES = 4
_FORMAT = "write each string's length in 4 bytes, least significant first, then its bytes"


class _Fault(enum.Enum):
    """How a file of strings is not what Triton reads."""

    TOO_FEW = "too few strings"
    TOO_MANY = "too many strings"
    CUT_LENGTH = "a length is cut off"
    CUT_STRING = "the last string is cut off"


@dataclass(frozen=True)
class _Broken:
    """A file of strings that is none: its path in the configuration, its name, and how many strings shall be in it."""

    path: str
    file: str
    wanted: int


def _fault(data: bytes, wanted: int) -> _Fault | None:
    """Return what Triton first finds wrong with a file that shall hold `wanted` strings.

    Source: core: infer_request.cc (ValidateBytesInputs); the last from backend: backend_common.cc.
    """
    at = count = 0
    while at < len(data):
        if len(data) - at < _LENGTH_BYTES:
            return _Fault.CUT_LENGTH
        count += 1
        if count > wanted:
            return _Fault.TOO_MANY
        at += _LENGTH_BYTES + int.from_bytes(data[at : at + _LENGTH_BYTES], "little")
    if count < wanted:
        return _Fault.TOO_FEW
    return _Fault.CUT_STRING if at > len(data) else None


def _broken(model: ModelCase, fault: _Fault) -> Iterator[_Broken]:
    """Yield the files of the model's samples that have a fault."""
    declared = {tensor.name: tensor for tensor in model.config.input}
    for path, name, given in inputs_of_samples(model):
        is_file = given.WhichOneof("input_data_type") == "input_data_file" and given.data_type == DataType.TYPE_STRING
        if not is_file or name not in declared or min(given.dims, default=-1) < 0:
            continue
        file = model.model.files.get(normpath(f"{FOLDER}/{given.input_data_file}"))
        data = small_bytes(file, _LARGEST_FILE_BYTES) if file is not None else None
        wanted = prod(given.dims)
        if data is not None and _fault(data, wanted) is fault:
            yield _Broken(f"{path}.input_data_file", given.input_data_file, wanted)


@check(
    "TS364",
    "a warm-up sample's file has a string for each element",
    triton=f"{UNNAMED}expected {{n}} string elements for inference input '{{name}}' for model '{{name}}', got {{n}}",
    on=ON,
)
def there_are_enough_strings(model: ModelCase) -> Iterator[Finding]:
    """A tensor of strings is sent as its strings one after the other, each after its length.

    Source: core: infer_request.cc (ValidateBytesInputs).
    """
    for broken in _broken(model, _Fault.TOO_FEW):
        message = f"'{broken.file}' holds fewer than the input's {broken.wanted} strings"
        yield model.error(broken.path, message, remedy=_FORMAT)


@check(
    "TS365",
    "a warm-up sample's file has no string too many",
    triton=f"{UNNAMED}unexpected number of string elements {{n}} for inference input '{{name}}' for model '{{name}}', "
    "expecting {n}",
    on=ON,
)
def there_are_no_more_strings(model: ModelCase) -> Iterator[Finding]:
    """What follows the last string is read as another.

    Source: core: infer_request.cc (ValidateBytesInputs).
    """
    for broken in _broken(model, _Fault.TOO_MANY):
        message = f"'{broken.file}' holds more than the input's {broken.wanted} strings"
        yield model.error(broken.path, message, remedy=_FORMAT)


@check(
    "TS366",
    "a warm-up sample's file has whole lengths of strings",
    triton=f"{UNNAMED}incomplete string length indicator for inference input '{{name}}' for model '{{name}}', "
    "expecting {n} bytes but only {n} bytes available. Please make sure the string length indicator is in one buffer.",
    on=ON,
)
def lengths_are_whole(model: ModelCase) -> Iterator[Finding]:
    """A text file is not a tensor of strings: its first four characters are read as a length.

    Source: core: infer_request.cc (ValidateBytesInputs).
    """
    for broken in _broken(model, _Fault.CUT_LENGTH):
        message = f"'{broken.file}' ends within the length of a string"
        yield model.error(broken.path, message, remedy=_FORMAT)


@check(
    "TS367",
    "a warm-up sample's file has whole strings",
    triton="failed to run warmup sample '{name}': incomplete string data for inference input '{name}', expecting "
    "string of length {n} but only {n} bytes available; ...",
    on=ON,
)
def strings_are_whole(model: ModelCase) -> Iterator[Finding]:
    """Triton counts lengths only; the backend finds that the last one is more than there is.

    Source: backend: backend_common.cc (ValidateStringBuffer).
    """
    for broken in _broken(model, _Fault.CUT_STRING):
        message = f"'{broken.file}' ends within its last string"
        yield model.error(broken.path, message, remedy=_FORMAT)
