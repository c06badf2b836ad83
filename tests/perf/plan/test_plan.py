"""The pick: the cheapest way that meets what is asked, the others with their reasons."""

import math
from dataclasses import replace
from pathlib import Path

import pytest

from tests.perf.plan.small_models import DENSE, LARGE, quick, write_config
from tritonsmith.generator.errors import UsageError
from tritonsmith.perf.plan.core import LanguageModel, Objectives, Traffic
from tritonsmith.perf.plan.models.read import read_model
from tritonsmith.perf.plan.options import Wishes
from tritonsmith.perf.plan.plan import Found, find, would_fit

TRAFFIC = Traffic(20, 200, 20)
WISHES = Wishes(("H100-SXM-80GB",), TRAFFIC, Objectives(ttft_ms=500), max_gpus=2)


@pytest.fixture(autouse=True)
def short_simulations(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which way is picked shows in short simulations, too."""
    monkeypatch.setattr("tritonsmith.perf.plan.replicas.replica.REQUESTS", 800)


@pytest.fixture
def small(tmp_path: Path) -> LanguageModel:
    return read_model(write_config(tmp_path, DENSE))


@pytest.fixture
def large(tmp_path: Path) -> LanguageModel:
    return read_model(write_config(tmp_path, LARGE))


def gpus_of(found: Found) -> list[int]:
    return [one.gpus for one in found.candidates if one.replicas]


def test_the_pick_takes_the_fewest_gpus_of_all_that_meet_what_is_asked(small: LanguageModel) -> None:
    found = find(small, WISHES, quick)
    assert found.pick is not None
    assert found.pick.gpus == min(gpus_of(found))
    assert gpus_of(found) == sorted(gpus_of(found))
    assert found.pick.serving.spread.gpus == 1  # of ways that cost as much, that with the smallest replica
    assert "the fewest GPUs" in found.reason


@pytest.mark.parametrize("rate_per_s", [0.0, math.nan, math.inf])
def test_a_rate_that_is_none_is_refused(small: LanguageModel, rate_per_s: float) -> None:
    with pytest.raises(UsageError, match="no traffic"):
        find(small, replace(WISHES, traffic=replace(TRAFFIC, rate_per_s=rate_per_s)), quick)


@pytest.mark.parametrize(
    ("traffic", "words"),
    [
        (Traffic(1, 9000, 10), "a request of 9,010 tokens is longer than the 8,192 positions of some/Small-1B"),
        (Traffic(1, 20, 10, ((0.0, 20, 10), (1.0, 8192, 1))), "the longest recorded request of 8,193 tokens is longer"),
    ],
)
def test_requests_longer_than_the_models_positions_are_refused_before_any_cache_is_looked_at(
    small: LanguageModel, traffic: Traffic, words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        find(small, replace(WISHES, gpus=("L4",), traffic=traffic), quick)


def test_prices_decide_between_gpus(small: LanguageModel) -> None:
    both = replace(WISHES, gpus=("H100-SXM-80GB", "L40S"), max_gpus=1)
    cheap_l40s = find(small, replace(both, prices={"H100-SXM-80GB": 3.0, "L40S": 1.0}), quick)
    cheap_h100 = find(small, replace(both, prices={"H100-SXM-80GB": 1.0, "L40S": 3.0}), quick)
    assert cheap_l40s.pick is not None and cheap_l40s.pick.gpu == "L40S"
    assert cheap_h100.pick is not None and cheap_h100.pick.gpu == "H100-SXM-80GB"
    assert cheap_h100.pick.cost_per_hour is not None
    assert cheap_h100.pick.cost_per_hour.value == cheap_h100.pick.gpus * 1.0
    tokens_per_hour = TRAFFIC.rate_per_s * TRAFFIC.output_tokens * 3600
    assert cheap_h100.pick.cost_per_million_tokens is not None
    assert cheap_h100.pick.cost_per_million_tokens.value == pytest.approx(cheap_h100.pick.gpus * 1e6 / tokens_per_hour)


def test_a_tie_is_told_with_what_decided_it(small: LanguageModel) -> None:
    idle = replace(WISHES, traffic=replace(TRAFFIC, rate_per_s=0.1), gpus=("H100-SXM-80GB", "H200-SXM-141GB"))
    reason = find(small, replace(idle, max_gpus=1), quick).reason
    assert reason.endswith("would take as much, but the slowest answers are no faster")


def test_of_equals_the_one_with_the_smaller_replica_is_picked_though_it_is_slower(small: LanguageModel) -> None:
    found = find(small, replace(WISHES, traffic=replace(TRAFFIC, rate_per_s=70), spare=0, max_gpus=2), quick)
    first, second = found.candidates[:2]
    assert first.replicas and second.replicas and first.gpus == second.gpus == 2
    assert first.replicas.tails.latency_ms[0.99] > second.replicas.tails.latency_ms[0.99]
    assert found.reason.endswith("TP2 bf16, KV bf16 would take as much, but more GPUs are lost with one replica")


def test_a_spare_replica_is_on_top_of_those_that_answer(small: LanguageModel) -> None:
    with_spare, without = (find(small, replace(WISHES, spare=spare, max_gpus=1), quick).pick for spare in (1, 0))
    assert with_spare is not None and with_spare.replicas is not None
    assert without is not None and without.replicas is not None
    assert with_spare.replicas.total == without.replicas.total + 1


def test_a_model_that_does_not_fit_says_what_lacks_and_what_would_fit(large: LanguageModel) -> None:
    wishes = replace(WISHES, max_gpus=1)
    found = find(large, wishes, quick)
    assert found.pick is None
    (only,) = found.candidates
    assert only.problem.startswith("does not fit: 13")
    hints = list(would_fit(large, wishes, found.candidates))
    assert any(hint.startswith("would fit: --weights int4") for hint in hints)
    assert find(large, replace(wishes, weights=("int4",)), quick).pick is not None


def test_objectives_that_no_replica_meets_are_a_no_with_the_time(small: LanguageModel) -> None:
    found = find(small, replace(WISHES, objectives=Objectives(tpot_ms=1), max_gpus=2), quick)
    assert not found.is_pick
    assert all("TPOT" in one.problem and "exceeds 1 ms" in one.problem for one in found.candidates if one.throughput)


def test_without_a_traffic_the_fewest_gpus_that_hold_the_model_are_told(large: LanguageModel) -> None:
    found = find(large, Wishes(("L4", "H100-SXM-80GB"), None, Objectives()), quick)
    assert found.pick is not None
    assert (found.pick.gpu, found.pick.serving.spread.tensor) == ("H100-SXM-80GB", 2)
    assert found.pick.replicas is None


def test_what_can_only_cost_much_more_is_not_simulated_but_said(small: LanguageModel) -> None:
    told: list[str] = []
    found = find(small, replace(WISHES, traffic=replace(TRAFFIC, rate_per_s=1), max_gpus=8), quick, told.append)
    skipped = [one for one in found.candidates if "not simulated" in one.problem]
    assert {one.serving.spread.tensor for one in skipped} == {4, 8}
    assert len(told) == len(gpus_of(found))


def test_ways_that_may_be_the_cheapest_are_simulated_however_many_fail_before(
    small: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tritonsmith.perf.plan.plan.MOST_SIMULATED", 1)
    slow_but_on_four = replace(WISHES, objectives=Objectives(tpot_ms=8), max_gpus=4)
    found = find(small, slow_but_on_four, quick)
    assert found.pick is not None
    assert found.pick.serving.spread.tensor == 4


def test_without_a_traffic_prices_decide_and_the_reason_says_so(small: LanguageModel) -> None:
    wishes = Wishes(("H100-SXM-80GB", "L40S"), None, Objectives(), prices={"H100-SXM-80GB": 1.0, "L40S": 3.0})
    found = find(small, wishes, quick)
    assert found.pick is not None and found.pick.gpu == "H100-SXM-80GB"
    assert found.reason == "the cheapest GPUs that hold it; no traffic was given"


def test_the_same_question_has_the_same_answer(small: LanguageModel) -> None:
    wishes = replace(WISHES, max_gpus=1)
    assert find(small, wishes, quick) == find(small, wishes, quick)
