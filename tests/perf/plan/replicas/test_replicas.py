"""How many replicas: against queueing theory where there is any, and what must hold of any answer."""

import math
from dataclasses import dataclass, replace

import pytest

from tritonsmith.generator.errors import AnswerIsNo, UsageError
from tritonsmith.perf.plan.core import Figure, Memory, Objectives, Serving, Spread, Traffic, exact
from tritonsmith.perf.plan.replicas.arrivals import arrivals_at, traffic_rate_per_s
from tritonsmith.perf.plan.replicas.replica import KEEPS_UP, Replica, highest_rate, most_per_s
from tritonsmith.perf.plan.replicas.replicas import replicas
from tritonsmith.perf.plan.replicas.speeds import Speed
from tritonsmith.perf.plan.steps.remembered import RememberedTimes, rounded

TRAFFIC = Traffic(20, 100, 50)
SERVING = Serving(Spread(), "bf16", "bf16", max_batch_size=8, max_num_tokens=1000)
ROOM = Memory(8e10, (), 1.0, 0.0, exact(10_000, "test"), exact(5e10, "test"))


@dataclass(frozen=True)
class Linear:
    source: str = "by hand"

    def prefill_s(self, tokens: float, context: float) -> float:
        return 0.010 + tokens * 1e-4

    def decode_s(self, sequences: float, context: float) -> float:
        return 0.010 + sequences * 1e-3


REPLICA = Replica(Linear(), SERVING, 10_000)


