"""What an ONNX model takes and gives, and whether a model configuration fits it.

The rules and their wording are the C++ backend's, so what loads here loads there.
Source: onnxruntime_backend r24.10, src/onnxruntime.cc (ModelState::AutoComplete*, ModelInstanceState::Validate*)
and src/onnxruntime_utils.cc (CompareDimsSupported).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any

Config = Mapping[str, Any]

# ONNX Runtime's name of a type -> Triton's. BF16 is ours alone: the C++ backend refuses it.
TRITON_TYPES = {
    "tensor(bool)": "TYPE_BOOL",
    "tensor(uint8)": "TYPE_UINT8",
    "tensor(uint16)": "TYPE_UINT16",
    "tensor(uint32)": "TYPE_UINT32",
    "tensor(uint64)": "TYPE_UINT64",
    "tensor(int8)": "TYPE_INT8",
    "tensor(int16)": "TYPE_INT16",
    "tensor(int32)": "TYPE_INT32",
    "tensor(int64)": "TYPE_INT64",
    "tensor(float16)": "TYPE_FP16",
    "tensor(float)": "TYPE_FP32",
    "tensor(double)": "TYPE_FP64",
    "tensor(string)": "TYPE_STRING",
    "tensor(bfloat16)": "TYPE_BF16",
}
_CONTROLS = ("CONTROL_SEQUENCE_START", "CONTROL_SEQUENCE_END", "CONTROL_SEQUENCE_READY", "CONTROL_SEQUENCE_CORRID")


class ConfigMismatchError(ValueError):
    """Raised when a configuration does not fit its model; the message is the C++ backend's where it has one."""


@dataclass(frozen=True)
class Signature:
    """One tensor of the model: Triton's data type, and the whole shape with -1 where it varies."""

    name: str
    data_type: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Signatures:
    """The model's tensors by name; `initializers` are those that a request may override."""

    inputs: Mapping[str, Signature]
    outputs: Mapping[str, Signature]
    initializers: Mapping[str, Signature]


def read_signatures(session: Any) -> Signatures:
    """The tensors of an open `onnxruntime.InferenceSession`.

    Raises:
        ConfigMismatchError: a tensor is a sequence, a map, an optional, or of a type Triton does not have.
    """
    return Signatures(
        inputs=_by_name(session.get_inputs()),
        outputs=_by_name(session.get_outputs()),
        initializers=_by_name(session.get_overridable_initializers()),
    )


def _by_name(nodes: Iterable[Any]) -> dict[str, Signature]:
    return {node.name: Signature(node.name, _triton_type(node.name, node.type), _shape(node.shape)) for node in nodes}


def _shape(shape: Sequence[int | str | None]) -> tuple[int, ...]:
    return tuple(dim if isinstance(dim, int) else -1 for dim in shape)


def _triton_type(name: str, onnx_type: str) -> str:
    if onnx_type in TRITON_TYPES:
        return TRITON_TYPES[onnx_type]
    if onnx_type.startswith("tensor("):
        raise ConfigMismatchError(f"tensor '{name}' has the type {onnx_type}, for which Triton has no data type")
    kind = f"ONNX_TYPE_{onnx_type.split('(')[0].replace('seq', 'sequence').replace('_', '').upper()}"
    raise ConfigMismatchError(f"Unsupported ONNX Type '{kind}' for I/O '{name}', expected 'ONNX_TYPE_TENSOR'.")


def needs_completion(config: Config) -> bool:
    """True unless inputs and outputs are both given; then the C++ backend fills in nothing, not even a batch size."""
    return not ((config.get("input") or config.get("batch_input")) and config.get("output"))


def complete(config: MutableMapping[str, Any], signatures: Signatures, default_max_batch_size: int) -> list[str]:
    """Fills in the batch size, scheduler, inputs and outputs that `config` lacks; returns what is worth a warning.

    Raises:
        ConfigMismatchError: max_batch_size is set and the model cannot batch.
    """
    notices = _complete_max_batch_size(config, signatures, default_max_batch_size)
    if not (config.get("input") or config.get("batch_input")):
        config["input"] = [_described(tensor, config) for tensor in signatures.inputs.values()]
    if not config.get("output"):
        config["output"] = [_described(tensor, config) for tensor in signatures.outputs.values()]
    return notices


