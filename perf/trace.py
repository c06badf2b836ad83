"""Recorded arrivals: read from files of several forms, to be simulated, or prepared to be replayed."""

from __future__ import annotations

import csv
import datetime
import hashlib
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tritonsmith.generator.errors import UsageError

# Columns by what they say, the first of each is ours; TIMESTAMP, ContextTokens and GeneratedTokens are those of the
# traces that Azure published (Azure/AzurePublicDataset).
COLUMNS = {
    "time": ("time", "time_s", "seconds", "timestamp", "arrival_time"),
    "model": ("model", "model_name"),
    "rows": ("rows", "batch", "batch_size"),
    "priority": ("priority",),
    "prompt_tokens": ("prompt_tokens", "contexttokens", "input_length", "input_tokens"),
    "output_tokens": ("output_tokens", "generatedtokens", "output_length"),
}
MOST_SECONDS, MOST_REQUESTS = 3600.0, 1_000_000
FORMS = "a CSV with a header (time, model, prompt_tokens, output_tokens), a JSON object per line, or SECONDS per line"
BARE = ("time", "rows")  # the columns of a file without a header


@dataclass(frozen=True)
class Replay:
    """A recorded trace, or one model's requests in it, as it is replayed: `speed` 2 takes half the time."""

    name: str
    digest: str  # of all that is replayed
    speed: float
    requests: int
    seconds: float  # as replayed

    def __str__(self) -> str:
        return f"{self.name} at {self.speed:g}x: {self.requests:,} requests in {self.seconds:g} s"


@dataclass(frozen=True)
class Arrival:
    """A recorded request; tokens are 0 where nothing is recorded, a priority of 0 is the model's default."""

    time_s: float
    model: str = ""
    prompt_tokens: int = 0
    output_tokens: int = 0
    rows: int = 1
    priority: int = 0
    where: str = ""  # in which file and line


