"""What may share a GPU, what is loaded on demand, and what is said where nothing fits."""

import math
import random
import re
from dataclasses import replace

import pytest

from tests.perf.plan.packing.played_through import waits_s
from tritonsmith.generator.errors import AnswerIsNo
from tritonsmith.perf.bench.packing import random_fleet
from tritonsmith.perf.plan.core import about, exact
from tritonsmith.perf.plan.packing import Card, Fleet, Kind, Packing, Tenant, pack
from tritonsmith.perf.plan.packing.tails import Demand

GIB = 1 << 30


def tenant(name: str, gib: float, **given: object) -> Tenant:
    return replace(Tenant(name, exact(gib * GIB, "given")), **given)  # type: ignore[arg-type]


def packed(*tenants: Tenant, gpus: int = 4, gib: int = 44, disk: float = 0.0) -> Packing:
    return pack(Fleet(tenants, (Kind("L40S", gib * GIB, gpus),), disk))


def together(packing: Packing) -> list[set[str]]:
    return [{one.tenant for one in card.lying} for card in packing.cards]


def asked(rate_per_s: float, seconds: float, limit_s: float = math.inf) -> dict[str, object]:
    return {"rate_per_s": rate_per_s, "service_s": {"": seconds}, "limit_s": limit_s}


def test_models_that_fit_by_memory_share_a_gpu() -> None:
    assert together(packed(tenant("a", 20), tenant("b", 24))) == [{"a", "b"}]
    assert len(packed(tenant("a", 20), tenant("b", 24.1)).cards) == 2


def test_the_high_end_of_an_uncertain_size_has_to_fit() -> None:
    unsure = Tenant("b", about(24 * GIB, 0.1, "estimated"))
    assert len(packed(tenant("a", 20), unsure).cards) == 2


def test_load_adds_up_to_the_most_that_a_gpu_may_be_asked() -> None:
    half = asked(40, 0.010)
    assert len(packed(tenant("a", 1, **half), tenant("b", 1, **half)).cards) == 1
    assert len(packed(tenant("a", 1, **half), tenant("b", 1, **asked(41, 0.010))).cards) == 2


def test_a_strict_limit_does_not_share_with_long_requests() -> None:
    quick = tenant("quick", 1, **asked(10, 0.002, 0.020))
    assert len(packed(quick, tenant("short", 1, **asked(10, 0.004))).cards) == 1
    assert len(packed(quick, tenant("long", 1, **asked(1, 0.200))).cards) == 2


def test_what_is_promised_is_within_the_limit() -> None:
    tenants = [tenant(f"m{n}", 2, **asked(20 + n, 0.004, 0.05 + n / 100)) for n in range(12)]
    limits = {one.name: one.limit_s for one in tenants}
    lying = [one for card in packed(*tenants).cards for one in card.lying]
    assert all(one.within_s <= limits[one.tenant] for one in lying)


def test_replicas_lie_on_different_gpus() -> None:
    assert together(packed(tenant("a", 1, replicas=3))) == [{"a"}] * 3


def test_a_rate_takes_as_many_replicas_as_it_needs_and_spare_ones_take_none_of_it() -> None:
    busy = tenant("a", 1, **asked(200, 0.010))
    assert len(packed(busy).cards) == 3
    with_spare = packed(replace(busy, spare=1))
    assert len(with_spare.cards) == 4
    assert with_spare.cards[0].load == pytest.approx(200 / 3 * 0.010)


def test_a_limit_of_twice_the_seconds_takes_no_more_replicas_than_the_queue_needs() -> None:
    tight = tenant("a", 6, spare=1, **asked(100, 0.050, 0.100))
    packing = packed(tight, gpus=200)
    assert len(packing.cards) == 38  # 37 answer: the bound alone would take 108
    assert 0.95 * 0.100 < packing.cards[0].lying[0].within_s <= 0.100
    late = [sum(wait > 0.050 for wait in waits_s([Demand(100 / count, 0.050)])) / 120_000 for count in (37, 34)]
    assert late[0] < 0.0105 and late[1] > 0.0105


