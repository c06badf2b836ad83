"""Read what perf_analyzer exports: the profile JSON (every request's timestamps) and the CSV (one row per load)."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tritonsmith.generator.errors import UsageError

# The export holds the tensors of every request. They are dropped while parsing, but the text must fit into memory.
MAX_EXPORT_BYTES = 512 << 20
NS_PER_S = 1e9


class TruncatedExportError(ValueError):
    """Raised when an export stops in the middle, which 2.51 does now and then with status 0; measuring again helps."""


Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Profile:
    """Every request that finished within the measurement windows, in the order of the export; arrays are [requests].

    Times are nanoseconds of the system clock. `finished_ns` is the last response with content. `window_ends_ns` has
    one more entry than there are windows: the first is the start. `before_last_ns` is the last response but one.
    """

    sent_ns: Integers
    first_response_ns: Integers
    before_last_ns: Integers
    finished_ns: Integers
    responses: Integers
    window_ends_ns: Integers
    analyzer_version: str

    @property
    def latencies_us(self) -> Floats:
        """Return the time from sending to the last response, [requests]."""
        return np.asarray((self.finished_ns - self.sent_ns) / 1e3)

    @property
    def first_response_us(self) -> Floats:
        """Return the time from sending to the first response, [requests]."""
        return np.asarray((self.first_response_ns - self.sent_ns) / 1e3)

    @property
    def measured_s(self) -> float:
        """Return the time from the first window's start to the last one's end; in count mode to the last request's.

        With --request-count perf_analyzer's only window ends after whole seconds: 50 requests of 3.5 ms "took"
        1.0007 s, and its CSV says 49.96 requests per second where it did 285.
        """
        is_count_mode = len(self.window_ends_ns) == 2
        end_ns = self.finished_ns.max() if is_count_mode else self.window_ends_ns[-1]
        return float(end_ns - self.window_ends_ns[0]) / NS_PER_S

    @property
    def throughput_per_s(self) -> float:
        """Return requests finished per second over all windows, from timestamps."""
        return len(self.sent_ns) / self.measured_s

    @property
    def sent_per_s(self) -> float:
        """Return how fast requests were sent, whatever became of them.

        Under overload the requests that finished are the earliest ones, so they still show the rate of sending.
        """
        if len(self.sent_ns) < 2:
            return 0.0
        duration_ns = float(self.sent_ns.max() - self.sent_ns.min())
        return (len(self.sent_ns) - 1) / duration_ns * NS_PER_S if duration_ns else 0.0

    @property
    def windows_per_s(self) -> tuple[float, ...]:
        """Return the throughput of each window."""
        counts, _ = np.histogram(self.finished_ns, bins=self.window_ends_ns)
        return tuple((counts / np.diff(self.window_ends_ns) * NS_PER_S).tolist())


def read_profile(path: Path) -> Profile:
    """Read a profile export of one load.

    Raises: TruncatedExportError where it stops in the middle; UsageError where a NaN emptied it or it is too big.
    """
    size_bytes = path.stat().st_size
    if size_bytes == 0:
        raise UsageError(
            "perf_analyzer wrote an empty export: the model answered NaN or infinity, which it cannot write",
            hint="give the model real data: --input NAME=VALUE or --input-data FILE",
        )
    if size_bytes > MAX_EXPORT_BYTES:
        raise UsageError(
            f"perf_analyzer's export, with every tensor in it, has {size_bytes >> 20} MiB: too much to read",
            hint="shorten the windows: --window-ms",
        )
    return parse_profile(path.read_bytes())


def parse_profile(data: bytes) -> Profile:
    """Parse a profile export; the last experiment where there are several."""
    # BYTES tensors are written raw, so the file is not UTF-8; latin-1 maps every byte to a character.
    decoder = json.JSONDecoder(object_hook=_without_tensors, strict=False)
    try:
        document = decoder.decode(data.decode("latin-1"))
        experiment = document["experiments"][-1]
        requests, windows = experiment["requests"], experiment["window_boundaries"]
    except (ValueError, KeyError, IndexError, TypeError) as problem:
        raise TruncatedExportError(f"the export of {len(data)} bytes is not whole: {problem}") from None
    if not requests:
        raise TruncatedExportError("the export has no request")
    responses = [_content_timestamps(request) for request in requests]
    return Profile(
        sent_ns=np.array([request["timestamp"] for request in requests], dtype=np.int64),
        first_response_ns=np.array([times[0] for times in responses], dtype=np.int64),
        before_last_ns=np.array([times[max(0, len(times) - 2)] for times in responses], dtype=np.int64),
        finished_ns=np.array([times[-1] for times in responses], dtype=np.int64),
        responses=np.array([len(times) for times in responses], dtype=np.int64),
        window_ends_ns=np.array(windows, dtype=np.int64),
        analyzer_version=str(document.get("version", "")),
    )


def _without_tensors(value: dict[str, Any]) -> dict[str, Any]:
    """Drop a request's tensors as soon as they are parsed; of the outputs keep only whether the last one is empty."""
    if "response_timestamps" in value:
        outputs = value.get("response_outputs") or []
        value["is_last_empty"] = len(outputs) > 1 and all(tensor in ("", [], None) for tensor in outputs[-1].values())
        value.pop("request_inputs", None)
        value.pop("response_outputs", None)
    return value


def _content_timestamps(request: dict[str, Any]) -> list[int]:
    """Return the times of the responses with content.

    A decoupled model that sends the FINAL flag by itself adds one empty response (0.2 ms later) that is no answer.
    """
    times: list[int] = request["response_timestamps"]
    return times[:-1] if request["is_last_empty"] and len(times) > 1 else times


def without_final_flags(profile: Profile, responses_per_request: float) -> Profile:
    """Drop each request's last response where the CSV counts one fewer per request than the export holds.

    For a FINAL flag sent by itself 2.51 exports an empty string for a text output, but uninitialised memory for a
    number, which nothing in the export tells apart from an answer. The CSV's response throughput leaves it out.
    """
    if profile.responses.min() < 2 or float(profile.responses.mean()) - responses_per_request < 0.5:
        return profile
    return replace(profile, finished_ns=profile.before_last_ns, responses=profile.responses - 1)


def parse_csv(text: str) -> list[dict[str, float]]:
    """Return the rows of perf_analyzer's CSV by column name, in the order of the load (it sorts by throughput)."""
    rows = [
        {name: float(cell) for name, cell in row.items() if name and cell and _is_number(cell)}
        for row in csv.DictReader(io.StringIO(text))
    ]
    return sorted(rows, key=lambda row: row.get("Concurrency", row.get("Request Rate", 0.0)))


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
