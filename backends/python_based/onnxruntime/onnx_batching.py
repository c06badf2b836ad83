"""Requests that go together: which, put into one set of inputs, and the answers taken apart again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


class BatchingError(ValueError):
    """Raised when the model's outputs cannot be split into one part per request."""


@dataclass(frozen=True)
class Job:
    """One request, read: `place` in the list that Triton gave, its inputs, and the outputs it wants."""

    place: int
    inputs: Mapping[str, Array]
    outputs: frozenset[str]

    @property
    def rows(self) -> int:
        """Length of the first axis of its inputs."""
        return next((array.shape[0] if array.ndim else 1 for array in self.inputs.values()), 1)


def group_jobs(jobs: Sequence[Job], max_batch_size: int, ragged: Set[str] = frozenset()) -> list[list[Job]]:
    """Jobs that can run as one: the same inputs, equal in type and, unless `ragged`, in shape but for the first axis.

    With `max_batch_size` 0 every job is alone. Within a group the order is kept.
    """
    if max_batch_size == 0 or len(jobs) < 2:
        return [[job] for job in jobs]
    open_groups: dict[Any, list[Job]] = {}
    groups: list[list[Job]] = []
    rows: dict[Any, int] = {}
    for job in jobs:
        form = _form(job, ragged)
        if form not in open_groups or rows[form] + job.rows > max_batch_size:
            open_groups[form], rows[form] = [], 0
            groups.append(open_groups[form])
        open_groups[form].append(job)
        rows[form] += job.rows
    return groups


def _form(job: Job, ragged: Set[str]) -> tuple[Any, ...]:
    return tuple(
        sorted(
            (name, array.dtype.char, () if name in ragged else array.shape[1:]) for name, array in job.inputs.items()
        )
    )


def join_inputs(group: Sequence[Job], ragged: Set[str] = frozenset()) -> dict[str, Array]:
    """The inputs of the whole group, [rows of the first + rows of the second + ..., ...]; one job's are not copied.

    Inputs named in `ragged` are laid end to end, [elements of all].
    """
    if len(group) == 1 and not ragged:
        return dict(group[0].inputs)
    return {
        name: np.concatenate([job.inputs[name].reshape(-1) if name in ragged else job.inputs[name] for job in group])
        for name in group[0].inputs
    }


def wanted_outputs(group: Sequence[Job]) -> list[str]:
    """Every output that some job of the group wants."""
    if len(group) == 1:
        return list(group[0].outputs)
    return sorted(frozenset().union(*(job.outputs for job in group)))


def split_outputs(group: Sequence[Job], outputs: Mapping[str, Array]) -> list[dict[str, Array]]:
    """For each job the outputs that it wants, as views of its rows; a job that ran alone has them whole.

    Raises:
        BatchingError: an output has not one row per row of the inputs.
    """
    if len(group) == 1:
        return [{name: outputs[name] for name in group[0].outputs & outputs.keys()}]
    ends = np.cumsum([job.rows for job in group])
    for name, array in outputs.items():
        if array.ndim == 0 or array.shape[0] != ends[-1]:
            raise BatchingError(
                f"output '{name}' has shape {list(array.shape)} for a batch of {ends[-1]}: "
                "a model that batches gives one row for each row of its inputs"
            )
    return [
        {name: outputs[name][end - job.rows : end] for name in job.outputs}
        for job, end in zip(group, ends, strict=True)
    ]