def _complete_max_batch_size(config: MutableMapping[str, Any], signatures: Signatures, default: int) -> list[str]:
    name = config["name"]
    tensors = [*signatures.inputs.values(), *signatures.outputs.values()]
    if not all(tensor.shape and tensor.shape[0] == -1 for tensor in tensors):
        if config.get("max_batch_size", 0):
            raise ConfigMismatchError(
                f"autofill failed for model '{name}': model does not support batching "
                "while non-zero max_batch_size is specified"
            )
        return []
    notices = []
    if not config.get("max_batch_size", 0):
        config["max_batch_size"] = max(default, 0)
        notices.append(
            f"autofilled max_batch_size to {config['max_batch_size']} for model '{name}' since batching is supported "
            "but no max_batch_size is specified in model configuration. Must specify max_batch_size to utilize "
            "autofill with a larger max batch size"
        )
    if config["max_batch_size"] > 1 and "sequence_batching" not in config and "dynamic_batching" not in config:
        config["dynamic_batching"] = {}
    return notices


def _described(tensor: Signature, config: Config) -> dict[str, Any]:
    is_batching = config.get("max_batch_size", 0) > 0
    dims = list(tensor.shape[1:] if is_batching else tensor.shape)
    described: dict[str, Any] = {"name": tensor.name, "data_type": tensor.data_type, "dims": dims or [1]}
    # A scalar per row is dims [1] reshaped to []; without batching Triton refuses an empty reshape, and [1] stands.
    if not dims and is_batching:
        described["reshape"] = {"shape": []}
    return described


def validate(config: Config, signatures: Signatures) -> None:
    """Checks inputs, outputs, sequence controls and states against the model.

    Raises:
        ConfigMismatchError: the first thing that does not fit.
    """
    model = config["name"]
    sequences = config.get("sequence_batching") or {}
    expected = sum(1 for tensor in config.get("input", ()) if not tensor.get("optional"))
    expected += len(config.get("batch_input", ()))
    expected += sum(1 for _ in _controls(config, sequences, signatures))
    expected += len(sequences.get("state", ()))
    if expected != len(signatures.inputs):
        raise ConfigMismatchError(
            f"unable to load model '{model}', configuration expects {expected} inputs, "
            f"model provides {len(signatures.inputs)}"
        )
    for tensor in config.get("input", ()):
        _validate_input(config, tensor, {**signatures.inputs, **signatures.initializers})
    for tensor in config.get("output", ()):
        _validate_output(config, tensor, signatures.outputs)
    for state in sequences.get("state", ()):
        _validate_state(config, state, signatures)


def _controls(config: Config, sequences: Config, signatures: Signatures) -> Iterable[str]:
    """Names of the control tensors, each checked against the model."""
    for control_input in sequences.get("control_input", ()):
        for control in control_input.get("control", ()):
            if control.get("kind", _CONTROLS[0]) in _CONTROLS:
                _validate_control(config, control_input["name"], _control_type(control), signatures)
                yield control_input["name"]


def _control_type(control: Config) -> str:
    for key, data_type in (("int32_false_true", "TYPE_INT32"), ("fp32_false_true", "TYPE_FP32")):
        if control.get(key):
            return data_type
    return "TYPE_BOOL" if control.get("bool_false_true") else str(control.get("data_type", "TYPE_INVALID"))


def _validate_control(config: Config, name: str, data_type: str, signatures: Signatures) -> None:
    model = config["name"]
    if name not in signatures.inputs:
        raise ConfigMismatchError(
            f"configuration specified sequence control '{name}', but model does not provide that input"
        )
    tensor = signatures.inputs[name]
    dims = tensor.shape[1:] if config.get("max_batch_size", 0) > 0 else tensor.shape
    if dims != (1,):
        raise ConfigMismatchError(
            f"unable to load model '{model}', sequence control '{name}' in model has dims {_text(dims)} "
            "but dims [1] is expected"
        )
    if tensor.data_type != data_type:
        raise ConfigMismatchError(
            f"unable to load model '{model}', sequence control '{name}', the model expects data-type "
            f"{tensor.data_type} but the model configuration specifies data-type {data_type}"
        )


