"""A traffic split over regions: who is served where, and what the loss of a region does."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest

from tritonsmith.generator.errors import AnswerIsNo, UsageError
from tritonsmith.perf.plan.core import Figure, Objectives, Serving, Spread, Traffic
from tritonsmith.perf.plan.regions.core import RegionalPlan, Regions
from tritonsmith.perf.plan.regions.split import plan_regions
from tritonsmith.perf.plan.regions.text import regions_text
from tritonsmith.perf.plan.replicas.replica import KEEPS_UP, Replica, highest_rate, most_per_s

TRAFFIC, OBJECTIVES = Traffic(40, 100, 50), Objectives(ttft_ms=300)
SHARES = {"europe": 0.5, "america": 0.4, "asia": 0.1}
ROUND_TRIP_MS = {
    "europe": {"europe": 10.0, "america": 90.0, "asia": 180.0},
    "america": {"europe": 90.0, "america": 20.0, "asia": 150.0},
    "asia": {"europe": 180.0, "america": 150.0, "asia": 30.0},
}


@dataclass(frozen=True)
class Linear:
    source: str = "by hand"

    def prefill_s(self, tokens: float, context: float) -> float:
        return 0.010 + tokens * 1e-4

    def decode_s(self, sequences: float, context: float) -> float:
        return 0.010 + sequences * 1e-3


REGIONS = Regions(SHARES, ROUND_TRIP_MS)
REPLICA = Replica(Linear(), Serving(Spread(), "bf16", "bf16", max_batch_size=8, max_num_tokens=1000), 10_000)


@pytest.fixture(scope="module", autouse=True)
def few_requests() -> Iterator[None]:
    """Simulate fewer requests than usual: what is tested here does not hang on the last per cent."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tritonsmith.perf.plan.replicas.replica.REQUESTS", 2000)
        yield


@pytest.fixture(scope="module")
def plan() -> RegionalPlan:
    return plan_regions(REPLICA, TRAFFIC, OBJECTIVES, REGIONS)


def apart(others_ms: float) -> dict[str, dict[str, float]]:
    """Return the matrix with so many milliseconds between any two regions."""
    return {home: {**dict.fromkeys(row, others_ms), home: row[home]} for home, row in ROUND_TRIP_MS.items()}


def test_users_of_a_lost_region_go_where_the_round_trip_is_shortest(plan: RegionalPlan) -> None:
    assert plan.spill_over == {
        "europe": ("america", "asia"),
        "america": ("europe", "asia"),
        "asia": ("america", "europe"),
    }


