"""NVIDIA's GPUs: memory, bandwidth, arithmetic, links and power, as a plan needs them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from tritonsmith.generator.errors import UsageError
from tritonsmith.generator.suggest import did_you_mean

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


def _gpu(
    name: str,
    capability: tuple[int, int],
    mib: int,
    tb_per_s: float,
    tflops: tuple[float, float, float, float, float],
    link: tuple[float, int],
    watts: float,
    products: str,
    system: str = "",
) -> Gpu:
    """Return a row from the units in which such facts are published.

    `tflops` are those of fp16, bf16, fp8, int8 and fp4, `link` GB/s one way and the GPUs of the domain, `products`
    separated by blanks, `system` its file in aiconfigurator.
    """
    precisions: tuple[Precision, ...] = ("fp16", "bf16", "fp8", "int8", "fp4")
    published = f"ai-dynamo/aiconfigurator 0.12: systems/{system}.yaml" if system else "NVIDIA's data sheet"
    return Gpu(
        name=name,
        memory_bytes=mib * 2**20,
        bytes_per_s=tb_per_s * 1e12,
        flops={precision: value * 1e12 for precision, value in zip(precisions, tflops, strict=True) if value},
        link_bytes_per_s=link[0] * 1e9,
        domain=link[1],
        compute_capability=capability,
        power_w=watts,
        products=tuple(products.split()),
        source=f"{published}; memory: the total that nvidia-smi prints",
    )


# An A30, A100 or H100 on PCIe may have a bridge to a neighbour; nothing tells of it, and a plan counts on none.
_PCIE3, _PCIE4, _PCIE5 = (16.0, 1), (32.0, 1), (64.0, 1)
_AMPERE, _HOPPER, _HOPPER_NVL = (312, 312, 0, 624, 0), (989, 989, 1978, 1978, 0), (835, 835, 1671, 1671, 0)
_HOPPER_PCIE = (756, 756, 1513, 1513, 0)
_B200, _B300 = (2250, 2250, 4500, 4500, 9000), (2250, 2250, 4500, 153.5, 14000)
_GB200, _GB300 = (2500, 2500, 5000, 5000, 10000), (2500, 2500, 5000, 165, 15000)
_RTX_PRO, _RTX_PRO_LABEL = (468, 468, 936, 936, 1871), "NVIDIA-RTX-PRO-6000-Blackwell-Server-Edition"

# Labels: the driver's name with hyphens for blanks (NVIDIA/k8s-device-plugin: docs/gpu-feature-discovery).
GPUS = {
    gpu.name: gpu
    for gpu in (
        _gpu("T4", (7, 5), 15360, 0.32, (65, 0, 0, 130, 0), _PCIE3, 70, "Tesla-T4"),
        _gpu("A10", (8, 6), 23028, 0.6, (125, 125, 0, 250, 0), _PCIE4, 150, "NVIDIA-A10"),
        _gpu("A10G", (8, 6), 23028, 0.6, (70, 70, 0, 140, 0), _PCIE4, 300, "NVIDIA-A10G"),
        _gpu("A30", (8, 0), 24576, 0.933, (165, 165, 0, 330, 0), _PCIE4, 165, "NVIDIA-A30", "a30"),
        _gpu("A40", (8, 6), 46068, 0.696, (149.7, 149.7, 0, 299.3, 0), _PCIE4, 300, "NVIDIA-A40"),
        _gpu("L4", (8, 9), 23034, 0.3, (121, 121, 242, 242, 0), _PCIE4, 72, "NVIDIA-L4", "l4"),
        _gpu("L40", (8, 9), 46068, 0.864, (181, 181, 362, 362, 0), _PCIE4, 300, "NVIDIA-L40"),
        _gpu("L40S", (8, 9), 46068, 0.864, (362, 362, 733, 733, 0), _PCIE4, 350, "NVIDIA-L40S", "l40s"),
        _gpu("A100-SXM-40GB", (8, 0), 40960, 1.555, _AMPERE, (300, 8), 400, "NVIDIA-A100-SXM4-40GB"),
        _gpu("A100-SXM-80GB", (8, 0), 81920, 2.039, _AMPERE, (300, 8), 400, "NVIDIA-A100-SXM4-80GB", "a100_sxm"),
        _gpu("A100-PCIE-40GB", (8, 0), 40960, 1.555, _AMPERE, _PCIE4, 250, "NVIDIA-A100-PCIE-40GB"),
        _gpu("A100-PCIE-80GB", (8, 0), 81920, 1.935, _AMPERE, _PCIE4, 300, "NVIDIA-A100-80GB-PCIe", "a100_pcie"),
        _gpu("H100-SXM-80GB", (9, 0), 81559, 3.35, _HOPPER, (450, 8), 700, "NVIDIA-H100-80GB-HBM3", "h100_sxm"),
        _gpu("H100-PCIE-80GB", (9, 0), 81559, 2.0, _HOPPER_PCIE, _PCIE5, 350, "NVIDIA-H100-PCIe", "h100_pcie"),
        _gpu("H100-NVL-94GB", (9, 0), 95830, 3.9, _HOPPER_NVL, (300, 2), 400, "NVIDIA-H100-NVL"),
        _gpu("H20-96GB", (9, 0), 97871, 4.0, (148, 148, 296, 296, 0), (450, 8), 500, "NVIDIA-H20"),
        _gpu("H200-SXM-141GB", (9, 0), 143771, 4.8, _HOPPER, (450, 8), 700, "NVIDIA-H200", "h200_sxm"),
        _gpu("H200-NVL-141GB", (9, 0), 143771, 4.8, _HOPPER_NVL, (450, 4), 600, "NVIDIA-H200-NVL"),
        _gpu("GH200-96GB", (9, 0), 97871, 4.0, _HOPPER, _PCIE5, 900, "NVIDIA-GH200-480GB NVIDIA-GH200-120GB"),
        _gpu("GH200-144GB", (9, 0), 146831, 4.9, _HOPPER, _PCIE5, 900, "NVIDIA-GH200-144G-HBM3e"),
        _gpu("B200-SXM-180GB", (10, 0), 183359, 7.7, _B200, (900, 8), 1000, "NVIDIA-B200", "b200_sxm"),
        _gpu("B300-SXM-269GB", (10, 3), 275040, 7.75, _B300, (900, 8), 1100, "NVIDIA-B300-SXM6-AC", "b300_sxm"),
        _gpu("GB200-186GB", (10, 0), 189471, 8.0, _GB200, (900, 72), 1200, "NVIDIA-GB200", "gb200"),
        _gpu("GB300-278GB", (10, 3), 284208, 8.0, _GB300, (900, 72), 1400, "NVIDIA-GB300", "gb300"),
        _gpu("RTX-PRO-6000-96GB", (12, 0), 97887, 1.792, _RTX_PRO, _PCIE5, 600, _RTX_PRO_LABEL, "rtx_pro_6000_server"),
    )
}  # fmt: skip

# What says no more than the name does.
_NOISE = {"nvidia", "tesla", "gpu", "gb", "hbm2", "hbm2e", "hbm3", "hbm3e", "blackwell", "server", "edition"}


def gpu_named(text: str) -> Gpu:
    """Return the GPU that a person, a node's label or nvidia-smi calls so; short forms are fine where one GPU fits.

    Raises: UsageError where it is none of the table's, or several.
    """
    exact = [gpu for gpu in GPUS.values() if _joined(text) in map(_joined, (gpu.name, *gpu.products))]
    near = exact or [gpu for gpu in GPUS.values() if _is_short_for(text, gpu)]
    if len(near) == 1:
        return near[0]
    if near:
        raise UsageError(f"'{text}' is several GPUs", hint=f"name one: {', '.join(gpu.name for gpu in near)}")
    raise UsageError(f"no GPU '{text}' is known.{did_you_mean(text.upper(), GPUS)}", hint=f"known: {', '.join(GPUS)}")


def products_of(text: str) -> tuple[str, ...]:
    """Return a GPU's values of the label nvidia.com/gpu.product, none where the table has no such GPU, or several."""
    try:
        return gpu_named(text).products
    except UsageError:
        return ()


def _is_short_for(text: str, gpu: Gpu) -> bool:
    words, joined = _words(text), _joined(text)
    if not words or not joined:
        return False
    return _joined(gpu.name).startswith(joined) or words <= _words(" ".join((gpu.name, *gpu.products)))


def _joined(text: str) -> str:
    return re.sub(r"[^a-z0-9]|nvidia|tesla", "", text.lower())


def _words(text: str) -> set[str]:
    """Return a name's words: H100, SXM and 80 of `NVIDIA H100 SXM5 80GB HBM3`."""
    words = re.findall(r"[a-z0-9]+", text.lower())
    return {re.sub(r"^(sxm)\d$|^(\d+)gi?b$", r"\1\2", word) for word in words} - _NOISE
