"""NVIDIA's GPUs: memory, bandwidth, arithmetic, links and power, as a plan needs them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Precision = Literal["fp16", "bf16", "fp8", "int8", "fp4"]


@dataclass(frozen=True)
class Gpu:
    """One GPU. Arithmetic is dense; `link_bytes_per_s` is one way, to the other GPUs of its domain or over PCIe."""

    name: str  # as the spec's `hardware: {gpu: ...}` says it
    memory_bytes: int  # as nvidia-smi shows it
    bytes_per_s: float  # of its memory
    flops: dict[Precision, float]  # per second; a precision that it lacks is not there
    link_bytes_per_s: float
    domain: int  # so many GPUs reach each other over NVLink; 1: over PCIe only
    compute_capability: tuple[int, int]
    power_w: float  # the board's limit
    products: tuple[str, ...]  # its values of the node label nvidia.com/gpu.product
    source: str
