"""How long `tritonsmith --help` takes against `python -c "import click"`: `python -m tritonsmith.perf.bench.startup`.

The two run in turn, so that a change of the machine's speed meets both. The goal is a ratio of at most 2.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import click

from tritonsmith.generator import console
from tritonsmith.perf.bench.record import write_result
from tritonsmith.perf.statistics import median, median_interval

GOAL = 2.0


@click.command()
@click.option("--pairs", default=30, show_default=True, help="How often each is run.")
def main(pairs: int) -> None:
    """Time `tritonsmith --help`."""
    tritonsmith = [sys.executable, str(Path(sys.executable).with_name("tritonsmith")), "--help"]
    imports_click = [sys.executable, "-c", "import click"]
    for argv in (tritonsmith, imports_click):  # once, for the file cache
        seconds_of(argv)
    timed = [(seconds_of(tritonsmith), seconds_of(imports_click)) for _ in range(pairs)]
    ratios = [ours / theirs for ours, theirs in timed]
    interval = median_interval(ratios)
    result = {
        "help_ms": round(median([ours for ours, _ in timed]) * 1000, 1),
        "import_click_ms": round(median([theirs for _, theirs in timed]) * 1000, 1),
        "ratio": round(median(ratios), 3),
        "ratio_interval": [round(interval.low, 3), round(interval.high, 3)],
        "goal": GOAL,
        "pairs": pairs,
    }
    write_result("startup", result)
    console.result(
        f"tritonsmith --help {result['help_ms']} ms, import click {result['import_click_ms']} ms: "
        f"ratio {result['ratio']} ({interval.low:.2f} to {interval.high:.2f}), goal at most {GOAL:g}"
    )


def seconds_of(argv: list[str]) -> float:
    """Return the wall time of a whole process."""
    started_s = time.perf_counter()
    subprocess.run(argv, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - started_s


if __name__ == "__main__":
    main()
