"""The nouns of a sweep on Kubernetes: a block, what an index of the Job measures, and all that the Job is made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tritonsmith.generator.manifests.workload import Workload, kubernetes_name
from tritonsmith.perf.document import Sweep
from tritonsmith.perf.executors.core import CellTask
from tritonsmith.perf.identity import digest_of

MAX_CONFIG_MAP_BYTES = 1 << 20  # of all values together. Source: kubernetes: validation.go (MaxSecretSize)
RESULTS_FOLDER = "results"  # below the sweep's folder: where what a claim holds is copied to


@dataclass(frozen=True)
class Block:
    """What one index measures: every variant and load of a repeat, so that what is compared comes from one node.

    `tasks` are all of the repeat's, in measuring order; what of it is there already is not measured again.
    """

    repeat: int
    tasks: tuple[CellTask, ...]


@dataclass(frozen=True)
class Wish:
    """What the options say: the image of the cells, where results lie (a claim's name or a store's URL), how many pods
    at once (None: one for each index), and whether the release's own server stands beside each cell.
    """

    image: str
    results: str
    workers: int | None = None
    is_sidecar: bool = False

    @property
    def is_store(self) -> bool:
        """Whether results lie in an object store, else in a PersistentVolumeClaim."""
        return "://" in self.results


@dataclass(frozen=True)
class SweepJob:
    """What a Job is made from: the sweep so far, its pods' server, and the blocks that lack cells."""

    sweep: Sweep
    workload: Workload
    wish: Wish
    blocks: tuple[Block, ...]
    orders: Mapping[str, bytes]  # what the pods are told, by name: see `order`

    @property
    def fits_config_map(self) -> bool:
        """Whether a ConfigMap takes what the pods are told; else it lies beside the results."""
        return sum(map(len, self.orders.values())) <= MAX_CONFIG_MAP_BYTES

    @property
    def folder(self) -> str:
        """The name of the folder, in the claim or the store, that all Jobs of this sweep share."""
        return f"sweep-{kubernetes_name(self.sweep.plan.model)}-{self.sweep.identity[:8]}"

    @property
    def results(self) -> str:
        """Where a pod writes what it measured: a folder in it, or a URL."""
        return f"{self.wish.results.rstrip('/') if self.wish.is_store else '/results'}/{self.folder}"

    @cached_property
    def name(self) -> str:
        """The Job's name: another Job, of other blocks or made otherwise, has another."""
        facts = [
            self.sweep.identity,
            self.sweep.environment.tritonsmith,
            str(self.wish),
            str(self.workload),
            [block.repeat for block in self.blocks],
        ]
        facts += [task.digest for block in self.blocks for task in block.tasks]
        return f"sweep-{kubernetes_name(self.sweep.plan.model)}-{digest_of(facts)[:8]}"


def blocks_of(tasks: Sequence[CellTask], missing: Sequence[CellTask]) -> tuple[Block, ...]:
    """Return the repeats of all `tasks` of which something is missing, each whole."""
    repeats = dict.fromkeys(task.repeat for task in missing)
    return tuple(Block(repeat, tuple(task for task in tasks if task.repeat == repeat)) for repeat in sorted(repeats))


def job_folder(sweep_folder: Path, name: str) -> Path:
    """Return where a Job's files are written."""
    return sweep_folder / "kubernetes" / name
