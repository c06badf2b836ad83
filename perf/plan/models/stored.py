"""In which type a model's files store most of its weights."""

from __future__ import annotations

from pathlib import Path

from tritonsmith.generator.inspect.json_file import JsonObject, read_json
from tritonsmith.perf.plan.core import WeightType
from tritonsmith.perf.plan.models.types import refused

_PLAIN: dict[str, WeightType] = {"float32": "fp32", "float16": "fp16", "bfloat16": "bf16"}
# Source: TensorRT-LLM: quantization/mode.py (QuantAlgo); NVIDIA's ModelOpt writes the same names.
_ALGORITHMS: dict[str, WeightType] = {
    "FP8": "fp8",
    "FP8_BLOCK_SCALES": "fp8",
    "FP8_PER_CHANNEL_PER_TOKEN": "fp8",
    "FP8_PB_WO": "fp8",
    "W8A16": "int8",
    "W8A8_SQ_PER_CHANNEL": "int8",
    "W8A8_SQ_PER_TENSOR_PLUGIN": "int8",
    "W8A8_SQ_PER_CHANNEL_PER_TOKEN_PLUGIN": "int8",
    "W4A16": "int4",
    "W4A16_AWQ": "int4",
    "W4A16_GPTQ": "int4",
    "W4A8_AWQ": "int4",
    "NVFP4": "nvfp4",
    "NVFP4_AWQ": "nvfp4",
    "W4A16_NVFP4": "nvfp4",
    "W4A16_MXFP4": "mxfp4",
    "W4A8_MXFP4_FP8": "mxfp4",
    "W4A8_MXFP4_MXFP8": "mxfp4",
}
_METHODS: dict[str, WeightType] = {"fp8": "fp8", "fbgemm_fp8": "fp8", "mxfp4": "mxfp4"}
_BITS: dict[tuple[str, int], WeightType] = {
    ("int", 4): "int4",
    ("int", 8): "int8",
    ("float", 8): "fp8",
    ("float", 4): "nvfp4",
}


def stored_type(found: JsonObject, config: JsonObject, folder: Path) -> WeightType:
    """Return the type, by what config.json and ModelOpt's hf_quant_config.json say of quantisation.

    Raises: SpecError where they name one that is not understood.
    """
    beside = folder / "hf_quant_config.json"
    is_named_so = found.path.name == "config.json" and beside.is_file()
    written = read_json(beside, beside.name).below("quantization") if is_named_so else config.below("quantization")
    if algorithm := written.text("quant_algo", ""):
        return _algorithm(written, algorithm)
    quantised = (
        found.below("quantization_config") if "quantization_config" in found else config.below("quantization_config")
    )
    if quantised.values:
        return _quantised(quantised)
    named = (place.text(key, "") for key in ("dtype", "torch_dtype") for place in (found, config))
    return _PLAIN.get(next(filter(None, named), ""), "bf16")


def _algorithm(written: JsonObject, algorithm: str) -> WeightType:
    if algorithm not in _ALGORITHMS:
        raise refused(written, "quant_algo", f"the quantisation '{algorithm}' is not understood")
    return _ALGORITHMS[algorithm]


def _quantised(quantised: JsonObject) -> WeightType:
    """Return the type from a Hugging Face model's `quantization_config`."""
    if algorithm := quantised.text("quant_algo", ""):
        return _algorithm(quantised, algorithm)
    method = quantised.text("quant_method", "")
    if method in _METHODS:
        return _METHODS[method]
    if method == "compressed-tensors":
        for group in quantised.below("config_groups").values:
            weights = quantised.below("config_groups").below(group).below("weights")
            found = _BITS.get((weights.text("type", "int"), weights.whole("num_bits", 0)))
            if found:
                return found
    bits = quantised.whole("bits", 4 if quantised.flag("load_in_4bit") else 8 if quantised.flag("load_in_8bit") else 0)
    if ("int", bits) not in _BITS:
        raise refused(quantised, "quant_method", f"the quantisation '{method}' is not understood")
    return _BITS["int", bits]
