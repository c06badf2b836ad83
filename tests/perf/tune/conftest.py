"""Tunings made up in memory."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tritonsmith.perf.limits import Limit
from tritonsmith.perf.measure.load import Load
from tritonsmith.perf.measure.machine import Environment
from tritonsmith.perf.tune.core import Candidate, Confirmation, Found, Prediction, Standing, Trial, Wish
from tritonsmith.perf.tune.document import Expectation, Phase, TunePlan, Tuning

HERE = Environment("Some CPU", 2, 8 << 30, "6.1", "2.36", "3.11.7", "0.1.0", "2.51.0", "2.51.0")
LOADS = tuple(Load("concurrency", value) for value in (1, 4, 16))
WISH = Wish("throughput", (Limit("p99_ms", 50.0),), LOADS)
COUNT = "models.classifier.instance_group.count"
MakeTuning = Callable[..., Tuning]
CHANGE = "--- a/tritonsmith.yaml\n+++ b/tritonsmith.yaml\n@@ -1 +1 @@\n-    count: 1\n+    count: 2\n"


def candidate(count: int) -> Candidate:
    return Candidate(f"classifier.instance_group.count={count}", {COUNT: count}, (float(count),))


STANDINGS = (
    Standing(candidate(2), "picked", LOADS[2], 1240.0, (1210.0, 1270.0), 1190.0, 9, 14.2),
    Standing(candidate(3), "tied", LOADS[2], 1250.0, (1190.0, 1310.0), 1300.0, 7, 11.0, "another instance"),
    Standing(candidate(1), "eliminated", LOADS[1], 640.0, (610.0, 655.0), 700.0, 3, 4.0, "48% below the leader"),
    Standing(candidate(4), "failed", trials=1, seconds=1.0, reason="no <memory> & no luck"),
    Standing(Candidate("as it is", {}), "not measured", reason="predicted to be far behind"),
)


def trials() -> tuple[Trial, ...]:
    made = []
    for number in range(18):
        count = (2, 3, 1)[number % 3]
        rate = {2: 1240.0, 3: 1250.0, 1: 640.0}[count] * (0.98 + 0.01 * (number % 4))
        load = LOADS[2] if number % 2 else LOADS[1]
        p99_ms = 60.0 if number == 7 else 20.0
        times_ms = (9.0, 8.0, 12.0, 14.0, p99_ms)
        made.append(Trial(candidate(count).name, load, number, 300, rate, rate, 400, *times_ms, seconds=1.5))
    return (*made, Trial(candidate(4).name, LOADS[1], 0, 300, seconds=1.0, failure="no <memory> & no luck"))


@pytest.fixture
def make_tuning() -> MakeTuning:
    """A function to a whole tuning; keywords replace parts of the tuning or of what was found."""

    def make(**parts: Any) -> Tuning:
        pair = Confirmation(candidate(2).name, candidate(3).name, 8, 0.992, (0.961, 1.021))
        found = Found(candidate(2), LOADS[2], STANDINGS, (pair,), 61.0, trials=trials())
        known = set(Found.__dataclass_fields__)
        found = replace(found, **{name: value for name, value in parts.items() if name in known})
        plan = TunePlan("digits", WISH, spec="tritonsmith.yaml")
        expected = Prediction(1190.0, 1190.0, 9.0, 8.0, 12.0, 14.0, 18.0)
        tuning = Tuning(
            plan=plan,
            environment=HERE,
            found=found,
            started_at="2026-11-20T20:00:00.000+00:00",
            seconds=96.4,
            phases=(
                Phase("build and start", 3.2),
                Phase("calibration", 20.0),
                Phase("search", 71.0),
                Phase("end", 2.2),
            ),
            expectations=(
                Expectation(candidate(2).name, LOADS[2], expected),
                Expectation(candidate(1).name, LOADS[1], replace(expected, throughput_per_s=700.0, p99_ms=25.0)),
            ),
            change=CHANGE,
            is_written=True,
        )
        return replace(tuning, **{name: value for name, value in parts.items() if name not in known})

    return make
