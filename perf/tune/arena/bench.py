"""What measures on a live server: perf_analyzer on one target, its warm-up, the server's memory, whether it lives."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tritonsmith.backends.client.counters import ModelCounters, parse_counters
from tritonsmith.backends.server.leftovers import run_processes
from tritonsmith.generator.errors import ServerError, TritonsmithError, UnstableError
from tritonsmith.perf.measure.analyzer import (
    AnalyzerResult,
    AnalyzerRun,
    AnalyzerTool,
    EndedError,
    LostExportError,
    run_analyzer,
)
from tritonsmith.perf.measure.load import Load
from tritonsmith.perf.overrides import Overrides
from tritonsmith.perf.target import Target

WARMUP_MS = 40
WARMUP_IN_FLIGHT = 4
LONGER, LONGEST_MS = 4, 5000  # windows in which a request of a slow model finishes
DYING_S = 1.0  # how long a server that crashes takes to end, once requests fail


@dataclass(frozen=True)
class Bench:
    """What every measurement of one tuning has in common; `task` is how its model is measured.

    `calls` names the models that a Python model calls (BLS), by caller.
    """

    target: Target
    tool: AnalyzerTool
    folder: Path
    task: AnalyzerRun
    changes: Overrides
    calls: Mapping[str, Sequence[str]]

    def run(self, load: Load, window_ms: int, seed: int = 0, task: AnalyzerRun | None = None) -> AnalyzerResult:
        """Measure once; a perf_analyzer that somebody killed measures once more.

        Raises: ServerError, UnstableError, UsageError.
        """
        whole = replace(task or self.task, load=load, window_ms=window_ms, seed=seed)
        try:
            return run_analyzer(self.tool, whole, self.folder)
        except EndedError:
            self.require_server()
            return run_analyzer(self.tool, whole, self.folder)

    def run_patiently(
        self, load: Load, window_ms: int, seed: int = 0, task: AnalyzerRun | None = None
    ) -> tuple[AnalyzerResult, int]:
        """Measure, and where no request finished within the windows in longer ones; return the windows it took, too.

        Raises: ServerError, UnstableError, UsageError.
        """
        while True:
            try:
                return self.run(load, window_ms, seed, task), window_ms
            except LostExportError:
                raise
            except UnstableError:
                if window_ms >= LONGEST_MS:
                    raise
            window_ms = min(LONGEST_MS, LONGER * window_ms)

    def warm_up(self, load: Load, task: AnalyzerRun | None = None) -> None:
        """Let models that were just loaded answer for a moment: connections, first allocations, every instance.

        Raises: ServerError where requests fail.
        """
        in_flight = load.value if load.kind == "concurrency" else WARMUP_IN_FLIGHT
        with contextlib.suppress(UnstableError):  # nobody looks at what it measured
            self.run(Load("concurrency", max(WARMUP_IN_FLIGHT, in_flight)), WARMUP_MS, task=task)

    def counters(self, model: str) -> ModelCounters:
        """Read the server's statistics of a model."""
        return parse_counters(self.target.control.statistics(model), model)

    def memory_mib(self) -> float:
        """Return the memory of our own server and its Python processes, what they share counted once.

        Of another's what it reports of its models, which most backends leave at 0.
        """
        if self.target.server is not None:
            pids = run_processes(self.target.server.prepared.view.parent)
            return sum(map(_proportional_kib, pids)) / 1024
        models = self.target.control.statistics().get("model_stats", [])
        return sum(int(use.get("byte_size", 0)) for model in models for use in model.get("memory_usage", [])) / 2**20

    def require_server(self, problem: TritonsmithError | None = None) -> None:
        """Tell whether it was the server itself that failed.

        Raises: ServerError with the reason from its log where it ended, or where it hangs.
        """
        server = self.target.server
        if server is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                server.process.wait(timeout=DYING_S if problem else 0.0)
            if server.process.poll() is not None:
                server.wait()
        if problem is not None and isinstance(problem.__cause__, TimeoutError):
            raise ServerError(problem.message, where=problem.where, hint="the server hangs; start it anew")
        if not self.target.control.is_live():
            reason = f": {problem.message}" if problem else ""
            raise ServerError(f"the server at {self.target.http_url} does not answer any more{reason}")


def _proportional_kib(pid: int) -> int:
    """Return a process's proportional set size; 0 where it ended meanwhile."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1])
    return 0