def test_models_that_take_about_equally_long_share_as_one_model_would() -> None:
    few = [tenant(f"m{n}", 1, **asked(0.27, 0.050 - n / 2000, 0.100)) for n in range(10)]
    [card] = packed(*few).cards
    assert len(packed(*few, tenant("more", 1, **asked(0.27, 0.050, 0.100))).cards) == 2
    waits = waits_s([Demand(one.rate_per_s, one.busy_s) for one in card.lying])
    for one in card.lying:
        assert one.busy_s + waits[int(0.99 * len(waits))] <= one.within_s <= 0.100


def test_owners_share_no_gpu_and_who_is_alone_shares_with_nobody() -> None:
    mine, yours = tenant("a", 1, owner="me"), tenant("b", 1, owner="you")
    assert together(packed(mine, yours, tenant("c", 1, owner="me"))) == [{"a", "c"}, {"b"}]
    assert together(packed(tenant("a", 30, is_alone=True), tenant("b", 1))) == [{"a"}, {"b"}]


def test_who_has_a_limit_shares_with_none_whose_rate_is_not_known() -> None:
    unknown, limited = tenant("a", 1), tenant("b", 1, **asked(1, 0.01, 0.1))
    assert together(packed(unknown, limited)) == [{"a"}, {"b"}]
    packing = packed(unknown, tenant("b", 1, **asked(1, 0.01)))
    assert together(packing) == [{"a", "b"}]
    assert all(one.within_s == math.inf for one in packing.cards[0].lying)


def test_the_cheapest_gpus_are_taken() -> None:
    kinds = (Kind("H100", 80 * GIB, 4, 3.0), Kind("L4", 22 * GIB, 4, 0.7))
    small = [tenant(f"m{n}", 10) for n in range(4)]
    packing = pack(Fleet(tuple(small), kinds))
    assert [card.kind for card in packing.cards] == ["L4", "L4"]
    assert [card.kind for card in pack(Fleet((*small, tenant("big", 40)), kinds)).cards] == ["H100"]


def test_a_latency_by_gpu_decides_where_a_model_lies() -> None:
    kinds = (Kind("L4", 22 * GIB, 4, 0.7), Kind("H100", 80 * GIB, 4, 3.0))
    quick = tenant("quick", 5, rate_per_s=5.0, service_s={"L4": 0.030, "H100": 0.005}, limit_s=0.025)
    assert [card.kind for card in pack(Fleet((quick,), kinds)).cards] == ["H100"]


def test_nothing_is_on_demand_while_everything_fits() -> None:
    assert packed(tenant("a", 40), tenant("b", 40), gpus=2, disk=2e9).on_demand == ()


def test_what_bears_a_cold_load_takes_turns_where_not_everything_fits() -> None:
    rare = [tenant(f"rare{n}", 20, **asked(0.001, 0.05, 60.0)) for n in range(4)]
    packing = packed(tenant("hot", 20, **asked(20, 0.01, 0.2)), *rare, gpus=1, disk=2e9)
    assert packing.on_demand == ("rare0", "rare1", "rare2", "rare3")
    [card] = packing.cards
    assert card.used_bytes == 40 * GIB
    assert all(one.cold_s == pytest.approx(20 * GIB / 2e9) for one in card.lying if one.is_on_demand)
    assert all(one.within_s <= 60 for one in card.lying)


def test_turns_without_a_limit_are_not_waited_for_by_models_that_have_one() -> None:
    hot = tenant("hot", 20, **asked(5, 0.01), is_resident=True)
    rare, batch = tenant("rare", 20, **asked(0.001, 0.05, 60.0)), tenant("batch", 20, **asked(0.001, 0.05))
    assert packed(hot, rare, replace(rare, name="other"), gpus=1, disk=2e9).on_demand == ("other", "rare")
    with pytest.raises(AnswerIsNo, match="do not hold everything"):
        packed(hot, rare, batch, gpus=1, disk=2e9)


