"""Run NVIDIA's perf_analyzer on one load so that its data survives, and turn its failures into errors of ours.

What it does with exports and exit codes is nothing to rely on (tried with 2.51.0): an unstable measurement writes
nothing, a status of 0 does not mean data, streaming exports are cut off now and then, an export file must not exist.
"""

from __future__ import annotations

import re
import resource
import signal
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tritonsmith.generator.errors import ServerError, TritonsmithError, UnstableError, UsageError
from tritonsmith.generator.process import Completed, run
from tritonsmith.perf.files import file_size_limit, require_room, writing
from tritonsmith.perf.measure.load import Load
from tritonsmith.perf.measure.profile import (
    EmptyExportError,
    Profile,
    TruncatedExportError,
    parse_csv,
    read_profile,
    without_final_flags,
)

# Bare names: with a folder in -f the composing models' CSVs (<model>_v<version>.<-f>) are silently not written.
CSV_NAME, PROFILE_NAME, SCHEDULE_NAME = "load.csv", "profile.json", "intervals.txt"
SCRATCH_PREFIX = ".measuring-"
STABILITY_ERROR, NO_VALID_REQUESTS = 2, 3
LEAD_REQUESTS, LEAD_PAUSE_S = 8, 0.3  # before a trace that is replayed
MAX_ARRIVALS = 1_000_000  # of a schedule, which perf_analyzer begins again at its end
ATTEMPTS = 3
# One streaming export in ten is cut off, of models with a dozen outputs one in four; some are emptied by a NaN.
EXPORT_ATTEMPTS = 8


class HungError(ServerError):
    """Raised when perf_analyzer does not end; it hangs now and then by itself, with a server that answers."""


class EndedError(ServerError):
    """Raised when a signal ended perf_analyzer, somebody's or its own fault's: it says nothing of a server."""


class LostExportError(UnstableError):
    """Raised where the measurement itself worked, and its export is cut off."""


@dataclass(frozen=True)
class AnalyzerTool:
    """The program and the environment it needs."""

    program: Path
    environment: Mapping[str, str]


def measured_s(window_ms: float) -> float:
    """Return how many seconds perf_analyzer measures with a window: three windows of 1.2 times what they are asked."""
    return 3 * 1.2 * window_ms / 1000


@dataclass(frozen=True)
class AnalyzerRun:
    """What perf_analyzer is to measure: one model under one load."""

    model: str
    url: str
    load: Load
    window_ms: int = 500
    version: str = ""
    protocol: str = "grpc"
    input_data: Path | None = None
    is_decoupled: bool = False
    seed: int = 0  # of the arrivals of a request rate
    arrivals_s: tuple[float, ...] = ()  # of a trace that is replayed once, within the windows
    warmup_s: float = 0.1  # of a request rate
    advice: str = ""  # where the server fails a request, and nothing else is known about why

    @property
    def measured_s(self) -> float:
        """Return how long it measures."""
        return measured_s(self.window_ms)

    @property
    def time_limit_s(self) -> float:
        """Return how long it may take: warm-up and slow requests come on top of the windows."""
        return 60 + 3 * self.measured_s

    @property
    def warmup_requests(self) -> int:
        """Return how many requests go before the first window, which would otherwise count connections being made.

        2.51 hangs for ever where there are fewer than worker threads: one per request in flight, four for a rate.
        """
        value = self.load.value
        if self.load.kind == "concurrency":
            return round(2 * value)
        return max(8, round(value * self.warmup_s))


@dataclass(frozen=True)
class AnalyzerResult:
    """One run's data, the CSV's columns, the command, and the share of one core that perf_analyzer itself took."""

    profile: Profile
    columns: Mapping[str, float]
    argv: tuple[str, ...]
    generator_cores: float
    attempts: int
    is_behind: bool  # perf_analyzer says so itself, with --async only


def analyzer_argv(program: Path | str, task: AnalyzerRun) -> list[str]:
    """Return perf_analyzer's command line."""
    argv = [str(program), "-m", task.model, *(["-x", task.version] if task.version else [])]
    argv += ["-u", task.url, "-i", task.protocol]
    if task.load.kind == "concurrency":
        argv += ["--concurrency-range", f"{task.load.value:g}"]
        argv += ["--async", "--streaming"] if task.is_decoupled else []
    else:
        # Without --async a rate is not held: four threads wait for answers, and the requests that they
        # should have sent meanwhile are missing from the latencies (coordinated omission).
        argv += ["--request-intervals", SCHEDULE_NAME, "--async"]
        argv += ["--streaming"] if task.is_decoupled else []
    argv += ["--input-data", str(task.input_data) if task.input_data else "random"]
    # Always three windows, always data: a stability of its own makes perf_analyzer throw an unstable measurement
    # away. -r 2 always fails. Works in 2.51 though its usage does not name it: --warmup-request-count.
    argv += ["-p", str(task.window_ms), "-s", "999", "-r", "3"]
    # Warm-up requests would use up the beginning of a trace; it has a lead of its own.
    argv += [] if task.arrivals_s else ["--warmup-request-count", str(task.warmup_requests)]
    return [*argv, "-f", CSV_NAME, "--verbose-csv", "--profile-export-file", PROFILE_NAME]


