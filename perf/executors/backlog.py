"""Which cell a worker measures next: pure bookkeeping of what is left, what is away, and what was lost how often."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from tritonsmith.perf.document import Scalar
from tritonsmith.perf.executors.core import CellTask

LOSSES_AT_MOST = 3


class Backlog:
    """The tasks that are left, in measuring order.

    A repeat is a block: one worker measures all of its variants and loads as long as there are repeats for all
    workers, so that what differs between hosts falls on all points alike, as drift does. Within it a variant's cells
    lie together, which saves loading models again. A worker without a repeat of its own helps with the longest.
    """

    def __init__(self, tasks: Sequence[CellTask]) -> None:
        self.left = list(tasks)
        self._owners: dict[int, str] = {}  # of repeats
        self._losses: Counter[str] = Counter()

    def take(self, worker: str, variant: Mapping[str, Scalar] | None) -> CellTask | None:
        """Take the next task for a worker that has a variant loaded (None: none yet); None where nothing is left."""
        if not self.left:
            return None
        repeat = self._repeat_for(worker)
        candidates = [task for task in self.left if task.repeat == repeat]
        task = next((one for one in candidates if one.variant == variant), candidates[0])
        self._owners.setdefault(repeat, worker)
        self.left.remove(task)
        return task

    def give_back(self, task: CellTask, worker: str) -> bool:
        """Put a lost worker's task back, first in line; return False where it was lost too often for that."""
        self._losses[task.digest] += 1
        self._owners = {repeat: owner for repeat, owner in self._owners.items() if owner != worker}
        self.left.insert(0, task)
        return self._losses[task.digest] < LOSSES_AT_MOST

    def _repeat_for(self, worker: str) -> int:
        sizes = Counter(task.repeat for task in self.left)
        own = [repeat for repeat in sizes if self._owners.get(repeat) == worker]
        free = [repeat for repeat in sizes if repeat not in self._owners]
        if own or free:
            return (own or free)[0]
        return max(sizes, key=lambda repeat: sizes[repeat])
