from collections.abc import Callable

from tritonsmith.perf.simulate import (
    ClosedLoop,
    DirectSequences,
    OldestSequences,
    ServiceTimes,
    SimulatedModel,
    System,
    Traffic,
    simulate,
)

Replay = Callable[..., tuple[list[float], dict[int, int]]]
Constant = Callable[[float], ServiceTimes]


def test_a_direct_batch_reaches_to_the_last_slot_with_a_request(replay: Replay, constant_us: Constant) -> None:
    model = SimulatedModel(constant_us(100), 2, 1, DirectSequences())
    answers, sizes = replay(model, [0, 0], sequence_length=2)
    # slot 0 at 0, slot 1 (with padding in slot 0) at 100, and so on: each waits for the other's batch
    assert sorted(answers) == [100, 200, 300, 400]
    assert sizes == {1: 2, 2: 2}


def test_a_sequence_without_a_slot_waits_for_the_end_of_another(replay: Replay, constant_us: Constant) -> None:
    for scheduler in (DirectSequences(), OldestSequences()):
        answers, _ = replay(SimulatedModel(constant_us(100), 1, 1, scheduler), [0, 10], sequence_length=2)
        assert answers == [100, 300, 200, 400], scheduler  # by sending: both begin, then each sends its second


def test_direct_waits_for_its_slots_until_the_delay_is_over(replay: Replay, constant_us: Constant) -> None:
    scheduler = DirectSequences(max_queue_delay_us=500, minimum_slot_utilization=1.0)
    model = SimulatedModel(constant_us(100), 2, 1, scheduler)
    assert replay(model, [0, 60], sequence_length=1) == ([160, 160], {2: 1})
    answers, _ = replay(model, [0], sequence_length=1)
    assert answers == [600.001]


def test_sequences_go_to_the_instance_with_the_lowest_free_slot(replay: Replay, constant_us: Constant) -> None:
    model = SimulatedModel(constant_us(100), 4, 2, DirectSequences())
    assert replay(model, [0, 0], sequence_length=2) == ([100, 100, 200, 200], {1: 4})


def test_oldest_batches_one_request_of_each_sequence(replay: Replay, constant_us: Constant) -> None:
    scheduler = OldestSequences(max_candidate_sequences=4, max_queue_delay_us=50)
    _, sizes = replay(SimulatedModel(constant_us(100), 4, 1, scheduler), [0, 10, 20, 30], sequence_length=3)
    assert sizes == {4: 3}


def test_no_sequence_overtakes_itself(constant_us: Constant) -> None:
    service = ServiceTimes({1: 1000, 4: 2000}, variation=0.5)
    for scheduler in (DirectSequences(), OldestSequences(8, (2, 4), 200)):
        system = System({"m": SimulatedModel(service, 4, 2, scheduler)})
        outcome = simulate(system, Traffic("m", ClosedLoop(20), sequence_length=5), requests=5000)
        assert outcome.unanswered <= 20
        assert outcome.answered >= 5000
