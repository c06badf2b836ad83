"""What an engine's config.json says, in words that are Triton's: which release runs it, on which GPU, its types."""

from __future__ import annotations

import re

from tritonsmith.generator.catalog.releases import RELEASES

DATATYPES = {"float32": "TYPE_FP32", "float16": "TYPE_FP16", "bfloat16": "TYPE_BF16"}
# Of the memory that is free when a model loads the backend takes so much where nothing is said; those that load later
# find less, so that the parts of several need not be equal.
WHOLE_FRACTION = 0.9


def is_built_by(built: str, version: str) -> bool:
    """Whether an engine is one of a version of TensorRT-LLM: 0.17.0.post1 runs what 0.17.0 built."""
    return _patch(built) == _patch(version)


def releases_that_run(built: str) -> list[str]:
    """Return the releases, oldest first, whose TensorRT-LLM runs what a version built."""
    return [name for name, row in RELEASES.items() if is_built_by(built, row.tensorrt_llm)]


def _patch(version: str) -> list[str]:
    return re.findall(r"\d+", version)[:3]


def gpu_family(gpu: str) -> str:
    """Return H100 of `H100-SXM-80GB` and of `NVIDIA-H100-PCIe`."""
    return gpu.upper().removeprefix("NVIDIA-").partition("-")[0]
