"""Read what perf_analyzer exports: the profile JSON (every request's timestamps) and the CSV (one row per load)."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from tritonsmith.generator.errors import UsageError

# The export holds the tensors of every request. They are dropped while parsing, but the text must fit into memory.
MAX_EXPORT_BYTES = 512 << 20
NS_PER_S = 1e9


class TruncatedExportError(ValueError):
    """Raised when an export stops in the middle, which 2.51 does now and then with status 0; measuring again helps."""


class EmptyExportError(UsageError):
    """Raised for an export without a byte, which a NaN leaves behind.

    Where a response lacks an output, 2.51 exports uninitialised memory for it. That is a NaN now and then, though the
    model answered none: measuring again helps with models whose responses may differ.
    """


Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
# What says how many tokens a response holds: TensorRT-LLM's outputs, the exact one first; else a response is a token.
TokenSource = Literal["sequence_length", "output_ids", "responses"]
PADDING = -1  # of output_ids


@dataclass(frozen=True)
class Profile:
    """Every request that finished within the measurement windows, in the order of the export.

    Times are nanoseconds of the system clock. `sent_ns` and `responses` (their number, at least 1) are [requests];
    `arrived_ns` and `tokens` are [responses], those with content of all requests, one request after the other.
    `window_ends_ns` has one more entry than there are windows: the first is the start.
    """

    sent_ns: Integers
    responses: Integers
    arrived_ns: Integers
    tokens: Integers
    tokens_by: TokenSource
    window_ends_ns: Integers
    analyzer_version: str

    @cached_property
    def last(self) -> Integers:
        """Return where each request's last response is in the arrays of responses, [requests]."""
        return np.asarray(np.cumsum(self.responses) - 1)

    @property
    def first_response_ns(self) -> Integers:
        """Return when each request's first response came, [requests]."""
        return np.asarray(self.arrived_ns[self.last - self.responses + 1])

    @property
    def finished_ns(self) -> Integers:
        """Return when each request's last response with content came, [requests]."""
        return np.asarray(self.arrived_ns[self.last])

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

    def only(self, is_kept: npt.NDArray[np.bool_], start_ns: int, end_ns: int) -> Profile:
        """Return the requests that are kept, [requests]; the windows become thirds of the time from start to end."""
        is_of_kept = np.repeat(is_kept, self.responses)
        return replace(
            self,
            sent_ns=self.sent_ns[is_kept],
            responses=self.responses[is_kept],
            arrived_ns=self.arrived_ns[is_of_kept],
            tokens=self.tokens[is_of_kept],
            window_ends_ns=np.linspace(start_ns, end_ns, 4).astype(np.int64),
        )


def read_profile(path: Path) -> Profile:
    """Read a profile export of one load.

    Raises: TruncatedExportError where it stops in the middle; EmptyExportError where a NaN emptied it; UsageError
    where it is too big.
    """
    size_bytes = path.stat().st_size
    if size_bytes == 0:
        raise EmptyExportError(
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
    kept = [_responses_with_content(request) for request in requests]
    source = _token_source(requests)
    counts = [request["tokens"].get(source) or [1] * kept for request, kept in zip(requests, kept, strict=True)]
    return Profile(
        sent_ns=np.array([request["timestamp"] for request in requests], dtype=np.int64),
        responses=np.array(kept, dtype=np.int64),
        arrived_ns=_joined([request["response_timestamps"] for request in requests], kept),
        tokens=_joined(counts, kept),
        tokens_by=source,
        window_ends_ns=np.array(windows, dtype=np.int64),
        analyzer_version=str(document.get("version", "")),
    )


def _joined(lists: list[list[int]], kept: list[int]) -> Integers:
    """Return the first `kept` entries of each list, one list after the other."""
    return np.array([one for entries, count in zip(lists, kept, strict=True) for one in entries[:count]], np.int64)


def _without_tensors(value: dict[str, Any]) -> dict[str, Any]:
    """Drop a request's tensors as soon as they are parsed; keep whether the last answer is empty, and token counts."""
    if "response_timestamps" in value:
        outputs = value.get("response_outputs") or []
        value["is_last_empty"] = len(outputs) > 1 and all(tensor in ("", [], None) for tensor in outputs[-1].values())
        value["tokens"] = _tokens_of(outputs[:-1] if value["is_last_empty"] else outputs)
        value.pop("request_inputs", None)
        value.pop("response_outputs", None)
    return value


def _tokens_of(outputs: list[Mapping[str, Any]]) -> dict[str, list[int]]:
    """Return each response's tokens by what says so, where every response says so; all beams count."""
    counts: dict[str, list[int]] = {}
    if _all_have("sequence_length", outputs):
        counts["sequence_length"] = [sum(_flat(output["sequence_length"])) for output in outputs]
    if _all_have("output_ids", outputs):
        counts["output_ids"] = [sum(one != PADDING for one in _flat(output["output_ids"])) for output in outputs]
    return counts


def _all_have(name: str, outputs: list[Mapping[str, Any]]) -> bool:
    """Tell whether each response has the output, in whole numbers."""
    return bool(outputs) and all(
        name in output and all(isinstance(one, int) for one in _flat(output[name])) for output in outputs
    )


def _flat(tensor: Any) -> list[int]:
    """Return an exported tensor of numbers as a list; one element is exported without its list."""
    return tensor if isinstance(tensor, list) else [tensor]


def _token_source(requests: list[dict[str, Any]]) -> TokenSource:
    """Return the best source of token counts that every request has."""
    return next(
        (one for one in get_args(TokenSource) if all(one in request["tokens"] for request in requests)), "responses"
    )


def _responses_with_content(request: dict[str, Any]) -> int:
    """Return how many responses have content.

    A decoupled model that sends the FINAL flag by itself adds one empty response (0.2 ms later) that is no answer.
    """
    count = len(request["response_timestamps"])
    return count - 1 if request["is_last_empty"] and count > 1 else count


def without_final_flags(profile: Profile, responses_per_request: float) -> Profile:
    """Drop each request's last response where the CSV counts one fewer per request than the export holds.

    For a FINAL flag sent by itself 2.51 exports an empty string for a text output, but uninitialised memory for a
    number, which nothing in the export tells apart from an answer. The CSV's response throughput leaves it out.
    """
    if profile.responses.min() < 2 or float(profile.responses.mean()) - responses_per_request < 0.5:
        return profile
    return replace(
        profile,
        responses=profile.responses - 1,
        arrived_ns=np.delete(profile.arrived_ns, profile.last),
        tokens=np.delete(profile.tokens, profile.last),
    )


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
