"""What a pod is told: a folder of documents, read by the index of the pod."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import TypeAdapter, ValidationError

from tritonsmith.generator.errors import UsageError
from tritonsmith.perf.executors.core import CellTask, read_task, write_task
from tritonsmith.perf.executors.kubernetes.core import Block
from tritonsmith.perf.executors.kubernetes.shelf import Shelf
from tritonsmith.perf.measure.machine import Environment

PLANNER, REQUESTS = "planner.json", "requests.json"
_ENVIRONMENT = TypeAdapter(Environment)


@dataclass(frozen=True)
class Order:
    """What one index is told: its tasks, the planner's machine (its versions have to be the pod's) and the requests."""

    tasks: tuple[CellTask, ...]
    planner: Environment
    requests: bytes


def order_files(blocks: Sequence[Block], planner: Environment, requests: bytes) -> dict[str, bytes]:
    """Return the documents for all indices by name: for each a line for every task of its block."""
    files = {
        block_name(index): b"".join(write_task(task) + b"\n" for task in block.tasks)
        for index, block in enumerate(blocks)
    }
    return {**files, PLANNER: _ENVIRONMENT.dump_json(planner, indent=1) + b"\n", REQUESTS: requests}


def read_order(shelf: Shelf, index: int) -> Order:
    """Return what an index is told.

    Raises: UsageError where there is nothing for it, or what there is cannot be read.
    """
    names = (block_name(index), PLANNER, REQUESTS)
    files = shelf.read(names)
    lacking = [name for name in names if name not in files]
    if lacking:
        raise UsageError(f"{shelf} has no {', '.join(lacking)}", hint="is it the folder of this Job's tasks?")
    block, planner, requests = (files[name] for name in names)
    try:
        tasks = tuple(read_task(line) for line in block.splitlines())
        return Order(tasks, _ENVIRONMENT.validate_json(planner), requests)
    except ValidationError as problem:
        reason = problem.errors()[0]["msg"]
        hint = "the image has another version of tritonsmith than the machine that planned the sweep"
        raise UsageError(f"{shelf}: no tasks of this version: {reason}", hint=hint) from None


def block_name(index: int) -> str:
    """Return the name of an index's document."""
    return f"{index}.jsonl"
