"""What Triton must know of an ONNX file, read from its graph; weights are never loaded."""

from __future__ import annotations

import mmap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from google.protobuf.message import DecodeError
from onnx import AttributeProto, GraphProto, ModelProto, TensorProto, TypeProto, ValueInfoProto

from tritonsmith.generator.catalog.datatypes import BY_ONNX, Datatype
from tritonsmith.generator.errors import SpecError
from tritonsmith.generator.files import open_regular
from tritonsmith.generator.findings import Finding, Place, error
from tritonsmith.generator.inspect.onnx_slim import TruncatedError, without_weights

# One protobuf message ends at 2 GiB, in ONNX Runtime as here (https://protobuf.dev/programming-guides/proto-limits).
LARGEST_FILE_BYTES = 2**31 - 1
# The checks that tell what `OnnxFacts` finds: an input or output that Triton cannot have, a data file beside the graph.
TYPE, EXTERNAL = "TS902", "TS901"
# Below this a file is parsed whole, in less time than it takes to look for its weights.
_SMALL_FILE_BYTES = 1 << 20


@dataclass(frozen=True)
class OnnxTensor:
    """An input or output of the graph.

    `datatype` is None where Triton has no such type. `shape` holds every axis, the batch axis too, -1 where it is
    dynamic; None where the graph does not even say how many axes there are. `symbols` holds for each axis the name
    that the graph gives it ("N"), empty where it gives none.
    """

    name: str
    datatype: Datatype | None
    shape: tuple[int, ...] | None
    symbols: tuple[str, ...] = ()

    @property
    def has_dynamic_first_axis(self) -> bool:
        """Whether the first axis can be the batch."""
        return bool(self.shape) and self.shape is not None and self.shape[0] == -1


@dataclass(frozen=True)
class OnnxFacts:
    """What Triton must know of an ONNX file. `findings` are what no setting in a spec can repair.

    `inputs` leaves out those which have an initializer, as ONNX Runtime does; they are `overridable`.
    `external` are the data files beside the model, relative to its folder, sorted. `metadata` is what its writer noted.
    """

    path: Path
    inputs: tuple[OnnxTensor, ...]
    outputs: tuple[OnnxTensor, ...]
    overridable: tuple[OnnxTensor, ...]
    external: tuple[str, ...]
    ir_version: int
    opset: int  # of ONNX's own operators, 0 where the file uses none
    findings: tuple[Finding, ...]
    metadata: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_batchable(self) -> bool:
        """Whether every input and output has a dynamic first axis.

        Source: onnxruntime_backend: src/onnxruntime.cc (ModelState::AutoCompleteMaxBatch).
        """
        return all(tensor.has_dynamic_first_axis for tensor in (*self.inputs, *self.outputs))


def read_onnx(path: Path) -> OnnxFacts:
    """Return the facts of an ONNX file.

    Raises: SpecError where the file is missing, truncated, too big for one protobuf message, or no ONNX model.
    """
    model = parse_onnx(path)
    graph = model.graph
    place = Place(str(path))
    initialized = {tensor.name for tensor in graph.initializer}
    initialized.update(tensor.values.name for tensor in graph.sparse_initializer)
    findings: list[Finding] = []
    inputs, overridable = [], []
    for value in graph.input:
        if value.name in initialized:
            overridable.append(_tensor(value))
        else:
            inputs.append(_tensor(value))
            findings.extend(_refusals("input", value, place))
    for value in graph.output:
        findings.extend(_refusals("output", value, place))
    if not graph.output:
        findings.append(error("the graph has no outputs: is the file whole?", place, code=TYPE))
    external = sorted(_external_locations(graph))
    if external:
        findings.extend(_external_findings(path, external))
    return OnnxFacts(
        path=path,
        inputs=tuple(inputs),
        outputs=tuple(_tensor(value) for value in graph.output),
        overridable=tuple(overridable),
        external=tuple(external),
        ir_version=model.ir_version,
        opset=next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 0),
        findings=tuple(findings),
        metadata={entry.key: entry.value for entry in model.metadata_props},
    )


