"""Sweeps to be written as Jobs, made up in memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tritonsmith.generator.repository.core import Content, Model, Repository
from tritonsmith.perf.document import Cell, Place, Sweep, SweepPlan, Variation, cell_digest
from tritonsmith.perf.executors.core import CellTask
from tritonsmith.perf.executors.kubernetes.core import SweepJob, Wish, blocks_of
from tritonsmith.perf.executors.kubernetes.measured import measured_workload, planned_workload
from tritonsmith.perf.executors.kubernetes.order import order_files
from tritonsmith.perf.measure.load import Load
from tritonsmith.perf.variants import measuring_order

COUNT = "models.classifier.instance_group.count"
PYTHON = 'name: "classifier" backend: "python" max_batch_size: 4'
IDENTITY = "1d" * 32


def make_repository(config: str = PYTHON, **settings: Any) -> Repository:
    """One model, and what the spec says beside it."""
    parsed = text_format.Parse(config, ModelConfig())
    model = Model(parsed.name, parsed, {"1/model.py": Content(b"pass\n")})
    return Repository("digits", {parsed.name: model}, settings=settings)


def make_tasks(plan: SweepPlan) -> list[CellTask]:
    """All cells of a plan, in measuring order."""
    first = CellTask("", IDENTITY, plan, plan.loads[0], {}, 0, "ab" * 32, parcel="cd" * 32)
    return [
        replace(
            first, digest=cell_digest(plan, load, variant, repeat, IDENTITY), load=load, variant=variant, repeat=repeat
        )
        for repeat, variant, loads in measuring_order(plan)
        for load in loads
    ]


@pytest.fixture
def make_sweep_job(make_sweep: Callable[..., Sweep]) -> Callable[..., SweepJob]:
    """A function from a wish and a spec's settings to what a Job is made from."""

    def make(
        wish: Wish,
        config: str = PYTHON,
        counts: Sequence[int] = (),
        requests: bytes = b"{}",
        **settings: Any,
    ) -> SweepJob:
        variations = (Variation(COUNT, tuple(counts)),) if counts else ()
        plan = SweepPlan(
            "classifier", (Load("concurrency", 1), Load("concurrency", 2)), repeats=3, variations=variations
        )
        sweep = Sweep(plan, IDENTITY, make_sweep().environment, "2026-11-20T20:00:00+00:00")
        workload = measured_workload(planned_workload(make_repository(config, **settings), plan), wish)
        tasks = make_tasks(plan)
        blocks = blocks_of(tasks, tasks)
        return SweepJob(sweep, workload, wish, blocks, order_files(blocks, sweep.environment, requests))

    return make


@pytest.fixture
def cell_of(make_sweep: Callable[..., Sweep]) -> Callable[[CellTask, str], Cell]:
    """A function that makes up the cell of a task, measured on a host of this name."""

    def make(task: CellTask, host: str) -> Cell:
        sweep = make_sweep(loads=(task.load,), repeats=3)
        cell = replace(sweep.cells[0], digest=task.digest, variant=dict(task.variant), repeat=task.repeat)
        return replace(cell, place=Place(host, sweep.environment))

    return make
