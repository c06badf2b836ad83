"""Slices of GPUs as a plan names them."""

import pytest

from tritonsmith.generator.catalog.gpus import GPUS
from tritonsmith.generator.errors import UsageError
from tritonsmith.perf.plan.shares import gpu_of, is_slice, named, per_gpu, sharing_of, whole_of


def test_a_slice_has_its_part_of_the_gpu_and_reaches_no_other() -> None:
    name = named("h100 sxm/mig:3g.40gb")
    whole, part = GPUS["H100-SXM-80GB"], gpu_of(name)
    assert name == "H100-SXM-80GB/mig:3g.40gb"
    assert (whole_of(name), str(sharing_of(name)), per_gpu(name)) == ("H100-SXM-80GB", "mig:3g.40gb", 2)
    assert part.bytes_per_s == whole.bytes_per_s / 2
    assert part.flops["bf16"] == pytest.approx(whole.flops["bf16"] * 3 / 7)
    assert part.memory_bytes < whole.memory_bytes / 2
    assert (part.domain, part.name) == (1, name)


def test_a_whole_gpu_stays_itself() -> None:
    assert gpu_of("L4") is GPUS["L4"]
    assert (is_slice("L4"), per_gpu("L4"), sharing_of("L4").mode) == (False, 1, "none")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("L4/mig:1g.10gb", "L4 GPUs cannot be cut"),
        ("H100-SXM-80GB/mig:1g.5gb", "have no slice 1g.5gb"),
        ("H100-SXM-80GB/mig:", "names no slice"),
        ("H100-SXM-80GB/mps", "is no GPU that a plan is made for"),
    ],
)
def test_what_is_no_slice_is_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        named(text)
