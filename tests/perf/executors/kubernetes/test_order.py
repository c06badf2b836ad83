"""What a pod is told is what was planned; what cannot be read is told as what no retry mends."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tritonsmith.generator.errors import UsageError
from tritonsmith.perf.executors.kubernetes.core import SweepJob, Wish
from tritonsmith.perf.executors.kubernetes.job import HOPELESS
from tritonsmith.perf.executors.kubernetes.order import read_order
from tritonsmith.perf.executors.kubernetes.shelf import Shelf, shelf_at


@pytest.fixture
def sweep_job(make_sweep_job: Callable[..., SweepJob]) -> SweepJob:
    return make_sweep_job(Wish("image", "claim"), requests=b'{"data": []}')


@pytest.fixture
def tasks(sweep_job: SweepJob, tmp_path: Path) -> Shelf:
    shelf = shelf_at(str(tmp_path))
    for name, content in sweep_job.orders.items():
        shelf.write(name, content)
    return shelf


def test_an_index_reads_its_block(sweep_job: SweepJob, tasks: Shelf) -> None:
    for index, block in enumerate(sweep_job.blocks):
        order = read_order(tasks, index)
        assert order.tasks == block.tasks
        assert order.planner == sweep_job.sweep.environment
        assert order.requests == b'{"data": []}'


def test_an_index_without_a_block_is_given_up(tasks: Shelf) -> None:
    with pytest.raises(UsageError, match=r"has no 99\.jsonl") as caught:
        read_order(tasks, 99)
    assert caught.value.exit_code in HOPELESS


def test_tasks_of_another_version_are_given_up(tasks: Shelf) -> None:
    tasks.write("0.jsonl", b'{"schema": "tritonsmith.task/9"}\n')
    with pytest.raises(UsageError, match="no tasks of this version") as caught:
        read_order(tasks, 0)
    assert "the image has another version" in caught.value.hint
