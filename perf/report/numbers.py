"""Numbers as people read them."""

from __future__ import annotations

from tritonsmith.perf.summary import Estimate


def significant(value: float, digits: int = 3) -> str:
    """Return a number with at least three significant digits and thousands separators: "1,847", "36.6", "0.42"."""
    if value == 0:
        return "0"
    value = float(f"{value:.{digits}g}") if abs(value) < 10**digits else value
    decimals = 0
    while decimals < 6 and abs(value) < 10 ** (digits - 1 - decimals):
        decimals += 1
    return f"{value:,.{decimals}f}"


def duration(us: float) -> str:
    """Return a time with its unit: "870 µs", "3.71 ms", "1.20 s"."""
    if us < 1_000:
        return f"{us:.0f} µs"
    return f"{significant(us / 1e3)} ms" if us < 1e6 else f"{significant(us / 1e6)} s"


def rate_between(estimate: Estimate) -> str:
    """Return a rate with the interval of its median: "1,847 (1,790 to 1,880)"."""
    low, high = significant(estimate.interval.low), significant(estimate.interval.high)
    return f"{significant(estimate.value)} ({low} to {high})"


def ms_between(estimate: Estimate) -> str:
    """Return milliseconds with the interval of their median, without the unit: "3.71 (3.66 to 3.80)"."""
    low, high = significant(estimate.interval.low / 1e3), significant(estimate.interval.high / 1e3)
    return f"{significant(estimate.value / 1e3)} ({low} to {high})"


def interval_words(coverage: float) -> str:
    """Say what stands beside a median: an interval for it, or the mere range where that seldom enough holds it.

    Of 5 repeats the range holds the true median with 94 %, of 4 with 88 %, of 3 with 75 %.
    """
    if coverage > 0.9:
        return f"the {coverage:.0%} interval of the median"
    return f"the range of the repeats, too few for an interval (it holds the true median with {coverage:.0%} only)"