def _validate_input(config: Config, tensor: Config, provided: Mapping[str, Signature]) -> None:
    model, name = config["name"], tensor["name"]
    if tensor.get("optional") and config.get("max_batch_size", 0):
        raise ConfigMismatchError(
            f"unable to load model '{model}', optional input '{name}' is not supported for models that support batching"
        )
    signature = _find("input", name, provided)
    _validate_type(model, "input", tensor, signature)
    if not tensor.get("allow_ragged_batch"):
        _validate_dims(config, tensor, signature, is_exact=False)
    elif tensor.get("optional"):
        raise ConfigMismatchError(
            f"unable to load model '{model}', configuration expects model provides input with shape [-1] "
            f"for ragged input '{name}', which is not supported for optional input"
        )
    elif signature.shape != (-1,):
        raise ConfigMismatchError(
            f"unable to load model '{model}', configuration expects model provides input with shape [-1]  "
            f"for ragged input '{name}', model provides {_text(signature.shape)}"
        )


def _validate_output(config: Config, tensor: Config, provided: Mapping[str, Signature]) -> None:
    signature = _find("output", tensor["name"], provided)
    _validate_type(config["name"], "output", tensor, signature)
    targets = [name for batch in config.get("batch_output", ()) for name in batch.get("target_name", ())]
    if tensor["name"] not in targets:  # the shape of a batch output need not be the model's
        _validate_dims(config, tensor, signature, is_exact=True)


def _validate_state(config: Config, state: Config, signatures: Signatures) -> None:
    for kind, key, provided in (
        ("input", "input_name", signatures.inputs),
        ("output", "output_name", signatures.outputs),
    ):
        signature = _find(kind, state[key], provided)
        tensor = {"name": state[key], "data_type": state["data_type"], "dims": state.get("dims", ())}
        _validate_type(config["name"], kind, tensor, signature)
        _validate_dims(config, tensor, signature, is_exact=False)


def _find(kind: str, name: str, provided: Mapping[str, Signature]) -> Signature:
    if name not in provided:
        raise ConfigMismatchError(
            f"unexpected inference {kind} '{name}', allowed {kind}s are: {', '.join(sorted(provided))}"
        )
    return provided[name]


def _validate_type(model: str, kind: str, tensor: Config, signature: Signature) -> None:
    if tensor["data_type"] != signature.data_type:
        provided = signature.data_type.replace("TYPE_STRING", "TYPE_BYTES")  # TRITONSERVER_DataTypeString's name
        raise ConfigMismatchError(
            f"unable to load model '{model}', configuration expects datatype {tensor['data_type']} for {kind} "
            f"'{tensor['name']}', model provides {provided}"
        )


def _validate_dims(config: Config, tensor: Config, signature: Signature, *, is_exact: bool) -> None:
    """`is_exact`: a dimension that varies in the model must vary in the configuration too (outputs)."""
    where = f"model '{config['name']}', tensor '{tensor['name']}'"
    reshape = tensor.get("reshape")
    dims = tuple(int(dim) for dim in (reshape.get("shape", ()) if reshape is not None else tensor.get("dims", ())))
    if not signature.shape:
        if any(dim != 1 for dim in dims):
            raise ConfigMismatchError(
                f"unable to load model '{config['name']}', scalar tensor '{tensor['name']}', should only provide 1 in "
                "the model configuration when the model doesn't support batching. Model configuration provided: "
                f"{_text(dims)}."
            )
        return
    is_batching = config.get("max_batch_size", 0) > 0
    if is_batching and signature.shape[0] != -1:
        raise ConfigMismatchError(
            f"{where}: for the model to support batching the shape should have at least 1 dimension and the first "
            f"dimension must be -1; but shape expected by the model is {_text(signature.shape)}"
        )
    full = (-1, *dims) if is_batching else dims
    pairs = zip(signature.shape, full, strict=False)
    if len(full) == len(signature.shape) and all(_fits(model, given, is_exact) for model, given in pairs):
        return
    how = f"(shape {_text(full)})"
    if is_batching:
        how = (
            "(an initial batch dimension because max_batch_size > 0 followed by the explicit tensor shape, "
            f"making complete shape {_text(full)})"
        )
    raise ConfigMismatchError(
        f"{where}: the model expects {len(signature.shape)} dimensions (shape {_text(signature.shape)}) "
        f"but the model configuration specifies {len(full)} dimensions {how}"
    )


def _fits(model: int, given: int, is_exact: bool) -> bool:
    return model == given or (model == -1 and not is_exact)


def _text(shape: Sequence[int]) -> str:
    return f"[{','.join(str(dim) for dim in shape)}]"
