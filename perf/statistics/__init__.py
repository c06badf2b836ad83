"""Statistics of few noisy values: intervals of their middle, the signed-rank test, Student's t. Only numpy."""

from tritonsmith.perf.statistics.intervals import (
    Interval,
    median,
    median_interval,
    quantile,
    relative_spread,
    requests_needed,
    spread,
)

__all__ = ["Interval", "median", "median_interval", "quantile", "relative_spread", "requests_needed", "spread"]
