"""Which worker measures what: whole repeats, as long as there are enough of them, and nothing lost."""

import itertools
from collections.abc import Sequence

from tritonsmith.perf.document import SweepPlan, Variation
from tritonsmith.perf.executors.backlog import LOSSES_AT_MOST, Backlog
from tritonsmith.perf.executors.core import CellTask, read_task, write_task
from tritonsmith.perf.measure.load import Load
from tritonsmith.perf.variants import measuring_order

COUNT = "models.m.instance_group.count"


def tasks_of(repeats: int = 4, values: tuple[int, ...] = (1, 2)) -> list[CellTask]:
    plan = SweepPlan(
        "m",
        (Load("concurrency", 1), Load("concurrency", 2)),
        repeats=repeats,
        variations=(Variation(COUNT, values),),
    )
    return [
        CellTask(f"{repeat} {variant} {load}", "identity", plan, load, variant, repeat, "input")
        for repeat, variant, loads in measuring_order(plan)
        for load in loads
    ]


def measured_by(backlog: Backlog, workers: Sequence[str]) -> dict[str, list[CellTask]]:
    """What each of them takes, all in turn."""
    done: dict[str, list[CellTask]] = {worker: [] for worker in workers}
    while backlog.left:
        for worker, own in done.items():
            task = backlog.take(worker, own[-1].variant if own else None)
            own += [task] if task else []
    return done


def test_a_repeat_is_measured_by_one_worker_where_there_are_repeats_for_all() -> None:
    done = measured_by(Backlog(tasks_of(repeats=4)), ["a", "b"])
    repeats = {worker: {task.repeat for task in own} for worker, own in done.items()}
    assert repeats == {"a": {0, 2}, "b": {1, 3}}


def test_a_variants_cells_lie_together_also_across_repeats() -> None:
    own = measured_by(Backlog(tasks_of(repeats=3)), ["a"])["a"]
    changes = sum(one.variant != two.variant for one, two in itertools.pairwise(own))
    assert changes == 3  # once in each repeat


def test_a_worker_without_a_repeat_of_its_own_helps() -> None:
    done = measured_by(Backlog(tasks_of(repeats=3)), ["a", "b", "c", "d"])
    assert [len(own) for own in done.values()] == [3, 3, 3, 3]


def test_all_is_measured_once() -> None:
    tasks = tasks_of()
    done = measured_by(Backlog(tasks), ["a", "b", "c"])
    assert sorted(task.digest for own in done.values() for task in own) == sorted(task.digest for task in tasks)


def test_a_lost_workers_task_and_its_repeat_go_to_another() -> None:
    backlog = Backlog(tasks_of(repeats=3))
    lost = backlog.take("a", None)
    assert lost is not None
    assert backlog.give_back(lost, "a")
    taken = backlog.take("b", None)
    assert taken == lost


def test_a_task_that_takes_its_worker_with_it_is_given_up() -> None:
    backlog = Backlog(tasks_of())
    answers = []
    for worker in range(LOSSES_AT_MOST):
        task = backlog.take(str(worker), None)
        assert task is not None
        answers.append(backlog.give_back(task, str(worker)))
    assert answers == [True] * (LOSSES_AT_MOST - 1) + [False]


def test_a_task_is_its_document() -> None:
    for task in tasks_of():
        assert read_task(write_task(task)) == task