def shape_findings(
    facts: OnnxFacts, max_batch_size: int, given: Iterable[str] = (), place: Place | None = None
) -> list[Finding]:
    """Return why the graph's shapes cannot be written as dims; tensors in `given` have theirs in the spec.

    Source: core: model_config_utils.cc (ValidateIOShape); onnxruntime_backend: src/onnxruntime_utils.cc
    (CompareDimsSupported).
    """
    where = place or Place(str(facts.path))
    findings = []
    known = set(given)
    for kind, tensors in (("input", facts.inputs), ("output", facts.outputs)):
        for tensor in tensors:
            if max_batch_size > 0 and tensor.shape is not None and not tensor.has_dynamic_first_axis:
                findings.append(
                    error(
                        f"{kind} '{tensor.name}' of shape {list(tensor.shape)} has no dynamic first axis, so the model "
                        f"cannot batch (max_batch_size {max_batch_size})",
                        where,
                        remedy="leave max_batch_size out, or export the model with a dynamic first axis",
                    )
                )
            elif tensor.name not in known:
                findings.extend(_inexpressible(kind, tensor, max_batch_size, where))
    return findings


def triton_dims(tensor: OnnxTensor, max_batch_size: int) -> tuple[list[int], bool]:
    """Return a tensor's dims, and whether they need `reshape: {shape: []}` because the model wants a scalar.

    Source: onnxruntime_backend: src/onnxruntime.cc (ModelState::AutoCompleteIO).
    """
    dims = list(tensor.shape or ())[1 if max_batch_size > 0 else 0 :]
    return (dims, False) if dims else ([1], max_batch_size > 0)


def _inexpressible(kind: str, tensor: OnnxTensor, max_batch_size: int, place: Place) -> Iterator[Finding]:
    shape = tensor.shape
    if shape is None:
        yield error(
            f"the graph does not say how many axes {kind} '{tensor.name}' has",
            place,
            remedy=f"write its dims in the spec: {kind}: [{{name: {tensor.name}, dims: [...]}}]",
        )
    elif not shape:
        yield error(
            f"{kind} '{tensor.name}' is a scalar, which Triton cannot express in a model that does not batch",
            place,
            remedy="export the model with a tensor of shape [1], or with a dynamic first axis",
        )
    elif 0 in shape[1 if max_batch_size > 0 else 0 :]:
        yield error(
            f"{kind} '{tensor.name}' of shape {list(shape)} has a dimension of zero; Triton's are -1 or at least 1",
            place,
            remedy="export the model without the empty tensor",
        )


def parse_onnx(path: Path) -> ModelProto:
    """Return the model, of a big file without its weights.

    Raises: SpecError where the file is missing, truncated, too big for one protobuf message, or no ONNX model.
    """
    try:
        with open_regular(path) as file:
            size = file.seek(0, 2)
            if size > LARGEST_FILE_BYTES:
                raise SpecError(
                    f"the ONNX file has {size:,} bytes; one protobuf message ends at {LARGEST_FILE_BYTES:,}",
                    where=str(path),
                    hint="save it with external data: onnx.save(model, path, save_as_external_data=True)",
                )
            file.seek(0)
            if size < _SMALL_FILE_BYTES:
                data = file.read()
            else:
                with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
                    data = without_weights(mapped)
        model = ModelProto.FromString(data)
    except OSError as problem:
        raise SpecError(f"cannot read the ONNX file: {problem.strerror}", where=str(path)) from None
    except (DecodeError, TruncatedError):
        raise SpecError(
            "the file is no ONNX model, or it is truncated",
            where=str(path),
            hint="export or copy it again; `git lfs pull` where it is a Git LFS pointer",
        ) from None
    # Of a string that is no UTF-8 protobuf gives the bytes.
    if not all(isinstance(value.name, str) for value in (*model.graph.input, *model.graph.output)):
        raise SpecError("a tensor's name is no UTF-8 text", where=str(path), hint="export or copy it again")
    if not model.HasField("graph"):
        raise SpecError(
            f"the file holds no ONNX graph ({size:,} bytes)", where=str(path), hint="export or copy it again"
        )
    return model


