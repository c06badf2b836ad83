"""The table of MIG slices against NVIDIA's own lists."""

from itertools import product

import pytest

from tritonsmith.generator.catalog.gpus import GPUS
from tritonsmith.generator.catalog.mig import GIB, MIG, MigProfile, layout_problem, mig_profile
from tritonsmith.generator.errors import UsageError

# NVIDIA's MIG user guide, "Supported MIG Profiles": slice, parts of memory, parts of the processors, how many
GUIDE = {
    "A30": [("1g.6gb", 1 / 4, 1 / 4, 4), ("2g.12gb", 2 / 4, 2 / 4, 2), ("4g.24gb", 1, 1, 1)],
    "B200-SXM-180GB": [
        ("1g.23gb", 1 / 8, 1 / 7, 7),
        ("1g.23gb+me", 1 / 8, 1 / 7, 1),
        ("1g.45gb", 2 / 8, 1 / 7, 4),
        ("2g.45gb", 2 / 8, 2 / 7, 3),
        ("3g.90gb", 4 / 8, 3 / 7, 2),
        ("4g.90gb", 4 / 8, 4 / 7, 1),
        ("7g.180gb", 1, 1, 1),
    ],
    "H200-SXM-141GB": [("1g.18gb", 1 / 8, 1 / 7, 7), ("1g.35gb", 1 / 4, 1 / 7, 4), ("3g.71gb", 4 / 8, 3 / 7, 2)],
}
# mig-parted: deployments/systemd/config-default.yaml, `all-balanced`
BALANCED = {
    "A30": {"1g.6gb": 2, "2g.12gb": 1},
    "A100-SXM-40GB": {"1g.5gb": 2, "2g.10gb": 1, "3g.20gb": 1},
    "A100-PCIE-80GB": {"1g.10gb": 2, "2g.20gb": 1, "3g.40gb": 1},
    "H100-SXM-80GB": {"1g.10gb": 2, "2g.20gb": 1, "3g.40gb": 1},
    "H100-NVL-94GB": {"1g.12gb": 2, "2g.24gb": 1, "3g.47gb": 1},
    "H20-96GB": {"1g.12gb": 2, "2g.24gb": 1, "3g.48gb": 1},
    "H200-SXM-141GB": {"1g.18gb": 2, "2g.35gb": 1, "3g.71gb": 1},
    "GH200-144GB": {"1g.18gb": 2, "2g.36gb": 1, "3g.72gb": 1},
    "B200-SXM-180GB": {"1g.23gb": 2, "2g.45gb": 1, "3g.90gb": 1},
    "B300-SXM-269GB": {"1g.34gb": 2, "2g.67gb": 1, "3g.135gb": 1},
    "GB200-186GB": {"1g.23gb": 2, "2g.47gb": 1, "3g.93gb": 1},
    "GB300-278GB": {"1g.35gb": 2, "2g.70gb": 1, "3g.139gb": 1},
    "RTX-PRO-6000-96GB": {"1g.24gb": 2, "2g.48gb": 1},
}


@pytest.mark.parametrize("gpu", GUIDE)
def test_slices_have_the_parts_that_the_guide_gives_them(gpu: str) -> None:
    for name, memory, compute, most in GUIDE[gpu]:
        found = mig_profile(gpu, name)
        parts = (found.memory_share, found.compute / found.compute_slices, found.most)
        assert parts == pytest.approx((memory, compute, most))


@pytest.mark.parametrize("gpu", MIG)
def test_slices_have_no_more_processors_than_the_gpu(gpu: str) -> None:
    for profile in MIG[gpu].values():
        assert profile.most * profile.compute_share <= 1
        assert profile.compute_share <= max(profile.memory_share, profile.compute / profile.compute_slices)


def test_a_slice_has_fewer_processors_than_its_part_of_seven() -> None:
    """`nvidia-smi mig -lgip` of an H100 prints 16 SM for 1g.10gb and 60 for 3g.40gb, of an A100 14; whole: 132, 108."""
    assert mig_profile("H100-SXM-80GB", "1g.10gb").compute_share == 16 / 132
    assert mig_profile("H100-SXM-80GB", "3g.40gb").compute_share == 60 / 132
    assert mig_profile("A100-SXM-80GB", "1g.10gb").compute_share == 14 / 108
    assert mig_profile("A30", "2g.12gb").compute_share == 2 / 4


@pytest.mark.parametrize("gpu", MIG)
def test_as_many_slices_as_are_named_fit_and_one_more_does_not(gpu: str) -> None:
    for name, profile in MIG[gpu].items():
        assert layout_problem(gpu, {name: profile.most}) == ""
        assert layout_problem(gpu, {name: profile.most + 1})
        assert profile.most * profile.memory_bytes < GPUS[gpu].memory_bytes