def test_each_region_has_replicas_for_its_own_users_and_a_spare_one(plan: RegionalPlan) -> None:
    most = most_per_s(REPLICA, TRAFFIC)
    highest = highest_rate(REPLICA, TRAFFIC, replace(OBJECTIVES, ttft_ms=290.0), most)
    assert plan.replicas["europe"] == -int(-20 // highest) + 1
    assert plan.replicas["asia"] == 2
    assert all(users.share_within >= OBJECTIVES.share and users.home == users.served_in for users in plan.users)
    assert [users.rate_per_s for users in plan.users] == pytest.approx([20, 16, 4])


def test_a_loss_moves_everybody_or_says_for_how_many_there_is_no_room(plan: RegionalPlan) -> None:
    for loss in plan.losses:
        moved = [users for users in loss.users if users.home == loss.region]
        assert sum(users.rate_per_s for users in moved) + loss.refused_per_s == pytest.approx(SHARES[loss.region] * 40)
        assert loss.region not in loss.utilisation
        assert all(share < 1 for share in loss.utilisation.values())
    assert plan.losses[0].refused_per_s > 0  # of half of all users


def test_a_loss_makes_the_others_fuller_and_the_moved_ones_travel(plan: RegionalPlan) -> None:
    loss = plan.losses[0]
    america = next(users for users in loss.users if (users.home, users.served_in) == ("america", "america"))
    moved = next(users for users in loss.users if (users.home, users.served_in) == ("europe", "america"))
    assert moved.ttft_p99_ms.value - america.ttft_p99_ms.value == pytest.approx(90 - 20)
    assert loss.utilisation["america"] > 16 / plan.replicas["america"] / most_per_s(REPLICA, TRAFFIC)
    assert moved.share_within < america.share_within


def test_users_keep_to_the_objectives_with_the_network_counted(plan: RegionalPlan) -> None:
    everybody = [*plan.users, *(one for loss in plan.losses for one in loss.users)]
    assert all(one.share_within >= OBJECTIVES.share and one.ttft_p99_ms.value <= 300 for one in everybody)


def test_replicas_that_survive_a_loss_answer_the_lost_users_in_time_though_they_are_far(plan: RegionalPlan) -> None:
    far = apart(200.0)
    surviving = plan_regions(REPLICA, TRAFFIC, OBJECTIVES, Regions(SHARES, far, survive=True))
    assert sum(surviving.replicas.values()) > sum(plan.to_survive.values())
    for loss in surviving.losses:
        assert loss.refused_per_s == 0
        assert all(one.share_within >= OBJECTIVES.share for one in loss.users)


def test_a_loss_after_which_no_other_region_is_near_enough_is_not_survived() -> None:
    far = apart(600.0)
    found = plan_regions(REPLICA, TRAFFIC, OBJECTIVES, Regions(SHARES, far))
    assert found.to_survive == found.replicas
    assert [loss.refused_per_s for loss in found.losses] == pytest.approx([20, 16, 4])
    assert "20.0 requests/s find no room; the other regions are too far off" in regions_text(found)
    with pytest.raises(AnswerIsNo, match=r"loss of region europe cannot be survived.*600 ms from the nearest, america"):
        plan_regions(REPLICA, TRAFFIC, OBJECTIVES, Regions(SHARES, far, survive=True))


def test_with_enough_replicas_no_loss_leaves_anybody_without_room(plan: RegionalPlan) -> None:
    assert all(plan.to_survive[name] >= count for name, count in plan.replicas.items())
    assert sum(plan.to_survive.values()) > sum(plan.replicas.values())
    surviving = plan_regions(REPLICA, TRAFFIC, OBJECTIVES, replace(REGIONS, survive=True), price=2.5)
    assert surviving.replicas == plan.to_survive == surviving.to_survive
    assert surviving.cost_per_hour == 2.5 * sum(plan.to_survive.values())
    assert [loss.refused_per_s for loss in surviving.losses] == [0, 0, 0]
    assert all(share < KEEPS_UP for loss in surviving.losses for share in loss.utilisation.values())


def test_times_and_replicas_are_told_for_steps_that_take_less_and_more_time(plan: RegionalPlan) -> None:
    off = Figure(1000, 1000 / 1.3, 1000 * 1.3, "test")
    found = plan_regions(REPLICA, TRAFFIC, OBJECTIVES, REGIONS, full=off)
    assert found.replicas == plan.replicas
    for name, count in found.replicas.items():
        low, high = found.between[name]
        assert low <= count <= high
    assert found.between["europe"][0] < found.between["europe"][1]
    for users in (*found.users, *(one for loss in found.losses for one in loss.users)):
        assert users.ttft_p99_ms.low < users.ttft_p99_ms.value < users.ttft_p99_ms.high
    surviving = plan_regions(REPLICA, TRAFFIC, OBJECTIVES, replace(REGIONS, survive=True), full=off)
    more = surviving.replicas["america"] - found.replicas["america"]
    assert surviving.between["america"] == tuple(end + more for end in found.between["america"])
    assert more > 0
    assert (plan.between, plan.users[0].ttft_p99_ms.low) == ({}, plan.users[0].ttft_p99_ms.high)


def test_one_region_has_nobody_to_help_it() -> None:
    plan = plan_regions(REPLICA, TRAFFIC, OBJECTIVES, Regions({"here": 3.0}, {"here": {"here": 0.0}}))
    assert (plan.spill_over, plan.losses, plan.to_survive) == ({"here": ()}, (), plan.replicas)


def test_a_network_that_takes_all_the_time_is_answered_with_no_and_the_region() -> None:
    slow = {**ROUND_TRIP_MS, "asia": {**ROUND_TRIP_MS["asia"], "asia": 290.0}}
    with pytest.raises(AnswerIsNo, match=r"region asia: an idle replica is too slow.*290 ms taken off"):
        plan_regions(REPLICA, TRAFFIC, OBJECTIVES, Regions(SHARES, slow))
    slow["asia"]["asia"] = 300.0
    with pytest.raises(AnswerIsNo, match=r"region asia: the network takes 300 ms"):
        plan_regions(REPLICA, TRAFFIC, OBJECTIVES, Regions(SHARES, slow))


def test_a_matrix_with_holes_is_refused_and_names_the_first() -> None:
    with pytest.raises(UsageError, match="no round trip from europe to asia"):
        holes = {**ROUND_TRIP_MS, "europe": {"europe": 1.0, "america": 2.0}}
        plan_regions(REPLICA, TRAFFIC, OBJECTIVES, Regions(SHARES, holes))
    with pytest.raises(UsageError, match="not shares"):
        plan_regions(REPLICA, TRAFFIC, OBJECTIVES, Regions({"a": 0.0}, {"a": {"a": 0.0}}))
