"""From an engine folder to an open ONNX Runtime session, and from a Hugging Face folder to a model.onnx."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
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


def open_session(folder: Path, llama: Llama, length: int, threads: int) -> Any:
    """Return a session on the folder's model.onnx, else on a graph written from its safetensors.

    Raises: EngineError where the folder holds neither, or ONNX Runtime does not take it.
    """
    path = folder / MODEL
    try:
        if path.is_file():
            session = onnxruntime.InferenceSession(str(path), _options(threads), providers=["CPUExecutionProvider"])
            _require_ours(session, path, llama, length)
            return session
        graph = graph_of(folder, llama, "fp32", length)
        model = compose(graph, llama, length, {})
        options = _options(threads)
        names = list(graph.constants)
        values = [onnxruntime.OrtValue.ortvalue_from_numpy(_solid(graph.constants.pop(name))) for name in names]
        options.add_external_initializers(names, values)
        return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except EngineError:
        raise
    except Exception as problem:  # ONNX Runtime's exceptions share no base class but this
        raise EngineError(f"{folder}: ONNX Runtime does not take the model: {problem}") from None


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
        numpy_helper.from_array(_solid(inline[name]), name) if name in inline else _outside(name, value)
        for name, value in graph.constants.items()
    ]
    made = helper.make_graph(graph.nodes, "llama", model_inputs(llama), model_outputs(llama), constants)
    opsets = [helper.make_opsetid("", _OPSET), helper.make_opsetid("com.microsoft", _MICROSOFT_OPSET)]
    model = helper.make_model(made, opset_imports=opsets, ir_version=_IR, producer_name="tritonsmith")
    helper.set_model_props(model, {"format": FORMAT, "max_seq_len": str(length)})
    return model


def save_model(graph: Graph, llama: Llama, length: int, folder: Path) -> None:
    """Write model.onnx into a folder; constants beyond 1 GiB go into a file beside it."""
    total = sum(value.nbytes for value in graph.constants.values())
    model = compose(graph, llama, length, graph.constants if total <= LARGEST_INLINE else {})
    if total > LARGEST_INLINE:
        _write_data(model, graph.constants, folder / DATA)
    (folder / MODEL).write_bytes(model.SerializeToString(deterministic=True))


def _write_data(model: onnx.ModelProto, constants: Mapping[str, Array], path: Path) -> None:
    """Write the constants one after another, and into the model where each lies."""
    with path.open("wb") as file:
        for tensor in model.graph.initializer:
            value = _solid(constants[tensor.name])
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


def _solid(value: Array) -> Array:
    # ascontiguousarray would make a scalar an array of one
    return value if value.ndim == 0 else np.ascontiguousarray(value)


def _options(threads: int) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Threads that spin while they wait gain x1.6 on idle cores and lose x3 on shared ones, and a server's are shared.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    return options


def _require_ours(session: Any, path: Path, llama: Llama, length: int) -> None:
    meta = session.get_modelmeta().custom_metadata_map
    if meta.get("format") != FORMAT:
        raise EngineError(f"{path}: not written by `tritonsmith export` (format '{meta.get('format', '')}')")
    if int(meta["max_seq_len"]) < length:
        raise EngineError(f"{path}: max_seq_len {length}; it was exported for {meta['max_seq_len']} tokens")
    wanted = {value.name: _shape(value) for value in (*model_inputs(llama), *model_outputs(llama))}
    found = {value.name: list(value.shape) for value in (*session.get_inputs(), *session.get_outputs())}
    if wanted != found:
        raise EngineError(f"{path}: its tensors are not those of the config.json beside it")


def _shape(value: onnx.ValueInfoProto) -> list[int | str]:
    return [axis.dim_param or axis.dim_value for axis in value.type.tensor_type.shape.dim]