def test_no_more_requests_than_said_are_late_where_models_take_turns() -> None:
    rare = [tenant(f"rare{n}", 20, **asked(0.003 * (n + 1), 0.5, 90.0)) for n in range(3)]
    packing = packed(tenant("hot", 20, **asked(1, 0.2, 5.0)), *rare, gpus=1, disk=2e9)
    [card] = packing.cards
    for one, took_s in played_through(card).items():
        within_s = next(lying.within_s for lying in card.lying if lying.tenant == one)
        assert sum(each > within_s for each in took_s) <= 0.01 * len(took_s)
        assert max(took_s) > within_s / 3  # the bound is of some use


def played_through(card: Card, on_demand: int = 3000, seed: int = 1) -> dict[str, list[float]]:
    """Return how long requests take by model: the GPU takes them as they come, those on demand one after the other."""
    draw = random.Random(seed)
    turns = [one for one in card.lying if one.is_on_demand]
    resident = [one for one in card.lying if not one.is_on_demand]
    took_s: dict[str, list[float]] = {one.tenant: [] for one in card.lying}
    turn_rate, rate = (sum(one.rate_per_s for one in some) for some in (turns, resident))
    comes_s = next_s = room_s = gpu_s = 0.0
    for one in draw.choices(turns, [one.rate_per_s for one in turns], k=on_demand):
        comes_s += draw.expovariate(turn_rate)
        loaded_s = max(comes_s, room_s) + one.cold_s
        while next_s < loaded_s:
            [other] = draw.choices(resident, [each.rate_per_s for each in resident])
            gpu_s = max(gpu_s, next_s) + other.busy_s
            took_s[other.tenant].append(gpu_s - next_s)
            next_s += draw.expovariate(rate)
        room_s = gpu_s = max(gpu_s, loaded_s) + one.busy_s
        took_s[one.tenant].append(room_s - comes_s)
    return took_s


def test_as_few_as_needed_are_on_demand_those_that_are_asked_least() -> None:
    tenants = [tenant(f"m{n}", 11, **asked(0.001 * (n + 1), 0.05, 120.0)) for n in range(5)]
    assert packed(*tenants, gpus=1, disk=2e9).on_demand == ("m0", "m1")


def test_a_limit_below_its_cold_load_keeps_a_model_resident() -> None:
    quick = [tenant(f"m{n}", 30, **asked(1, 0.01, 5.0)) for n in range(2)]
    with pytest.raises(AnswerIsNo, match="1 L40S do not hold everything: m1 left over") as told:
        packed(*quick, gpus=1, disk=2e9)
    assert "2 L40S would hold everything" in told.value.hint
    assert "no model bears" in told.value.hint


def test_without_a_disk_rate_it_is_said_what_one_would_allow() -> None:
    with pytest.raises(AnswerIsNo) as told:
        packed(tenant("a", 30), tenant("b", 30), gpus=1)
    assert "disk: 2GB/s" in told.value.hint
    assert "without a `rate`" not in told.value.hint


def test_where_two_kinds_do_not_hold_everything_it_is_said_how_many_of_each_would() -> None:
    kinds = (Kind("L40S", 44 * GIB, 1), Kind("L4", 22 * GIB, 1))
    with pytest.raises(AnswerIsNo, match="1 L40S, 1 L4 do not hold everything: b left over") as told:
        pack(Fleet((tenant("b", 8.9, replicas=3),), kinds))
    assert "3 L40S or 3 L4 would hold everything" in told.value.hint
    with pytest.raises(AnswerIsNo) as told:
        pack(Fleet((tenant("b", 30, replicas=3),), kinds))
    assert told.value.hint.startswith("3 L40S would hold everything")


