"""200 random fleets against their exact optima (`make bench-packing` wrote them), some of those found anew by HiGHS."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tritonsmith.perf import bench
from tritonsmith.perf.bench.packing import GPU_BYTES, SEEDS, OnOne, fewest_gpus, least_price, random_fleet
from tritonsmith.perf.plan.packing import Fleet, Kind, Packing, pack

COMMITTED = Path(bench.__path__[0]) / "results" / "packing.json"


@pytest.fixture(scope="module")
def packings() -> list[Packing]:
    return [pack(random_fleet(seed)) for seed in SEEDS]


@pytest.fixture(scope="module")
def fewest() -> list[int]:
    numbers: list[int] = json.loads(COMMITTED.read_text())["fewest GPUs"]
    return numbers


def random_priced_fleet(seed: int) -> Fleet:
    """Return a random fleet for two kinds of GPU with prices, of which not all can be of the cheaper kind."""
    fleet = random_fleet(seed)
    kinds = (
        Kind("L40S", GPU_BYTES, len(fleet.tenants), 1.0),
        Kind("A30", GPU_BYTES // 2, len(fleet.tenants) // 2, 0.4),
    )
    return replace(fleet, kinds=kinds)


@pytest.mark.parametrize("seed", SEEDS[3::13])
def test_the_committed_optima_are_those_that_highs_finds(seed: int, fewest: list[int]) -> None:
    assert fewest_gpus(random_fleet(seed)) == fewest[seed]


def test_at_most_one_gpu_or_a_tenth_more_than_the_fewest(packings: list[Packing], fewest: list[int]) -> None:
    used = [len(packing.cards) for packing in packings]
    rows = list(zip(SEEDS, used, fewest, strict=True))
    assert [row for row in rows if not row[2] <= row[1] <= max(row[2] + 1, row[2] * 1.1)] == []
    assert sum(count > least for _, count, least in rows) <= 4


@pytest.mark.parametrize("seed", range(1, 40, 5))
def test_two_kinds_of_gpu_cost_at_most_one_gpu_or_a_tenth_more_than_the_least(seed: int) -> None:
    fleet = random_priced_fleet(seed)
    packing, least = pack(fleet), least_price(fleet)
    assert least - 1e-6 <= packing.price_per_hour <= max(least * 1.1, least + 0.4) + 1e-6
    assert packing.least_price <= least + 1e-6


def test_what_is_said_to_be_needed_at_least_is(packings: list[Packing], fewest: list[int]) -> None:
    assert all(packing.least_cards <= least for packing, least in zip(packings, fewest, strict=True))


def test_every_model_lies_on_one_gpu_and_none_is_overfull(packings: list[Packing]) -> None:
    for seed, packing in zip(SEEDS, packings, strict=True):
        tenants = random_fleet(seed).tenants
        lying = [[int(one.tenant.removeprefix("model")) for one in card.lying] for card in packing.cards]
        assert sorted(number for card in lying for number in card) == list(range(len(tenants)))
        assert all(OnOne(tenants)(card) for card in lying)


def test_the_same_fleet_is_packed_the_same_way_twice(packings: list[Packing]) -> None:
    assert [pack(random_fleet(seed)) for seed in SEEDS[::10]] == packings[::10]
