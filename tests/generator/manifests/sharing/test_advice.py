"""Which way of sharing is advised, and why not another."""

from typing import Any

import pytest

from tritonsmith.generator.catalog.gpus import GPUS
from tritonsmith.generator.manifests.sharing.advice import BUSY, TRAITS, Wish, advice
from tritonsmith.generator.manifests.sharing.share import share_of

GIB = 1 << 30
SMALL = {"servers": 6, "memory_bytes": 4 * GIB, "load": 0.05}


@pytest.mark.parametrize(
    ("wish", "sharing"),
    [
        ({"servers": 1}, "none"),
        ({"gpus": 2, "has_strangers": True}, "none"),
        ({"has_strangers": True}, "mig:1g.10gb"),
        ({"has_tail": True}, "mig:1g.10gb"),
        ({"has_tail": True, "load": 0.3}, "mig:3g.40gb"),  # 60/132 of the processors, four fifths of them
        ({"has_tail": True, "memory_bytes": 15 * GIB}, "mig:1g.20gb"),
        ({"has_tail": True, "memory_bytes": 15 * GIB, "load": 0.17}, "mig:2g.20gb"),
        ({"is_llm": True, "memory_bytes": 18 * GIB}, "mig:1g.20gb"),
        ({"has_tail": True, "load": 0.11}, "mig:1g.20gb"),  # 1g.10gb has 16/132 of the processors, this 26
        ({"is_llm": True, "memory_bytes": 60 * GIB}, "none"),
        ({"is_one_repository": True}, "instances"),
        ({"is_one_repository": True, "has_strangers": True}, "mig:1g.10gb"),
        ({"is_one_repository": True, "memory_bytes": 20 * GIB}, "mps of 3"),  # six do not fit into one
        ({}, "mps of 6"),
        ({"load": 0.2}, "mps of 4"),
        ({"memory_bytes": 30 * GIB}, "mps of 2"),
        ({"load": 0.01}, "time-slicing of 6"),
        ({"load": 0.5}, "none"),
        ({"memory_bytes": 50 * GIB}, "none"),
    ],
)
def test_the_strictest_need_decides(wish: dict[str, Any], sharing: str) -> None:
    found = advice(Wish(**{**SMALL, **wish}), GPUS["H100-SXM-80GB"])
    assert str(found.sharing) == sharing
    assert found.reason
    assert found.traits is TRAITS[found.sharing.mode]


@pytest.mark.parametrize(
    ("wish", "sharing"),
    [({"has_tail": True}, "mps of 6"), ({"has_strangers": True}, "none"), ({"is_llm": True}, "none")],
)
def test_without_mig_strangers_get_gpus_of_their_own(wish: dict[str, Any], sharing: str) -> None:
    found = advice(Wish(**{**SMALL, **wish}), GPUS["L40S"])
    assert str(found.sharing) == sharing
    assert ("mig", "L40S GPUs cannot be cut") in found.others


@pytest.mark.parametrize(("is_llm", "profile"), [(False, "1g.10gb"), (True, "1g.20gb")])
def test_an_engine_needs_its_part_of_the_bandwidth(is_llm: bool, profile: str) -> None:
    """Of an A100 1g.10gb has 14/108 of the processors, and 1/8 of the memory's bandwidth, which is less."""
    wish = Wish(servers=4, memory_bytes=4 * GIB, load=0.102, has_tail=True, is_llm=is_llm)
    assert advice(wish, GPUS["A100-SXM-80GB"]).sharing.profile == profile


def test_each_way_that_was_passed_over_has_its_reason() -> None:
    found = advice(Wish(servers=2, memory_bytes=20 * GIB, load=0.5), GPUS["H100-SXM-80GB"])
    assert [mode for mode, _ in found.others] == ["mig", "instances", "mps", "time-slicing"]
    assert dict(found.others)["mps"] == (
        "2 are busy for 100% of a GPU's time, and above 80% they mostly wait for each other"
    )


@pytest.mark.parametrize("gpu", GPUS)
@pytest.mark.parametrize("is_strict", [False, True])
def test_what_is_advised_fits_in_memory_and_load(gpu: str, is_strict: bool) -> None:
    for gib in (1, 3, 9, 20, 40, 90):
        for load in (0.001, 0.02, 0.1, 0.3, 0.39, 0.7):
            wish = Wish(servers=5, memory_bytes=gib * GIB, load=load, has_tail=is_strict, has_strangers=is_strict)
            sharing = advice(wish, GPUS[gpu]).sharing
            share = share_of(sharing, GPUS[gpu])
            if not sharing.is_shared:
                continue
            assert wish.memory_bytes <= share.memory_bytes
            servers = 1 if sharing.mode == "mig" else share.per_gpu
            assert servers * load <= BUSY * (share.compute if sharing.mode == "mig" else 1)
            assert sharing.mode == "mig" or not is_strict
