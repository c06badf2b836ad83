"""What a number takes in each type, and which GPUs can calculate with it."""

from __future__ import annotations

from tritonsmith.generator.catalog.gpus import Gpu
from tritonsmith.perf.plan.core import CacheType, WeightType

# Scales counted in: fp8 and int8 have one for many; int4 (AWQ, GPTQ) 16 bits and a 4-bit zero for 128 numbers; NVFP4
# 8 bits for 16 (https://docs.nvidia.com/deeplearning/transformer-engine, "NVFP4"); MXFP4 8 bits for 32 (OCP's
# Microscaling Formats 1.0).
WEIGHT_BYTES: dict[WeightType, float] = {
    "fp32": 4.0,
    "fp16": 2.0,
    "bf16": 2.0,
    "fp8": 1.0,
    "int8": 1.0,
    "int4": 0.5 + 2.5 / 128,
    "nvfp4": 0.5 + 1 / 16,
    "mxfp4": 0.5 + 1 / 32,
}
CACHE_BYTES: dict[CacheType, float] = {"fp16": 2.0, "bf16": 2.0, "fp8": 1.0, "int8": 1.0}

# From which compute capability on. Source: TensorRT-LLM: docs/source/reference/precision.md and support-matrix.md;
# MXFP4's weights are widened on Hopper, int4's everywhere.
_LEAST: dict[WeightType, tuple[int, int]] = {
    "fp32": (7, 0),
    "fp16": (7, 0),
    "bf16": (8, 0),
    "fp8": (8, 9),
    "int8": (7, 5),
    "int4": (8, 0),
    "nvfp4": (10, 0),
    "mxfp4": (9, 0),
}


# NVFP4's and MXFP4's checkpoints of mixtures of experts leave attention and shared experts as they were: see
# hf_quant_config.json of nvidia/DeepSeek-V3.1-NVFP4, quantization_config of openai/gpt-oss-120b, and sgl-project/sglang
# pull request 18189. Some NVFP4 ones quantise attention too (Qwen3's 30B): they take less than is told.
_EXPERTS_ONLY = ("nvfp4", "mxfp4")


def body_type(weights: WeightType, *, has_experts: bool) -> WeightType:
    """Return the type of what is neither a table nor a routed expert, in a model whose weights are said to be so."""
    return "bf16" if has_experts and weights in _EXPERTS_ONLY else weights


def cache_of(weights: WeightType, stored: WeightType, gpu: Gpu | None = None) -> CacheType:
    """Return the KV cache's type where none is asked for: that of the activations, from what the files store."""
    return "fp16" if "fp16" in (weights, stored) or (gpu is not None and "bf16" not in gpu.flops) else "bf16"


def can_calculate(gpu: Gpu, weights: WeightType, cache: CacheType = "fp16") -> bool:
    """Whether TensorRT-LLM has kernels for weights and a KV cache of these types on a GPU."""
    return gpu.compute_capability >= max(_LEAST[weights], _LEAST[cache])


def is_quantised_from(weights: WeightType, stored: WeightType) -> bool:
    """Whether weights are quantised from a stored type to another: none are widened, and none to MXFP4 afterwards."""
    return weights == stored or (weights != "mxfp4" and WEIGHT_BYTES[weights] < WEIGHT_BYTES[stored])
