"""Recorded arrivals: a text file with one request per line, SECONDS or SECONDS,ROWS from the start."""

from __future__ import annotations

import math
from pathlib import Path

from tritonsmith.generator.errors import UsageError
from tritonsmith.perf.simulate.traffic import Trace


def read_trace(path: Path) -> Trace:
    """Return the arrivals of a file, in the order of their times; `#` begins a comment.

    Raises: UsageError.
    """
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as problem:
        reason = problem.strerror if isinstance(problem, OSError) else "not a text file"
        raise UsageError(f"--arrivals: cannot read {path}: {reason}", hint="name a file, or bursty, constant") from None
    arrivals = [
        _arrival(text, f"{path}:{number}")
        for number, line in enumerate(lines, 1)
        if (text := line.partition("#")[0].strip())
    ]
    if not arrivals:
        raise UsageError(f"--arrivals: no request in {path}", hint="each line is SECONDS, or SECONDS,ROWS")
    arrivals.sort(key=lambda arrival: arrival[0])
    return Trace(tuple(time_s for time_s, _ in arrivals), tuple(rows for _, rows in arrivals))


def _arrival(text: str, where: str) -> tuple[float, int]:
    time, separator, rows = text.partition(",")
    try:
        arrival = float(time), int(rows) if separator else 1
    except ValueError:
        arrival = math.nan, 0
    if not (0 <= arrival[0] < math.inf and arrival[1] >= 1):
        raise UsageError(f"'{text}' is no arrival", where=where, hint="each line is SECONDS, or SECONDS,ROWS")
    return arrival
