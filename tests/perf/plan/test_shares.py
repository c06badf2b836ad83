"""Slices of GPUs as a plan names them."""

import pytest

from tritonsmith.generator.catalog.gpus import GPUS
from tritonsmith.generator.errors import UsageError
from tritonsmith.perf.plan.shares import gpu_of, is_slice, named, per_gpu, setting_of, sharing_of, whole_of


def test_a_slice_has_its_part_of_the_gpu_and_reaches_no_other() -> None:
    name = named("h100 sxm/mig:3g.40gb")
    whole, part = GPUS["H100-SXM-80GB"], gpu_of(name)
    assert name == "H100-SXM-80GB/mig:3g.40gb"
    assert (whole_of(name), str(sharing_of(name)), per_gpu(name)) == ("H100-SXM-80GB", "mig:3g.40gb", 2)
    assert part.bytes_per_s == whole.bytes_per_s / 2
    assert part.flops["bf16"] == pytest.approx(whole.flops["bf16"] * 60 / 132)
    assert part.memory_bytes < whole.memory_bytes / 2
    assert (part.domain, part.name) == (1, name)


def test_a_share_has_an_equal_part_of_the_memory_and_is_written_into_a_spec() -> None:
    name = named("l40s/mps:04")
    whole, part = GPUS["L40S"], gpu_of(name)
    assert (name, whole_of(name), per_gpu(name), is_slice(name)) == ("L40S/mps:4", "L40S", 4, True)
    assert part.memory_bytes == whole.memory_bytes // 4
    assert part.bytes_per_s == whole.bytes_per_s / 4
    assert part.flops["bf16"] == whole.flops["bf16"] / 4
    assert part.domain == 1
    assert setting_of(name) == {"mode": "mps", "replicas": 4}
    assert setting_of("H100-SXM-80GB/mig:3g.40gb") == "mig:3g.40gb"
    assert setting_of("L40S") == "none"


def test_a_whole_gpu_stays_itself() -> None:
    assert gpu_of("L4") is GPUS["L4"]
    assert (is_slice("L4"), per_gpu("L4"), sharing_of("L4").mode) == (False, 1, "none")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("L4/mig:1g.10gb", "L4 GPUs cannot be cut"),
        ("H100-SXM-80GB/mig:1g.5gb", "have no slice 1g.5gb"),
        ("H100-SXM-80GB/mig:", "is no GPU that a plan is made for"),
        ("H100-SXM-80GB/mig:big", "have no slice big"),
        ("H100-SXM-80GB/mps", "is no GPU that a plan is made for"),
        ("H100-SXM-80GB/mps:four", "has no four shares by MPS"),
        ("H100-SXM-80GB/mps:1", "has no 1 shares by MPS"),
        ("H100-SXM-80GB/mps:64", "has no 64 shares by MPS"),
        ("H100-SXM-80GB/time-slicing:2", "who takes turns is promised nothing"),
    ],
)
def test_what_is_no_slice_is_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        named(text)


def test_a_slice_is_proposed_only_of_a_gpu_that_can_be_cut_into_it() -> None:
    hints = []
    for gpu in ("l40s", "A30", "H100-SXM-80GB"):
        with pytest.raises(UsageError) as told:
            named(f"{gpu}/time-slicing:4")
        hints.append(told.value.hint)
    assert hints == [
        "a whole GPU; L40S/mps:4, one of four equal shares",
        "a whole GPU; A30/mig:1g.6gb, a slice; A30/mps:4, one of four equal shares",
        "a whole GPU; H100-SXM-80GB/mig:1g.10gb, a slice; H100-SXM-80GB/mps:4, one of four equal shares",
    ]
