"""A graph as an ONNX model: in memory with its constants outside, or as model.onnx. Needs no ONNX Runtime."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from .errors import EngineError
from .graph import Graph, Precision, model_inputs, model_outputs, unused_tensors, write_graph
from .llama import Llama
from .safetensors import find_tensors

Array = npt.NDArray[Any]
MODEL = "model.onnx"
DATA = "model.onnx.data"
FORMAT = "tritonsmith.llama/1"  # what an exported model.onnx says it is
LARGEST_INLINE = 1 << 30  # bytes of constants inside model.onnx; protobuf ends at 2 GiB
_OPSET, _MICROSOFT_OPSET, _IR = 18, 1, 9


def graph_of(folder: Path, llama: Llama, precision: Precision, length: int) -> Graph:
    """Return the graph of a Hugging Face folder.

    Raises: EngineError where a tensor is missing, misshapen, or one that a Llama does not have.
    """
    tensors = find_tensors(folder)
    strange = list(unused_tensors(tensors, llama))
    if strange:
        more = f" and {len(strange) - 1} more" if len(strange) > 1 else ""
        raise EngineError(f"{folder}: the tensor {strange[0]}{more}: the CPU engine's graph has no place for it")
    return write_graph(llama, tensors, precision, length)


def compose(graph: Graph, llama: Llama, length: int, inline: Mapping[str, Array]) -> onnx.ModelProto:
    """Return the model, with the constants in `inline` inside and the others to be given from outside."""
    constants = [
        numpy_helper.from_array(solid(inline[name]), name) if name in inline else _outside(name, value)
        for name, value in graph.constants.items()
    ]
    made = helper.make_graph(graph.nodes, "llama", model_inputs(llama), model_outputs(llama), constants)
    opsets = [helper.make_opsetid("", _OPSET), helper.make_opsetid("com.microsoft", _MICROSOFT_OPSET)]
    model = helper.make_model(made, opset_imports=opsets, ir_version=_IR, producer_name="tritonsmith")
    helper.set_model_props(model, {"format": FORMAT, "max_seq_len": str(length)})
    return model


def save_model(graph: Graph, llama: Llama, length: int, folder: Path, *, largest_inline: int = LARGEST_INLINE) -> None:
    """Write model.onnx into a folder; more than `largest_inline` bytes of constants go into a file beside it."""
    is_inline = sum(value.nbytes for value in graph.constants.values()) <= largest_inline
    model = compose(graph, llama, length, graph.constants if is_inline else {})
    if not is_inline:
        _write_data(model, graph.constants, folder / DATA)
    (folder / MODEL).write_bytes(model.SerializeToString(deterministic=True))


def solid(value: Array) -> Array:
    """Return an array whose elements lie one after another; a scalar stays one."""
    return value if value.ndim == 0 else np.ascontiguousarray(value)


def _write_data(model: onnx.ModelProto, constants: Mapping[str, Array], path: Path) -> None:
    """Write the constants one after another, and into the model where each lies."""
    with path.open("wb") as file:
        for tensor in model.graph.initializer:
            value = solid(constants[tensor.name])
            places = {"location": path.name, "offset": str(file.tell()), "length": str(value.nbytes)}
            del tensor.external_data[:]
            for key, text in places.items():
                tensor.external_data.add(key=key, value=text)
            file.write(value.tobytes())


def _outside(name: str, value: Array) -> onnx.TensorProto:
    tensor = TensorProto(
        name=name,
        data_type=helper.np_dtype_to_tensor_dtype(value.dtype),
        dims=value.shape,
        data_location=TensorProto.EXTERNAL,
    )
    tensor.external_data.add(key="location", value="given at load")
    return tensor
