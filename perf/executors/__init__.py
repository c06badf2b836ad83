"""Where the cells of a sweep are measured: each executor takes the same tasks and gives back the same cells.

`ray` and `worker` are imported on use: a sweep on this machine needs neither.
"""

from tritonsmith.perf.executors.core import CellTask, Executor, Measured
from tritonsmith.perf.executors.local import LocalExecutor

__all__ = ["CellTask", "Executor", "LocalExecutor", "Measured"]
