from collections.abc import Callable

import pytest

from tritonsmith.perf.simulate import (
    ClosedLoop,
    DynamicBatching,
    Outcome,
    QueuePolicy,
    ServiceTimes,
    SimulatedModel,
    System,
    Trace,
    Traffic,
    simulate,
)

Replay = Callable[..., tuple[list[float], dict[int, int]]]
Constant = Callable[[float], ServiceTimes]


def test_without_a_batcher_every_request_is_an_execution(replay: Replay, constant_us: Constant) -> None:
    answers, sizes = replay(SimulatedModel(constant_us(100), 8, 2), [0, 0, 0])
    assert (answers, sizes) == ([100, 100, 200], {1: 3})


def test_an_idle_instance_takes_the_first_request_at_once_and_the_others_grow_a_batch(
    replay: Replay, constant_us: Constant
) -> None:
    answers, sizes = replay(SimulatedModel(constant_us(100), 8, 1, DynamicBatching()), [0, 10, 20, 30])
    assert (answers, sizes) == ([100, 200, 200, 200], {1: 1, 3: 1})


def test_a_batch_never_exceeds_the_maximum(replay: Replay, constant_us: Constant) -> None:
    model = SimulatedModel(constant_us(100), 4, 1, DynamicBatching())
    answers, sizes = replay(model, [0, *range(10, 20)])
    assert answers == [100, *[200] * 4, *[300] * 4, *[400] * 2]
    assert sizes == {1: 1, 4: 2, 2: 1}


def test_rows_count_not_requests(replay: Replay, constant_us: Constant) -> None:
    model = SimulatedModel(constant_us(100), 8, 1, DynamicBatching())
    answers, sizes = replay(model, [0, 10, 11, 12], rows=[1, 3, 4, 2])
    assert (answers, sizes) == ([100, 200, 200, 300], {1: 1, 7: 1, 2: 1})


def test_without_a_delay_a_preferred_size_caps_batches(replay: Replay, constant_us: Constant) -> None:
    model = SimulatedModel(constant_us(100), 64, 1, DynamicBatching(preferred_batch_sizes=(4,)))
    _, sizes = replay(model, [0, *range(10, 20)])
    assert sizes == {1: 1, 4: 2, 2: 1}


def test_requests_of_three_rows_exceed_a_preferred_size_of_four(replay: Replay, constant_us: Constant) -> None:
    model = SimulatedModel(constant_us(100), 64, 1, DynamicBatching(preferred_batch_sizes=(4,)))
    _, sizes = replay(model, [0, 10, 20], rows=[3, 3, 3])
    assert sizes == {3: 1, 6: 1}


def test_a_delay_is_waited_for_in_full_though_the_instance_idles(replay: Replay, constant_us: Constant) -> None:
    model = SimulatedModel(constant_us(100), 8, 1, DynamicBatching(max_queue_delay_us=500))
    assert replay(model, [0]) == ([600], {1: 1})
    assert replay(model, [0, 400]) == ([600, 600], {2: 1})


def test_a_preferred_size_ends_the_delay(replay: Replay, constant_us: Constant) -> None:
    batching = DynamicBatching(preferred_batch_sizes=(2,), max_queue_delay_us=500)
    assert replay(SimulatedModel(constant_us(100), 8, 1, batching), [0, 60]) == ([160, 160], {2: 1})


def test_a_full_batch_ends_the_delay(replay: Replay, constant_us: Constant) -> None:
    model = SimulatedModel(constant_us(100), 3, 1, DynamicBatching(max_queue_delay_us=500))
    assert replay(model, [0, 60, 70, 80]) == ([170, 170, 170, 680], {3: 1, 1: 1})


def test_waiting_batches_older_than_the_delay_are_merged(replay: Replay, constant_us: Constant) -> None:
    batching = DynamicBatching(preferred_batch_sizes=(2,), max_queue_delay_us=100)
    answers, sizes = replay(SimulatedModel(constant_us(1000), 8, 1, batching), [0, *range(200, 211)])
    # batches of 3 and of 2 wait and are run as one; the 6 that found no room are late by then, so all go at once
    assert answers == [1100, *[2100] * 5, *[3100] * 6]
    assert sizes == {1: 1, 5: 1, 6: 1}


def test_a_request_joins_a_batch_that_waits_only_when_the_batcher_is_woken(
    replay: Replay, constant_us: Constant
) -> None:
    """With a delay the batcher sleeps until the next preferred size; a shape to check wakes it for every request."""
    batching = DynamicBatching(max_queue_delay_us=100)
    times = [0, 200, 400]  # the second request's batch waits from 300 on
    _, sizes = replay(SimulatedModel(constant_us(1000), 8, 1, batching), times)
    assert sizes == {1: 3}
    _, sizes = replay(SimulatedModel(constant_us(1000), 8, 1, batching, checks_shapes=True), times)
    assert sizes == {1: 1, 2: 1}