def read_trace(path: Path, option: str = "--trace") -> tuple[Arrival, ...]:
    """Return the requests of a trace in the order of their times, the first at 0; `option` is what named the file.

    Raises: UsageError for what is no trace, and for one of several models' requests.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as problem:
        reason = problem.strerror if isinstance(problem, OSError) else "not a text file"
        raise UsageError(f"{option}: cannot read {path}: {reason}", hint=f"it is {FORMS}") from None
    arrivals = sorted((_arrival(row, where) for row, where in _rows(text, path)), key=lambda one: one.time_s)
    if not arrivals:
        raise UsageError(f"{option}: no request in {path}", hint=f"it is {FORMS}")
    if len(arrivals) > MOST_REQUESTS:
        raise UsageError(f"{option}: {path} has more than {MOST_REQUESTS:,} requests", hint="take a part of it")
    models = sorted({one.model for one in arrivals if one.model})
    if len(models) > 1:
        hint = "put one model's requests each into a file of their own"
        raise UsageError(f"{option}: {path} has requests for {', '.join(models)}", hint=hint)
    start_s = arrivals[0].time_s
    return tuple(replace(one, time_s=one.time_s - start_s) for one in arrivals)


def require_replayable(arrivals: Sequence[Arrival]) -> None:
    """Refuse what perf_analyzer cannot replay: a single request, rows, priorities.

    Raises: UsageError.
    """
    if len(arrivals) < 2:
        raise UsageError("a single request is no trace", where=arrivals[0].where, hint="record two at least")
    for one in arrivals:
        if one.rows != 1:
            hint = "perf_analyzer sends requests of one size; `tritonsmith simulate --arrivals` takes rows"
            raise UsageError(f"a request of {one.rows} rows cannot be replayed", where=one.where, hint=hint)
        if one.priority:
            hint = "perf_analyzer sends no priorities; leave the column out to replay the arrivals alone"
            raise UsageError(f"priority {one.priority} cannot be replayed", where=one.where, hint=hint)


def parse_speed(text: str) -> float:
    """Return the speed of "2x" or "0.5".

    Raises: UsageError.
    """
    try:
        speed = float(text.removesuffix("x"))
    except ValueError:
        speed = math.nan
    if not 0 < speed < math.inf:
        raise UsageError(f"--speed: '{text}' is no speed above 0", hint="write --speed 2x")
    return speed


def replayed_times(arrivals: Sequence[Arrival], speed: float) -> tuple[float, ...]:
    """Return when requests are to be sent, in seconds from the trace's start.

    Raises: UsageError where it takes more than an hour, or no time at all.
    """
    times = tuple(one.time_s / speed for one in arrivals)
    if not 0 < times[-1] <= MOST_SECONDS:
        took = f"takes {times[-1]:,.0f} s" if times[-1] else "has all requests at one time"
        raise UsageError(f"--trace: it {took}; up to {MOST_SECONDS:,.0f} s can be replayed", hint="raise --speed")
    return times


def replay_of(name: str, times_s: Sequence[float], speed: float) -> Replay:
    """Return what is replayed; its digest is of every time."""
    digest = hashlib.sha256(",".join(f"{time_s:.6f}" for time_s in times_s).encode()).hexdigest()[:16]
    return Replay(name, digest, speed, len(times_s), round(times_s[-1], 3))


def _rows(text: str, path: Path) -> Iterator[tuple[Mapping[str, Any], str]]:
    """Yield each request's columns by our names, and its place."""
    lines = [(number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip() and line[0] != "#"]
    if lines and lines[0][1].lstrip().startswith("{"):
        for number, line in lines:
            yield _named(_json_object(line, f"{path}:{number}")), f"{path}:{number}"
        return
    header = [cell.strip().lower() for cell in next(csv.reader([lines[0][1]]))] if lines else []
    has_header = any(name in COLUMNS["time"] for name in header)
    names = header if has_header else BARE
    for number, line in lines[1:] if has_header else lines:
        cells = next(csv.reader([line if has_header else line.partition("#")[0]]))
        if len(cells) > len(names):
            raise UsageError(f"'{line}' has too many values", where=f"{path}:{number}", hint=f"a trace is {FORMS}")
        yield _named(dict(zip(names, cells, strict=False))), f"{path}:{number}"


def _json_object(line: str, where: str) -> Mapping[str, Any]:
    try:
        value = json.loads(line)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise UsageError("not a JSON object", where=where, hint='write {"time": 0.5, "model": "NAME"}')
    return value


def _named(row: Mapping[str, Any]) -> dict[str, Any]:
    by_name = {name.strip().lower(): value for name, value in row.items() if value not in ("", None)}
    found = {ours: next((by_name[one] for one in names if one in by_name), None) for ours, names in COLUMNS.items()}
    return {name: value for name, value in found.items() if value is not None}


def _arrival(row: Mapping[str, Any], where: str) -> Arrival:
    whole = {name: _whole(row[name], name, where) for name in COLUMNS if name in row and name not in ("time", "model")}
    if whole.get("rows") == 0:
        raise UsageError("a request of 0 rows is none", where=where, hint=f"a trace is {FORMS}")
    return Arrival(_seconds(row.get("time"), where), str(row.get("model", "")), **whole, where=where)


def _whole(value: Any, name: str, where: str) -> int:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not (number >= 0 and number == int(number)):
        raise UsageError(f"{name} '{value}' is no whole number", where=where, hint=f"a trace is {FORMS}")
    return int(number)


def _seconds(value: Any, where: str) -> float:
    """Return a time in seconds: a number of them, or a date with time of day."""
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        seconds = _date(str(value))
    if not 0 <= seconds < math.inf:
        raise UsageError(f"'{value}' is no time", where=where, hint="write seconds, or 2023-11-16 18:17:03.98")
    return seconds


def _date(text: str) -> float:
    """Return a date's seconds; Azure's have seven digits after the point, Python takes six."""
    six_digits = re.sub(r"\.(\d+)", lambda found: "." + found[1][:6].ljust(6, "0"), text)
    try:
        date = datetime.datetime.fromisoformat(six_digits.replace("Z", "+00:00"))
    except ValueError:
        return math.nan
    return (date if date.tzinfo else date.replace(tzinfo=datetime.timezone.utc)).timestamp()