@pytest.fixture(autouse=True)
def few_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Simulate fewer requests than usual: what is tested here does not hang on the last per cent."""
    monkeypatch.setattr("tritonsmith.perf.plan.replicas.replica.REQUESTS", 2000)


def test_a_full_replica_does_what_its_steps_allow() -> None:
    # of 8 sequences each begins with a step that reads, in which the other seven go on, and has 49 more steps
    by_hand = 8 / (8 * (0.010 + 0.010 + 0.006) + (49 - 7) * 0.018)
    assert most_per_s(REPLICA, TRAFFIC) == pytest.approx(by_hand, rel=0.02)


def test_a_cache_for_fewer_sequences_limits_what_is_in_flight() -> None:
    narrow = Replica(Linear(), SERVING, 2 * 150)
    assert most_per_s(narrow, TRAFFIC) == pytest.approx(2 / (2 * (0.020 + 0.001 - 0.001) + 48 * 0.012), rel=0.03)
    with pytest.raises(AnswerIsNo, match="150 tokens does not go into a cache of 149"):
        most_per_s(Replica(Linear(), SERVING, 149), TRAFFIC)


def test_without_objectives_a_replica_gets_what_it_keeps_up_with() -> None:
    most = most_per_s(REPLICA, TRAFFIC)
    assert highest_rate(REPLICA, TRAFFIC, Objectives(), most) == pytest.approx(KEEPS_UP * most)


def test_one_sequence_at_a_time_is_a_queue_with_constant_service() -> None:
    one = Replica(Linear(), Serving(Spread(), "bf16", "bf16", max_batch_size=1), 10_000)
    short = Traffic(20, 100, 1)  # 20 ms each
    rate = highest_rate(one, short, Objectives(latency_ms=100), most_per_s(one, short))
    # M/D/1: P(wait > t) ~ exp(-2 (1 - load) / load t / service) near a load of 1; a hundredth at t = 4 services
    assert 0.5 < rate * 0.020 < 0.75


def test_replicas_keep_to_the_objectives_with_the_spare_one_down() -> None:
    found = replicas(Linear(), SERVING, ROOM, TRAFFIC, Objectives(ttft_ms=200, tpot_ms=22))
    assert found.working == math.ceil(20 / found.rate_per_replica.value)
    assert (found.spare, found.surge, found.total) == (1, 0, found.working + 1)
    assert found.tails.share_within >= 0.99
    assert found.tails_all_up.ttft_ms[0.99] <= found.tails.ttft_ms[0.99] <= 200
    assert found.tails_all_up.utilisation < found.tails.utilisation < 1


def test_where_a_lower_rate_meets_a_worse_moment_more_replicas_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Speed, "highest", lambda speed, objectives: 19.0)  # more than holds
    found = replicas(Linear(), SERVING, ROOM, TRAFFIC, Objectives(ttft_ms=100))
    assert found.working > 2
    assert found.tails.share_within >= 0.99
    assert found.rate_per_replica.value == TRAFFIC.rate_per_s / found.working


def test_a_replica_that_is_asked_seldom_is_busy_as_long_as_its_requests_take() -> None:
    alone_s = 0.010 + 100 * 1e-4 + 49 * 0.011
    seldom = Speed(REPLICA, TRAFFIC, 1.0, seed=0).tails(0.01, Objectives())
    assert seldom.busy == pytest.approx(0.01 * alone_s, rel=0.1)
    assert Speed(REPLICA, TRAFFIC, 1.0, seed=0).tails(15.0, Objectives()).busy > 0.95


def test_a_roll_out_leaves_one_replica_out_at_a_time() -> None:
    one, two = (replicas(Linear(), SERVING, ROOM, TRAFFIC, Objectives(ttft_ms=200), spare=spare) for spare in (1, 2))
    assert one.rolling == one.tails
    assert two.rolling == one.tails_all_up


def test_one_replica_less_does_not() -> None:
    objectives = Objectives(ttft_ms=200)
    found = replicas(Linear(), SERVING, ROOM, TRAFFIC, objectives)
    less = Speed(REPLICA, TRAFFIC, 1.0, seed=0).tails(20 / (found.working - 1), objectives)
    assert less.share_within < 0.99


def test_tighter_objectives_never_need_fewer() -> None:
    counts = [
        replicas(Linear(), SERVING, ROOM, TRAFFIC, Objectives(ttft_ms=ttft_ms), spare=0).working
        for ttft_ms in (2000, 500, 100, 40)
    ]
    assert counts == sorted(counts)
    assert counts[0] < counts[-1]


def test_bursts_need_more_than_random_arrivals() -> None:
    bursty = Traffic(20, 100, 50, bursts=4.0)
    calm, wild = (
        replicas(Linear(), SERVING, ROOM, t, Objectives(ttft_ms=300), spare=0).working for t in (TRAFFIC, bursty)
    )
    assert calm < wild


def test_where_steps_may_take_longer_the_rate_says_so() -> None:
    off = Figure(1000, 1000 / 1.3, 1200, "steps may take 1.3 times as long, or 1.2 times less")
    found = replicas(Linear(), SERVING, ROOM, TRAFFIC, Objectives(ttft_ms=200), full=off)
    rate = found.rate_per_replica
    assert rate.value / 1.6 < rate.low < rate.value / 1.25
    assert rate.value * 1.15 < rate.high < rate.value * 1.4
    hopeless = replicas(Linear(), SERVING, ROOM, TRAFFIC, Objectives(tpot_ms=13), full=off).rate_per_replica
    assert hopeless.low == 0 < hopeless.value  # a step of one sequence takes 11 ms, 14.3 at worst


def test_tails_are_told_for_steps_that_take_less_and_more_time() -> None:
    off = Figure(1000, 1000 / 1.2, 1000 * 1.2, "test")
    found = replicas(Linear(), SERVING, ROOM, TRAFFIC, Objectives(ttft_ms=200), full=off)
    assert found.fast is not None and found.slow is not None
    assert found.fast.ttft_ms[0.99] < found.tails.ttft_ms[0.99] < found.slow.ttft_ms[0.99] < math.inf
    assert found.fast.tpot_ms[0.5] == pytest.approx(found.tails.tpot_ms[0.5] / 1.2, rel=0.2)
    full = replicas(Linear(), SERVING, ROOM, TRAFFIC, Objectives(), full=off)  # as much as each keeps up with
    assert full.slow is not None and full.slow.latency_ms[0.5] == math.inf
    certain = replicas(Linear(), SERVING, ROOM, TRAFFIC, Objectives(ttft_ms=200))
    assert (certain.fast, certain.slow) == (None, None)


@pytest.mark.parametrize("rate_per_s", [1e-9, 0.3, 20, 2000])
def test_the_rate_that_is_told_needs_the_replicas_that_are_told(rate_per_s: float) -> None:
    found = replicas(Linear(), SERVING, ROOM, replace(TRAFFIC, rate_per_s=rate_per_s), Objectives(ttft_ms=200))
    assert found.working == max(1, math.ceil(rate_per_s / found.rate_per_replica.value - 1e-9))


def test_a_recording_of_three_requests_is_enough_for_many_replicas() -> None:
    few = Traffic(0, 0, 0, arrivals=((0.0, 100, 50), (1.0, 100, 50), (2.0, 100, 50)))
    found = replicas(Linear(), SERVING, ROOM, few, Objectives(ttft_ms=200), spare=40)
    assert (found.working, found.tails.share_within) == (1, 1.0)
    assert arrivals_at(few, 1e-6, 100, seed=0) == [(0.0, 100, 50)]


def test_a_replica_that_is_too_slow_when_idle_is_answered_with_no_and_the_number() -> None:
    with pytest.raises(AnswerIsNo, match=r"idle replica is too slow: TTFT 20\.0 ms exceeds 15 ms"):
        replicas(Linear(), SERVING, ROOM, TRAFFIC, Objectives(ttft_ms=15))
    with pytest.raises(AnswerIsNo, match=r"TPOT 11\.0 ms exceeds 10 ms"):
        replicas(Linear(), SERVING, ROOM, TRAFFIC, Objectives(tpot_ms=10))


def test_without_a_spare_replica_a_roll_out_brings_one_more() -> None:
    found = replicas(Linear(), SERVING, ROOM, TRAFFIC, Objectives(), spare=0)
    assert (found.spare, found.surge) == (0, 1)
    assert found.tails == found.tails_all_up
    assert found.rolling is not None and found.rolling.latency_ms[0.5] == math.inf  # those that are left fall behind
    slow = replicas(Linear(), SERVING, ROOM, replace(TRAFFIC, rate_per_s=1.0), Objectives(), spare=0)
    assert (slow.working, slow.rolling) == (1, None)
    with pytest.raises(UsageError, match="-1 spare"):
        replicas(Linear(), SERVING, ROOM, TRAFFIC, Objectives(), spare=-1)


def test_recorded_arrivals_are_shared_out_at_random() -> None:
    recorded = Traffic(0, 0, 0, arrivals=tuple((place * 0.05, 100, 50) for place in range(1000)))
    assert traffic_rate_per_s(recorded) == pytest.approx(20)
    part = arrivals_at(recorded, 5.0, 10_000, seed=1)
    assert len(part) == pytest.approx(1000, rel=0.1)  # four replicas' parts, one after the other
    assert part == sorted(part)
    assert part == arrivals_at(recorded, 5.0, 10_000, seed=1)
    even, random = (replicas(Linear(), SERVING, ROOM, t, Objectives(ttft_ms=300), spare=0) for t in (recorded, TRAFFIC))
    assert abs(even.working - random.working) <= 1  # a random part of even arrivals is nearly random


def test_recorded_arrivals_that_one_replica_answers_need_no_second() -> None:
    slow = Traffic(0, 0, 0, arrivals=tuple((place * 5.0, 100, 50) for place in range(100)))
    found = replicas(Linear(), SERVING, ROOM, slow, Objectives(ttft_ms=300), spare=0)
    assert found.working == 1
    assert found.rate_per_replica.low == found.rate_per_replica.value == pytest.approx(0.2)
    assert found.rate_per_replica.high == pytest.approx(KEEPS_UP * most_per_s(REPLICA, slow))  # what more would do


def test_the_same_seed_gives_the_same_answer() -> None:
    first, second = (replicas(Linear(), SERVING, ROOM, TRAFFIC, Objectives(ttft_ms=200), seed=5) for _ in range(2))
    assert first == second


def test_remembered_times_are_asked_for_once_and_off_by_little() -> None:
    asked: list[float] = []

    class Times(Linear):
        def decode_s(self, sequences: float, context: float) -> float:
            asked.append(context)
            return sequences * context

    remembered = RememberedTimes(Times())
    found = [remembered.decode_s(3, context) for context in range(1000, 1100)]
    assert len(asked) < 10
    assert found == pytest.approx([3.0 * context for context in range(1000, 1100)], rel=0.008)
    assert remembered.prefill_s(1000, 0) == Linear().prefill_s(1000, 0)
    assert [rounded(number) for number in (0.0, 1.0, 64.0, -64.0)] == [0.0, 1.0, 64.0, -64.0]


def test_no_traffic_is_refused() -> None:
    for rate_per_s in (0, math.nan, math.inf):
        with pytest.raises(UsageError, match="no traffic"):
            replicas(Linear(), SERVING, ROOM, Traffic(rate_per_s, 100, 50), Objectives())