def test_order_is_preserved_where_asked(replay: Replay) -> None:
    service = ServiceTimes({1: 100, 4: 400})
    answers, _ = replay(SimulatedModel(service, 8, 2, DynamicBatching()), [0, 10], rows=[4, 1])
    assert answers == [400, 110]
    answers, _ = replay(SimulatedModel(service, 8, 2, DynamicBatching(preserve_ordering=True)), [0, 10], rows=[4, 1])
    assert answers == [400, 400]


def with_policy(constant: Constant, policy: QueuePolicy, size: int = 8) -> SimulatedModel:
    return SimulatedModel(constant(1000), size, 1, DynamicBatching(default_policy=policy))


def outcome_of(model: SimulatedModel, times_us: list[float], timeout_us: int = 0) -> Outcome:
    trace = Trace(tuple(time_us / 1e6 for time_us in times_us))
    return simulate(System({"m": model}), Traffic("m", trace, timeout_us=timeout_us), warmup_share=0)


def test_a_full_queue_refuses(constant_us: Constant) -> None:
    outcome = outcome_of(with_policy(constant_us, QueuePolicy(max_queue_size=1)), [0, 10, 20])
    assert (outcome.answered, outcome.refused) == (2, 1)


def test_with_a_queue_policy_requests_wait_for_the_next_arrival_or_half_a_second(
    replay: Replay, constant_us: Constant
) -> None:
    """Measured so on 2.51: four requests of 20 ms at once were answered after 22, 523, 1023 and 1523 ms."""
    model = with_policy(constant_us, QueuePolicy(max_queue_size=10))
    assert replay(model, [0, 10])[0] == [1000, 501_000]
    assert replay(model, [0, 10, 2000])[0] == [1000, 3000, 3000]
    assert replay(with_policy(constant_us, QueuePolicy()), [0, 10])[0] == [1000, 2000]


def test_a_timeout_counts_only_when_a_batch_is_formed(constant_us: Constant) -> None:
    model = with_policy(constant_us, QueuePolicy(default_timeout_us=100))
    outcome = outcome_of(model, [0, 10, 2000])
    assert (outcome.answered, outcome.refused) == (2, 1)
    assert outcome.traffic[0].answered_ns.tolist() == [1_000_000, 3_000_000]


def test_a_delayed_request_goes_after_those_in_time(constant_us: Constant) -> None:
    model = with_policy(constant_us, QueuePolicy("DELAY", default_timeout_us=100), size=1)
    outcome = outcome_of(model, [0, 10, 2000, 4000])
    assert outcome.refused == 0
    sent = [sent / 1e3 for sent in outcome.traffic[0].sent_ns]
    assert sent == [0, 2000, 4000, 10]


@pytest.mark.parametrize(("default_us", "refused"), [(0, 0), (5000, 1)])
def test_a_request_can_shorten_a_timeout_but_not_bring_one(
    constant_us: Constant, default_us: int, refused: int
) -> None:
    policy = QueuePolicy(default_timeout_us=default_us, allow_timeout_override=True)
    assert outcome_of(with_policy(constant_us, policy), [0, 10, 2000], timeout_us=50).refused == refused


def test_a_higher_priority_goes_first(constant_us: Constant) -> None:
    batching = DynamicBatching(priority_levels=2, default_priority_level=2)
    system = System({"m": SimulatedModel(constant_us(1000), 1, 1, batching)})
    traffic = [
        Traffic("m", Trace((0.0, 10e-6, 1500e-6, 4000e-6))),  # priority 2 by default
        Traffic("m", Trace((20e-6,)), priority=1),
    ]
    outcome = simulate(system, traffic, warmup_share=0)
    assert outcome.traffic[1].answered_ns.tolist() == [2_500_000]
    assert outcome.traffic[0].answered_ns.tolist()[1] == 5_000_000  # sent at 10 us
    recorded = Traffic("m", Trace((0.0, 10e-6, 20e-6, 1500e-6, 4000e-6), priorities=(0, 2, 1, 0, 0)))
    together = simulate(system, recorded, warmup_share=0).traffic[0]
    answers = dict(zip(together.sent_ns.tolist(), together.answered_ns.tolist(), strict=True))
    assert (answers[20_000], answers[10_000]) == (2_500_000, 5_000_000)


def test_a_saturated_closed_loop_fills_its_batches(constant_us: Constant) -> None:
    system = System({"m": SimulatedModel(constant_us(1000), 8, 2, DynamicBatching())})
    outcome = simulate(system, Traffic("m", ClosedLoop(64)))
    assert outcome.models["m"].mean_batch_size == pytest.approx(8, rel=0.01)
    assert outcome.throughput_per_s == pytest.approx(16_000, rel=0.01)


@pytest.mark.parametrize(("handover_us", "answered_us"), [(0, [1000, 2000, 3000]), (200, [1000, 2200, 2200])])
def test_a_batch_grows_until_the_instance_is_handed_over(
    replay: Replay, handover_us: float, answered_us: list[float]
) -> None:
    service = ServiceTimes({1: 1000.0, 64: 1000.0}, handover_us=handover_us)
    model = SimulatedModel(service, 8, 1, DynamicBatching())
    assert replay(model, [0, 500, 1100])[0] == answered_us