def any_fleet(seed: int) -> Fleet:
    """Return a fleet of 1 to 3 kinds and 1 to 4 models of which any may lack, ask or bear anything."""
    draw = random.Random(seed)
    names = ["L40S", "L4", "H100"][: draw.randint(1, 3)]
    kinds = tuple(Kind(name, draw.choice([20, 44, 80]) * GIB, draw.randint(1, 3)) for name in names)

    def any_tenant(name: str) -> Tenant:
        known = draw.random() < 0.7
        rate_per_s, seconds = draw.choice([0.001, 1, 20, 90]), draw.choice([0.002, 0.01, 0.2])
        on = draw.choice([{"": seconds}, {draw.choice(names): seconds}])
        given: dict[str, object] = {
            **({"rate_per_s": rate_per_s, "service_s": on, "variation": draw.choice([0, 0.5])} if known else {}),
            "limit_s": draw.choice([math.inf, 0.05, 60.0]) if known else math.inf,
            "replicas": draw.choice([0, 0, 3]),
            "spare": draw.choice([0, 0, 1]),
            "owner": draw.choice(["", "", "other"]),
            "is_alone": draw.random() < 0.1,
        }
        return tenant(name, draw.choice([1, 9, 21, 40]), **given)

    tenants = tuple(any_tenant(f"m{number}") for number in range(draw.randint(1, 4)))
    return Fleet(tenants, kinds, draw.choice([0.0, 2e9]))


def test_of_any_fleet_comes_a_packing_or_a_no_and_what_would_hold_everything_does() -> None:
    held, noes, checked = 0, 0, 0
    for seed in range(150):
        fleet = any_fleet(seed)
        try:
            packing = pack(fleet)
        except AnswerIsNo as no:
            noes += 1
            for count, name in re.findall(r"(\d+) (\w+)(?= or | would hold everything)", no.hint or ""):
                kind = next(one for one in fleet.kinds if one.name == name)
                pack(replace(fleet, kinds=(replace(kind, count=int(count)),)))
                checked += 1
            continue
        held += 1
        assert all(
            card.used_bytes <= card.memory_bytes and card.load <= fleet.most_load + 1e-6 for card in packing.cards
        )
        lying = {one.tenant for card in packing.cards for one in card.lying}
        assert lying == {one.name for one in fleet.tenants}
    assert min(held, noes, checked) > 20


def test_a_rate_that_lacks_is_named_where_it_keeps_others_away() -> None:
    with pytest.raises(AnswerIsNo) as told:
        packed(tenant("unknown", 1), tenant("b", 1, **asked(1, 0.01, 0.1)), gpus=1)
    assert "without a `rate` no model with an slo shares a GPU with unknown" in told.value.hint


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (tenant("a", 45), "45.0 GiB do not fit on one GPU, which has room for 44.0"),
        (tenant("a", 1, **asked(1, 0.1, 0.1)), "longer than its limit of 100 ms"),
        (tenant("a", 1, replicas=2, **asked(200, 0.01)), "2 replicas cannot answer 200 requests/s"),
        (tenant("a", 1, **asked(1e6, 0.1)), "1000 replicas cannot answer 1e\\+06 requests/s"),
    ],
)
def test_what_fits_nowhere_is_named_with_its_reason(wrong: Tenant, words: str) -> None:
    with pytest.raises(AnswerIsNo, match=words):
        packed(wrong)


def test_best_fit_alone_is_improved_upon_and_the_optimum_is_proven() -> None:
    sizes = [0.35, 0.34, 0.31, 0.4, 0.33, 0.27, 0.5, 0.26, 0.24, 0.45, 0.29, 0.26]  # four GPUs, each filled to the brim
    packing = packed(*(tenant(f"m{n}", size * 100) for n, size in enumerate(sizes)), gib=100, gpus=12)
    assert len(packing.cards) == 4
    assert packing.is_proven


@pytest.mark.parametrize("seed", range(0, 60, 6))
def test_half_of_the_gpus_hold_everything_on_demand_and_none_is_overfull(seed: int) -> None:
    fleet = random_fleet(seed)
    half = max(1, len(pack(fleet).cards) // 2)
    packing = pack(replace(fleet, kinds=(replace(fleet.kinds[0], count=half),), disk_bytes_per_s=2e9))
    assert len(packing.cards) <= half
    assert all(card.used_bytes <= card.memory_bytes for card in packing.cards)
    lying = [one for card in packing.cards for one in card.lying]
    assert sorted(one.tenant for one in lying) == sorted(one.name for one in fleet.tenants)
    assert {one.tenant for one in lying if one.is_on_demand} == set(packing.on_demand) != set()
