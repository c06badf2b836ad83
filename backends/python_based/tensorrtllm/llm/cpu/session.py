"""From an engine folder to an open ONNX Runtime session."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx

from .errors import EngineError
from .graph import model_inputs, model_outputs
from .llama import Llama
from .model_file import FORMAT, MODEL, compose, graph_of, solid

_PROVIDERS = ["CPUExecutionProvider"]


def open_session(folder: Path, llama: Llama, length: int, threads: int) -> Any:
    """Return a session on the folder's model.onnx, else on a graph written from its safetensors.

    Raises: EngineError where the folder holds neither, or ONNX Runtime does not take it.
    """
    path = folder / MODEL
    try:
        session = _from_file(path, threads) if path.is_file() else _from_weights(folder, llama, length, threads)
    except EngineError:
        raise
    except Exception as problem:  # ONNX Runtime's exceptions share no base class but this
        raise EngineError(f"{folder}: ONNX Runtime does not take the model: {problem}") from None
    if path.is_file():
        _require_ours(session, path, llama, length)
    return session


def _from_file(path: Path, threads: int) -> Any:
    import onnxruntime  # here: who only exports needs none

    return onnxruntime.InferenceSession(str(path), _options(threads), providers=_PROVIDERS)


def _from_weights(folder: Path, llama: Llama, length: int, threads: int) -> Any:
    """Open the graph with its constants beside it: inside, protobuf would end them at 2 GiB."""
    import onnxruntime

    graph = graph_of(folder, llama, "fp32", length)
    model = compose(graph, llama, length, {})
    options = _options(threads)
    names = list(graph.constants)
    values = [onnxruntime.OrtValue.ortvalue_from_numpy(solid(graph.constants.pop(name))) for name in names]
    options.add_external_initializers(names, values)
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=_PROVIDERS)


def _options(threads: int) -> Any:
    import onnxruntime

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
