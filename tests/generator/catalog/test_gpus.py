"""GPUs are found however they are spelled, and never guessed."""

from __future__ import annotations

import pytest

from tritonsmith.generator.catalog.gpus import GPUS, gpu_named, products_of
from tritonsmith.generator.errors import UsageError


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("h100sxm", "H100-SXM-80GB"),
        ("H100 SXM5 80GB", "H100-SXM-80GB"),
        ("NVIDIA H100 80GB HBM3", "H100-SXM-80GB"),  # nvidia-smi
        ("NVIDIA-H100-80GB-HBM3", "H100-SXM-80GB"),  # nvidia.com/gpu.product
        ("H100-PCIe", "H100-PCIE-80GB"),
        ("h200", "H200-SXM-141GB"),
        ("A100-SXM4-40GB", "A100-SXM-40GB"),
        ("A100 40GB PCIe", "A100-PCIE-40GB"),
        ("Tesla T4", "T4"),
        ("l40s", "L40S"),
        ("l40", "L40"),
        ("GB200", "GB200-186GB"),
        ("B200", "B200-SXM-180GB"),
        ("RTX PRO 6000", "RTX-PRO-6000-96GB"),
    ],
)
def test_a_gpu_is_found_however_it_is_spelled(text: str, name: str) -> None:
    assert gpu_named(text).name == name


@pytest.mark.parametrize("name", GPUS)
def test_a_name_and_its_labels_are_one_gpu(name: str) -> None:
    for text in (name, name.lower().replace("-", " "), *GPUS[name].products):
        assert gpu_named(text).name == name


@pytest.mark.parametrize("text", ["H100", "A100-80GB", "A100-SXM"])
def test_a_name_of_several_gpus_is_refused_with_them(text: str) -> None:
    with pytest.raises(UsageError, match="is several GPUs") as problem:
        gpu_named(text)
    assert problem.value.hint.startswith("name one: ")


def test_what_no_gpu_is_called_gets_a_suggestion() -> None:
    with pytest.raises(UsageError, match="Did you mean 'L40S'"):
        gpu_named("L400S")
    for text in ("", "nvidia", "GPU"):
        with pytest.raises(UsageError):
            gpu_named(text)


def test_a_node_is_chosen_by_no_label_where_the_gpu_is_unknown() -> None:
    assert products_of("my own") == products_of("") == ()
    assert products_of("l4") == ("NVIDIA-L4",)


@pytest.mark.parametrize("name", GPUS)
def test_numbers_are_of_the_units_that_the_fields_say(name: str) -> None:
    gpu = GPUS[name]
    assert 15e9 < gpu.memory_bytes < 320e9
    assert 0.2e12 < gpu.bytes_per_s < 10e12
    assert 60e12 < gpu.flops["fp16"] < 3e15
    assert 10e9 < gpu.link_bytes_per_s < 1e12
    assert 70 <= gpu.power_w <= 1400
    assert ("bf16" in gpu.flops) == (gpu.compute_capability >= (8, 0))
    assert ("fp8" in gpu.flops) == (gpu.compute_capability >= (8, 9))
    assert ("fp4" in gpu.flops) == (gpu.compute_capability >= (10, 0))