@pytest.mark.parametrize("gpu", MIG)
def test_a_slice_has_no_more_memory_than_its_part_and_hardly_less_than_its_name(gpu: str) -> None:
    for profile in MIG[gpu].values():
        part = profile.memory_share * GPUS[gpu].memory_bytes
        named = float(profile.name.partition(".")[2].partition("gb")[0]) * 1e9
        assert 0.9 * part < profile.memory_bytes <= part
        assert profile.memory_bytes > 0.9 * named


@pytest.mark.parametrize("gpu", BALANCED)
def test_nvidias_own_layouts_fit(gpu: str) -> None:
    assert layout_problem(gpu, BALANCED[gpu]) == ""


def test_a_cut_that_takes_more_than_there_is_is_named() -> None:
    assert layout_problem("H100-SXM-80GB", {"4g.40gb": 1, "3g.40gb": 1, "1g.10gb": 1}) == (
        "they take 8 of its 7 compute slices"
    )
    assert layout_problem("H100-SXM-80GB", {"3g.40gb": 2, "1g.10gb": 1}) == "they take 9 of its 8 memory slices"
    assert layout_problem("H100-SXM-80GB", {"1g.5gb": 1}) == "it has no slice 1g.5gb"


def test_the_same_name_is_another_number_on_another_gpu() -> None:
    assert mig_profile("H200", "1g.35gb").most == 4
    assert mig_profile("GB300", "1g.35gb").most == 7


def test_what_nvidia_smi_printed_is_taken_where_it_is_known() -> None:
    assert mig_profile("NVIDIA-H200", "1g.18gb").memory_bytes == 16 * GIB
    assert mig_profile("A100-SXM-40GB", "1g.5gb").memory_bytes == 4864 * 2**20


@pytest.mark.parametrize("gpu", ["L40S", "T4", "A10", "L4"])
def test_a_gpu_without_mig_is_refused_with_what_to_do(gpu: str) -> None:
    with pytest.raises(UsageError, match="cannot be cut into MIG slices") as refused:
        mig_profile(gpu, "1g.10gb")
    assert "sharing: mps" in (refused.value.hint or "")


def test_a_slice_of_another_gpu_is_refused_with_those_there_are() -> None:
    with pytest.raises(UsageError, match=r"have no slice 1g\.18gb\. Did you mean '1g\.10gb'") as refused:
        mig_profile("H100-SXM-80GB", "1g.18gb")
    assert "7g.80gb" in (refused.value.hint or "")


def test_a_resource_and_a_label_are_named_as_nvidia_names_them() -> None:
    plain, extended = mig_profile("H100-SXM-80GB", "1g.10gb"), mig_profile("RTX-PRO-6000-96GB", "1g.24gb+me.all")
    assert (plain.resource, plain.label) == ("nvidia.com/mig-1g.10gb", "all-1g.10gb")
    assert (extended.resource, extended.label) == ("nvidia.com/mig-1g.24gb.me.all", "all-1g.24gb.me.all")


# where slices of each part of compute and memory may begin, and how many places they take (nvidia-smi mig -lgipp)
PLACES = {
    8: {(1, 1): range(7), (1, 2): (0, 2, 4, 6), (2, 2): (0, 2, 4), (3, 4): (0, 4), (4, 4): (0,), (7, 8): (0,)},
    4: {(1, 1): range(4), (2, 2): (0, 2), (4, 4): (0,)},
}


def has_places(profiles: list[MigProfile], taken: frozenset[int] = frozenset()) -> bool:
    if not profiles:
        return True
    first, rest = profiles[0], profiles[1:]
    begins = PLACES[first.memory_slices][(first.compute, first.memory)]
    spans = (frozenset(range(begin, begin + first.memory)) for begin in begins)
    return any(has_places(rest, taken | span) for span in spans if not taken & span)


@pytest.mark.parametrize("gpu", ["A30", "H100-SXM-80GB"])
def test_where_the_sums_fit_so_do_the_places(gpu: str) -> None:
    plain = {name: profile for name, profile in MIG[gpu].items() if "+" not in name}
    for counts in product(*(range(profile.most + 1) for profile in plain.values())):
        layout = {name: count for name, count in zip(plain, counts, strict=True) if count}
        slices = [plain[name] for name, count in layout.items() for _ in range(count)]
        if not layout_problem(gpu, layout):
            assert has_places(sorted(slices, key=lambda one: -one.memory)), layout
