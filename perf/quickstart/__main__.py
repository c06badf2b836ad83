"""Both halves: build, check, serve on a real tritonserver, infer, sweep with perf_analyzer, report.

Everything goes below build/quickstart; a second run keeps what was measured and is quick.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from tritonsmith.generator import cli, console
from tritonsmith.perf.quickstart.digits import classify_digits
from tritonsmith.perf.quickstart.steps import Steps
from tritonsmith.perf.quickstart.text import generate_text

OUTPUT = Path("build") / "quickstart"
STEPS = 14


def quickstart(output: Path = OUTPUT) -> None:
    """Take every step, and end with how good the served models are, how fast, and where the reports lie."""
    steps = Steps(STEPS)
    digits = classify_digits(steps, output / "digits")
    text = generate_text(steps, output / "text")
    console.result(f"\nHandwritten digits\n{digits}\n\nA language model\n{text}")


if __name__ == "__main__":
    started_s = time.monotonic()
    status = cli.guarded(quickstart)
    console.say(f"{time.monotonic() - started_s:.0f} s")
    sys.exit(status)
