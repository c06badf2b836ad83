"""In-flight batching against schedules computed by hand, a simulation step by step, and queueing theory."""

import random
from collections import deque
from dataclasses import dataclass

import numpy as np
import pytest

from tritonsmith.perf.plan.core import Serving, Spread, Traffic
from tritonsmith.perf.plan.replicas.arrivals import arrivals_at
from tritonsmith.perf.plan.replicas.inflight import serve, step_s


@dataclass(frozen=True)
class Linear:
    """10 ms a step, 0.1 ms for each token of a prompt, 1 ms for each sequence, and a little by context."""

    by_context_s: float = 0.0
    source: str = "by hand"

    def prefill_s(self, tokens: float, context: float) -> float:
        return 0.010 + tokens * (1e-4 + context * self.by_context_s)

    def decode_s(self, sequences: float, context: float) -> float:
        return 0.010 + sequences * (1e-3 + context * self.by_context_s)


def serving(sequences: int = 8, tokens: int = 1000) -> Serving:
    return Serving(Spread(), "bf16", "bf16", max_batch_size=sequences, max_num_tokens=tokens)


def test_a_request_alone_takes_its_prompt_and_a_step_for_each_further_token() -> None:
    served = serve(Linear(), serving(), 10_000, [(1.0, 100, 5)])
    assert served.ttft_ms[0] == pytest.approx(20)
    assert served.tpot_ms[0] == pytest.approx(11)
    assert served.latency_ms[0] == pytest.approx(20 + 4 * 11)
    assert served.busy_s == pytest.approx(0.064)


def test_a_prompt_joins_between_steps_and_is_read_while_others_generate() -> None:
    served = serve(Linear(), serving(), 10_000, [(0.0, 100, 5), (0.025, 100, 1)])
    # read until 20 ms, a step until 31, then one that does both: 11 ms and a tenth of a full step's 110
    assert served.ttft_ms.tolist() == pytest.approx([20, 31 + 22 - 25])
    assert served.latency_ms.tolist() == pytest.approx([20 + 11 + 22 + 2 * 11, 28])


def test_a_long_prompt_is_read_in_parts_and_holds_nobody_up_for_longer_than_one() -> None:
    served = serve(Linear(), serving(tokens=101), 10_000, [(0.0, 10, 20), (0.012, 300, 1)])
    part_ms = 11 + 100 / 101 * 20.1
    assert served.ttft_ms[1] == pytest.approx(22 + 3 * part_ms - 12)
    assert served.tpot_ms[0] == pytest.approx((11 + 3 * part_ms + 15 * 11) / 19)


def test_a_request_waits_until_the_cache_has_room_for_all_that_it_may_generate() -> None:
    arrivals = [(0.0, 100, 5), (0.0, 100, 5)]
    both, one = (serve(Linear(), serving(), kv_tokens, arrivals) for kv_tokens in (210, 209))
    assert both.ttft_ms[1] < 35
    assert one.ttft_ms[1] == pytest.approx(one.latency_ms[0] + 20)


def test_no_more_sequences_are_in_flight_than_allowed() -> None:
    served = serve(Linear(), serving(sequences=1), 10_000, [(0.0, 100, 5)] * 3)
    assert served.latency_ms.tolist() == pytest.approx([64, 128, 192])


def test_a_request_that_never_fits_is_refused_and_holds_up_nobody() -> None:
    served = serve(Linear(), serving(), 100, [(0.0, 100, 1), (0.0, 10, 2)])
    assert np.isinf([served.ttft_ms[0], served.tpot_ms[0], served.latency_ms[0]]).all()
    assert served.latency_ms[1] == pytest.approx(22)


def test_what_is_in_the_cache_is_not_read_but_takes_room() -> None:
    served = serve(Linear(), serving(), 210, [(0.0, 100, 5), (0.0, 100, 5), (0.0, 100, 5)], prefix_share=0.5)
    assert served.ttft_ms[:2].tolist() == pytest.approx([20, 20])  # both in one step
    assert served.ttft_ms[2] > served.latency_ms[0]


def test_beside_sequences_a_prompt_takes_its_part_of_a_full_step() -> None:
    full_s = 0.010 + 1000 * 1e-4
    assert step_s(Linear(), 1000, 100, 0, 10, 50) == pytest.approx(0.020 + 0.1 * full_s)
    assert step_s(Linear(), 1000, 100, 0, 0, 0) == pytest.approx(0.020)
    assert step_s(Linear(), 1000, 100, 0, 1, 50) == pytest.approx(max(0.020, 0.011 + 0.1 * full_s))