def arrival_gaps_us(rate_per_s: float, measured_s: float, seed: int) -> list[int]:
    """Return the gaps of Poisson arrivals over the measured time, which perf_analyzer then repeats.

    perf_analyzer's own --request-distribution poisson replays one fixed draw: 100/s came out as 76/s in each of five
    runs of 1.8 s. Ours differ by seed, and they are scaled so that the rate over the measured time is the one asked.
    """
    count = min(MAX_ARRIVALS, max(20, round(rate_per_s * measured_s)))
    gaps = np.random.default_rng(seed).exponential(size=count)
    arrivals_us = np.rint(np.cumsum(gaps) / gaps.sum() * count / rate_per_s * 1e6)
    return [max(1, int(gap)) for gap in np.diff(arrivals_us, prepend=0)]


def schedule_us(task: AnalyzerRun) -> list[int]:
    """Return the gap before each of a rate's requests; of a trace, those of its own after a lead of some more.

    The lead opens the connections, of which each costs 20 ms. The schedule begins again at its end, so the last gap is
    longer than what is left of the windows.
    """
    if not task.arrivals_s:
        return arrival_gaps_us(task.load.value, task.measured_s, task.seed)
    gaps_us = np.diff(np.rint(np.asarray(task.arrivals_s) * 1e6))
    lead = [*[10_000] * LEAD_REQUESTS, round(LEAD_PAUSE_S * 1e6)]
    gaps = [*lead, *(max(1, int(gap)) for gap in gaps_us)]
    return [*gaps, max(0, round(task.measured_s * 1e6) - sum(gaps)) + 1_000_000]


def replay_window_ms(seconds: float) -> int:
    """Return the window of which three take a trace of so many seconds, its lead and the last answers."""
    return round(1000 * (seconds + LEAD_REQUESTS * 0.01 + LEAD_PAUSE_S + 0.5) / 3.6) + 1


def without_lead(profile: Profile) -> Profile:
    """Return the requests of a trace without those of the lead; the windows become thirds of the trace's own time."""
    order = np.argsort(profile.sent_ns, kind="stable")
    is_kept = np.ones(len(order), dtype=bool)
    is_kept[order[:LEAD_REQUESTS]] = False
    return profile.only(is_kept, profile.sent_ns[is_kept].min(), profile.finished_ns[is_kept].max())


def analyzer_version(tool: AnalyzerTool) -> str:
    """Return perf_analyzer's version, e.g. "2.51.0"."""
    done = run([tool.program, "--version"], timeout_s=20, env=tool.environment, is_shown=False)
    words = (done.stderr + done.stdout).split()  # on stderr: "Perf Analyzer Version 2.51.0 (commit unknown)"
    return words[words.index("Version") + 1] if "Version" in words[:-1] else "unknown"


def run_analyzer(tool: AnalyzerTool, task: AnalyzerRun, folder: Path, *, is_shown: bool = False) -> AnalyzerResult:
    """Measure once, in a new empty folder under `folder` that is gone afterwards.

    What is lost is measured again: an export that is cut off, or emptied where the model is decoupled, a window in
    which no request finished; once also where perf_analyzer hangs, which takes a minute to tell.

    Raises: ServerError, UnstableError, UsageError.
    """
    attempt = 1
    while True:
        try:
            return _run_once(tool, task, folder, attempt, is_shown and attempt == 1)
        except TritonsmithError as problem:
            if attempt >= attempts_at_most(problem, is_decoupled=task.is_decoupled):
                raise
        attempt += 1


def attempts_at_most(problem: TritonsmithError, *, is_decoupled: bool) -> int:
    """Return how often at most to measure where it ended like this."""
    if isinstance(problem, LostExportError) or (isinstance(problem, EmptyExportError) and is_decoupled):
        return EXPORT_ATTEMPTS
    if isinstance(problem, UnstableError):
        return ATTEMPTS
    return 2 if isinstance(problem, HungError) else 1