def _tensor(value: ValueInfoProto) -> OnnxTensor:
    tensor = value.type.tensor_type
    if not tensor.HasField("shape"):
        return OnnxTensor(value.name, BY_ONNX.get(tensor.elem_type), None)
    axes = tensor.shape.dim
    # A negative dim_value is how some exporters write "dynamic"; ONNX Runtime takes it so.
    shape = tuple(max(axis.dim_value, -1) if axis.HasField("dim_value") else -1 for axis in axes)
    return OnnxTensor(value.name, BY_ONNX.get(tensor.elem_type), shape, tuple(axis.dim_param for axis in axes))


def _refusals(kind: str, value: ValueInfoProto, place: Place) -> Iterator[Finding]:
    """Yield why Triton has no type for an input or output."""
    which = value.type.WhichOneof("value")
    if which is None or (which == "tensor_type" and value.type.tensor_type.elem_type == 0):
        yield error(
            f"the graph does not say which type {kind} '{value.name}' has",
            place,
            remedy="run onnx.shape_inference.infer_shapes on the model and save it",
            code=TYPE,
        )
    elif which != "tensor_type":
        yield error(
            f"{kind} '{value.name}' is {_article(which)}; Triton knows only dense tensors",
            place,
            remedy=f"export the model so that '{value.name}' is a tensor",
            code=TYPE,
        )
    elif value.type.tensor_type.elem_type not in BY_ONNX:
        yield error(
            f"{kind} '{value.name}' has ONNX type {_type_name(value.type)}, which Triton lacks",
            place,
            remedy="cast it inside the graph to a type that Triton has",
            code=TYPE,
        )


def _article(which: str) -> str:
    noun = which.removesuffix("_type").replace("_", " ")
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"


def _type_name(type_: TypeProto) -> str:
    number = type_.tensor_type.elem_type
    names = TensorProto.DataType
    return str(names.Name(number)) if number in names.values() else str(number)


def _external_locations(graph: GraphProto) -> set[str]:
    """Return the external data files that the graph's tensors name, those of attributes and subgraphs included."""
    found: set[str] = set()
    tensors: list[TensorProto] = [*graph.initializer]
    for sparse in graph.sparse_initializer:
        tensors += [sparse.values, sparse.indices]
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == AttributeProto.TENSOR:
                tensors.append(attribute.t)
            elif attribute.type == AttributeProto.TENSORS:
                tensors.extend(attribute.tensors)
            elif attribute.type in (AttributeProto.GRAPH, AttributeProto.GRAPHS):
                for inner in (attribute.g, *attribute.graphs):
                    found |= _external_locations(inner)
    for tensor in tensors:
        if tensor.data_location == TensorProto.EXTERNAL:
            found.update(
                entry.value
                for entry in tensor.external_data
                if entry.key == "location" and isinstance(entry.value, str)
            )
    return found


def _external_findings(path: Path, locations: Iterable[str]) -> Iterator[Finding]:
    """Yield the external data files that are missing, or lie outside the model's folder."""
    place = Place(str(path))
    folder = path.parent.resolve()
    for location in locations:
        relative = PurePosixPath(location)
        is_plain = location and "\0" not in location and not relative.is_absolute() and ".." not in relative.parts
        # A link beside a model that is itself a link (a download cache) may point wherever the model lies.
        allowed = (folder, path.resolve().parent)
        if not is_plain or not any((folder / location).resolve().is_relative_to(top) for top in allowed):
            yield error(
                f"external data file '{location}' lies outside the model's folder",
                place,
                remedy="save the model again with its external data beside it",
                code=EXTERNAL,
            )
        elif not (folder / location).is_file():
            yield error(
                f"external data file '{location}' is missing",
                place,
                remedy=f"put it beside the model, in {path.parent}",
                code=EXTERNAL,
            )