def test_a_pipeline_shows_in_the_first_token_and_not_between_the_others() -> None:
    limits = Serving(Spread(pipeline=3), "bf16", "bf16", max_batch_size=8, max_num_tokens=1000)
    served = serve(Linear(), limits, 10_000, [(0.0, 100, 5)])
    assert served.ttft_ms[0] == pytest.approx(3 * 20)
    assert served.tpot_ms[0] == pytest.approx(11)


def test_a_rank_reads_its_prompt_alone() -> None:
    limits = Serving(Spread(data=4, expert=4), "bf16", "bf16", max_batch_size=8, max_num_tokens=1000)
    served = serve(Linear(), limits, 10_000, [(0.0, 100, 5)])
    assert served.ttft_ms[0] == pytest.approx(10 + 4 * 10)


def test_one_sequence_at_a_time_of_one_token_is_a_queue_with_constant_service() -> None:
    load, service_s = 0.7, 0.020
    arrivals = arrivals_at(Traffic(load / service_s, 100, 1), load / service_s, 40_000, seed=3)
    served = serve(Linear(), serving(sequences=1), 10_000, arrivals)
    wait_ms = load * service_s / (2 * (1 - load)) * 1e3  # Pollaczek and Khinchine, M/D/1
    assert served.ttft_ms.mean() - 20 == pytest.approx(wait_ms, rel=0.05)


@pytest.mark.parametrize("seed", range(5))
def test_many_steps_at_once_are_the_same_as_one_by_one(seed: int) -> None:
    draw = random.Random(seed)
    times, limits, kv_tokens = Linear(1e-7), serving(6, 150), 900.0
    arrivals, now_s = [], 0.0
    for _ in range(200):
        now_s += draw.expovariate(6)
        arrivals.append((now_s, draw.randint(1, 400), draw.randint(1, 60)))
    served = serve(times, limits, kv_tokens, arrivals)
    first_s, answered_s = one_by_one(times, limits, kv_tokens, arrivals)
    assert served.first_token_s == pytest.approx(np.array(first_s), abs=0.003)
    assert served.answered_s == pytest.approx(np.array(answered_s), abs=0.003)


def one_by_one(
    times: Linear, limits: Serving, kv_tokens: float, arrivals: list[tuple[float, int, int]]
) -> tuple[list[float], list[float]]:
    """In-flight batching, one step after the other."""
    first_s, answered_s = [0.0] * len(arrivals), [0.0] * len(arrivals)
    waiting, reading = deque(range(len(arrivals))), deque[list[int]]()
    generating: dict[int, int] = {}  # request: tokens that it has
    now_s, reserved = 0.0, 0
    while waiting or reading or generating:
        if not reading and not generating:
            now_s = max(now_s, arrivals[waiting[0]][0])
        while waiting and arrivals[waiting[0]][0] <= now_s and len(reading) + len(generating) < limits.max_batch_size:
            size = sum(arrivals[waiting[0]][1:])
            if reserved + size > kv_tokens:
                break
            reserved += size
            reading.append([waiting.popleft(), 0])
        left, tokens, pairs = limits.max_num_tokens - len(generating), 0, 0.0
        begun = []
        for part in reading:
            size = min(left, arrivals[part[0]][1] - part[1])
            pairs += size * (part[1] + size / 2)
            part[1], tokens, left = part[1] + size, tokens + size, left - size
            if part[1] == arrivals[part[0]][1]:
                begun.append(part[0])
        context = sum(arrivals[r][1] + n for r, n in generating.items()) / max(1, len(generating))
        if tokens:
            now_s += step_s(times, limits.max_num_tokens, tokens, pairs / tokens, len(generating), context)
        else:
            now_s += times.decode_s(len(generating), context)
        for request in [*generating, *begun]:
            generating[request] = generating.get(request, 0) + 1
            if request in begun:
                first_s[request] = now_s
                reading.popleft()
            if generating[request] == arrivals[request][2]:
                answered_s[request] = now_s
                reserved -= sum(arrivals[request][1:])
                del generating[request]
    return first_s, answered_s
