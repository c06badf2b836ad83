"""Variants against the first, repeat by repeat, in words."""

from __future__ import annotations

from tritonsmith.perf.document import Sweep
from tritonsmith.perf.paired import Ratio, pairings
from tritonsmith.perf.report.numbers import interval_words


def pairing_lines(sweep: Sweep) -> list[str]:
    """Return a line for each variant and load of a sweep that several hosts measured."""
    return [
        f"{one.load}, {one.variant} against {one.baseline}, {one.pairs} repeats each on one host: "
        f"requests/s {_words(one.throughput)}, p50 {_words(one.p50)}; "
        f"in brackets {interval_words(min(one.throughput.interval.coverage, one.p50.interval.coverage))}"
        for one in pairings(sweep)
    ]


def _words(ratio: Ratio) -> str:
    low, high = ratio.interval.low, ratio.interval.high
    return f"{ratio.value - 1:+.1%} ({low - 1:+.1%} to {high - 1:+.1%})"
