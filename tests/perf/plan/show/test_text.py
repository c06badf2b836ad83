"""What is said of a plan, piece by piece."""

import math
from dataclasses import replace

import pytest

from tritonsmith.perf.plan.core import Replicas, Tails, exact
from tritonsmith.perf.plan.show.text import roll_out_text

TAILS = Tails({0.99: 100.0}, {0.99: 10.0}, {0.99: 900.0}, 0.995, 0.6)
ENDLESS = replace(TAILS, latency_ms={0.99: math.inf}, share_within=0.0)
SPARE = Replicas(3, 1, 0, exact(5.0, "test"), TAILS, TAILS, rolling=TAILS)


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (SPARE, "99.5% of the requests keep to the limits meanwhile"),
        (
            replace(SPARE, spare=0, surge=1, rolling=ENDLESS),
            "left fall behind, 2 replicas; with 4 GPUs more (maxSurge: 1)",
        ),
        (replace(SPARE, working=1, spare=0, surge=1, rolling=None), "nobody answers meanwhile; with 4 GPUs more"),
    ],
)
def test_a_roll_out_is_told_as_it_is_deployed(found: Replicas, words: str) -> None:
    text = roll_out_text(found, gpus=4)
    assert text.startswith("a roll-out replaces one at a time (maxSurge: 0): ")
    assert words in text
    assert text.endswith(words) == (found.surge == 0)
