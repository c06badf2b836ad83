"""Gates made up in memory."""

from collections.abc import Callable, Sequence
from itertools import islice

import numpy as np
import pytest

from tritonsmith.perf.gate.core import DEFAULT_TOLERANCES, Conditions, Run, Tolerance
from tritonsmith.perf.gate.decide import judge
from tritonsmith.perf.gate.document import Contender, Gate, GatePlan
from tritonsmith.perf.gate.pairs import plan_pairs
from tritonsmith.perf.gate.ratios import find_failures, log_ratios
from tritonsmith.perf.gate.refusals import find_refusals
from tritonsmith.perf.measure.fingerprint import Fingerprint
from tritonsmith.perf.measure.load import Load

HERE = Fingerprint("Some CPU", 2, 8, "6.1", "2.36", "3.11.7", "2.51.0", "2.51.0")
QUIET = Conditions(False, 0.1, 0.0, 0.4, 0.05, 0.5)
LOAD = Load("concurrency", 4)
MakeRuns = Callable[..., tuple[Run, ...]]
MakeGate = Callable[..., Gate]


@pytest.fixture
def make_runs() -> MakeRuns:
    """A function from a slowdown to the runs of so many pairs, with a noise of 2 %."""

    def make(
        slowdown: float = 1.0, pairs: int = 8, loads: Sequence[Load] = (LOAD,), noise: float = 0.02, seed: int = 3
    ) -> tuple[Run, ...]:
        draw = np.random.default_rng(seed)
        runs = []
        for pair in islice(plan_pairs(loads, seed), pairs):
            for turn in pair.turns:
                factor = float(np.exp(draw.normal(0, noise))) * (slowdown if turn.side == "candidate" else 1.0)
                values = {"p50": 4000 * factor, "p99": 9000 * factor**2, "throughput": 1000 / factor}
                place = (pair.number, turn.side, turn.load, turn.place)
                runs.append(Run(*place, "2026-11-20T20:00:00+00:00", values, 400, 0, QUIET))
        return tuple(runs)

    return make


@pytest.fixture
def make_gate(make_runs: MakeRuns) -> MakeGate:
    """A function from a slowdown, or from runs, to a whole gate."""

    def make(
        slowdown: float = 1.0,
        pairs: int = 8,
        runs: Sequence[Run] | None = None,
        loads: Sequence[Load] = (LOAD,),
        tolerances: tuple[Tolerance, ...] = DEFAULT_TOLERANCES,
        noise: float = 0.02,
    ) -> Gate:
        runs = make_runs(slowdown, pairs, loads, noise) if runs is None else runs
        plan = GatePlan("digits", tuple(loads), tolerances)
        failures = find_failures(runs, [tolerance.metric for tolerance in tolerances], loads, pairs)
        refusals = find_refusals(runs, HERE.cores)
        verdict = judge(log_ratios(runs), tolerances, failures=failures, refusals=refusals, is_last=True)
        sides = Contender("main", "0" * 64), Contender("a|b <i>", "1" * 64, ("classifier: KIND_GPU -> KIND_CPU",))
        return Gate(plan, HERE, *sides, "2026-11-20T20:00:00+00:00", 61.5, tuple(runs), verdict, "0.1.0")

    return make
