"""Between Triton's tensors and ONNX Runtime's: what numpy holds of both, and the two types it cannot.

TYPE_STRING: Triton's numpy elements are bytes, ONNX Runtime's are str. ONNX Runtime calls `str()` on bytes ("b'a'")
and decodes its results, so strings that are not UTF-8 are refused by name instead of changed.
TYPE_BF16: numpy has no such type. A pb_utils.Tensor refuses `as_numpy()` and travels by DLPack (tried on 2.51: it
arrives and leaves with its bits unchanged); here it is held as its bits, uint16, which concatenate and split like any
other array, and handed to ONNX Runtime as an OrtValue.
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
_BFLOAT16 = 16  # onnx TensorProto.DataType


class TensorError(ValueError):
    """Raised when a tensor's content cannot be handed over; the message names the tensor."""


def decode_strings(name: str, array: Array) -> Array:
    """Bytes -> str, the shape kept."""
    decoded = np.empty(array.size, object)
    try:
        decoded[:] = [item.decode() if isinstance(item, bytes) else str(item) for item in array.ravel()]
    except UnicodeDecodeError as error:
        raise TensorError(
            f"input '{name}' holds a string that is not UTF-8 ({error.reason} at byte {error.start}); "
            "ONNX Runtime's Python interface takes no other"
        ) from None
    return decoded.reshape(array.shape)


def bits_from_dlpack(capsule: Any) -> Array:
    """The bits of a BF16 tensor as uint16; a copy, as the capsule's memory goes with it."""
    from onnxruntime.capi.onnxruntime_pybind11_state import OrtValue

    return bits_of(OrtValue.from_dlpack(capsule, False))


def bits_of(value: Any) -> Array:
    """The bits of a BF16 OrtValue in CPU memory as uint16; a copy."""
    shape = tuple(value.shape())
    bits = np.empty(shape, np.uint16)
    ctypes.memmove(bits.ctypes.data, value.data_ptr(), bits.nbytes)
    return bits


def value_of_bits(bits: Array) -> Any:
    """A BF16 `onnxruntime.OrtValue` of the given bits."""
    from onnxruntime import OrtValue

    return OrtValue.ortvalue_from_numpy_with_onnx_type(np.ascontiguousarray(bits), _BFLOAT16)


def dlpack_of_bits(bits: Array) -> Any:
    """A DLPack capsule of a BF16 tensor of the given bits; it owns its memory."""
    from onnxruntime import OrtValue

    value = OrtValue.ortvalue_from_shape_and_type(list(bits.shape), _BFLOAT16, "cpu")
    if bits.size:
        ctypes.memmove(value.data_ptr(), np.ascontiguousarray(bits).ctypes.data, bits.nbytes)
    return value._ortvalue.to_dlpack()


def run_with_bits(session: Any, names: list[str], inputs: dict[str, Array], bf16: frozenset[str], options: Any) -> Any:
    """Runs a model some of whose tensors are BF16: those in `bf16` are given and returned as bits."""
    from onnxruntime import OrtValue

    values = {
        name: value_of_bits(array) if name in bf16 else OrtValue.ortvalue_from_numpy(np.ascontiguousarray(array))
        for name, array in inputs.items()
    }
    results = session.run_with_ort_values(names, values, options)
    return [bits_of(value) if name in bf16 else value.numpy() for name, value in zip(names, results, strict=True)]