def _run_once(tool: AnalyzerTool, task: AnalyzerRun, folder: Path, attempt: int, is_shown: bool) -> AnalyzerResult:
    where = f"{task.model} at {task.load}"
    with _scratch(folder) as scratch:
        if task.load.kind == "request_rate":
            gaps_us = schedule_us(task)
            with writing(folder):
                Path(scratch, SCHEDULE_NAME).write_text("\n".join(map(str, gaps_us)) + "\n", encoding="ascii")
        before_s = _children_cpu_s()
        done = run(
            analyzer_argv(tool.program, task),
            timeout_s=task.time_limit_s,
            cwd=Path(scratch),
            env=tool.environment,
            is_shown=is_shown,
        )
        cores = (_children_cpu_s() - before_s) / done.seconds
        require_room(Path(scratch))  # on a full disk the exports are cut off, with status 0 and without a word
        require_data(done, Path(scratch), where=where, advice=task.advice)
        try:
            profile = read_profile(Path(scratch, PROFILE_NAME))
        except TruncatedExportError as problem:
            raise LostExportError(f"perf_analyzer: {problem}", where=where, hint="raise --window-ms") from None
        rows = parse_csv(Path(scratch, CSV_NAME).read_text(encoding="latin-1"))
    columns = rows[-1] if rows else {}
    if "Response Throughput" in columns:  # decoupled models only
        profile = without_final_flags(profile, columns["Response Throughput"] / columns["Inferences/Second"])
    if task.arrivals_s and len(profile.sent_ns) > LEAD_REQUESTS:
        profile = without_lead(profile)
    is_behind = "not able to keep up" in done.stderr + done.stdout
    return AnalyzerResult(profile, columns, done.argv, cores, attempt, is_behind)


def _scratch(folder: Path) -> tempfile.TemporaryDirectory[str]:
    with writing(folder):
        return tempfile.TemporaryDirectory(dir=folder, prefix=SCRATCH_PREFIX)


def require_data(done: Completed, folder: Path, *, where: str, advice: str = "") -> None:
    """Turn a run without data into the error that says why; `advice` is for failures that say nothing of a cause.

    Raises: ServerError, UnstableError, UsageError.
    """
    if done.is_timeout:
        raise HungError(
            f"perf_analyzer did not finish within {done.seconds:.0f} s and was ended",
            where=where,
            hint="is the server stuck? A request that takes longer than a window needs a longer --window-ms",
        )
    if done.returncode != 0:
        raise failure(done, where, advice)
    if not (folder / CSV_NAME).exists() or not (folder / PROFILE_NAME).exists():
        hint = "a window needs two requests: raise --window-ms; a trace needs some in each third of its time"
        raise UnstableError(
            f"perf_analyzer ended with status 0 but wrote no data:\n{_said(done)}", where=where, hint=hint
        )


def failure(done: Completed, where: str, advice: str = "") -> TritonsmithError:
    """Return the error for a run that ended with a status other than 0.

    2.51: 2 unstable, 3 options or no valid request, 99 everything else (server down, model unknown, wrong usage).
    """
    said = _said(done)
    if done.returncode == -signal.SIGXFSZ:
        message = f"perf_analyzer cannot write its export: {file_size_limit()}"
        return UsageError(message, where=where, hint="raise the limit: ulimit -f unlimited; or shorten --window-ms")
    if done.returncode < 0:
        return EndedError(f"perf_analyzer was ended by signal {-done.returncode}:\n{said}".rstrip(":\n"), where=where)
    if done.returncode in (STABILITY_ERROR, NO_VALID_REQUESTS) or "No valid requests" in said:
        return UnstableError(f"perf_analyzer has no stable measurement:\n{said}", where=where, hint="raise --window-ms")
    if "init manager inputs" in said:
        hint = "the input-data file must have every input, in the model's shape and data type"
        return UsageError(f"perf_analyzer refused the input data: {said.splitlines()[-1]}", where=where, hint=hint)
    if "Usage: " in done.stderr or "must be run with" in said:  # its whole usage follows; the first line says why
        return UsageError(f"perf_analyzer refused its arguments: {said.splitlines()[0]}", where=where)
    return ServerError(f"the server failed under perf_analyzer:\n{said}", where=where, hint=_advice(said) or advice)


def _said(done: Completed) -> str:
    """Return the reason from what perf_analyzer said: one thread's for all, and not the usage that it appends."""
    lines = [line for line in done.stderr.partition("Usage: ")[0].splitlines() if line.strip()]
    threads = [line for line in lines if re.match(r"Thread \[\d+\] had error", line)]
    said = "\n".join(line for line in lines if line not in threads[1:])
    return said.strip()[-1500:] or done.stdout.strip()[-500:]


def _advice(said: str) -> str:
    """Return the next step for a server's failure."""
    if "onnect" in said:
        return "is the server up? `tritonsmith serve` starts one"
    if "not found" in said:
        return "the model is not loaded under this name and version"
    return ""


def _children_cpu_s() -> float:
    """Return the CPU time of all children that ended; the difference around one child is that child's."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
