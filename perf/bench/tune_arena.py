"""An arena that is made up: true values, disturbed as measurements on a shared machine were seen to be, and a clock.

Seen on 2 shared cores with perf_analyzer's runs of one to two seconds: throughput varies by 5 to 17 %, p99 by 10 to
50 %, one run in twelve is hit by a burst of stolen time, the machine drifts by some per cent, and processes of equal
work differ by 2 to 4 % for as long as they live. A full load takes 1.4 s, an instance more 0.1 s, one less 1.2 s.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, replace

from tritonsmith.perf.bench.tune_spaces import Space, times
from tritonsmith.perf.measure.analyzer import measured_s
from tritonsmith.perf.measure.load import Load
from tritonsmith.perf.tune.core import Candidate, Prediction, Trial
from tritonsmith.perf.tune.search.costs import kind_of_step

CHANGE_S = {"stay": 0.0, "more instances": 0.1, "fewer instances": 1.2, "load": 1.4}
START_S, WARM_UP_S, PREDICTION_S = 0.35, 0.3, 0.02
BURST_CHANCE, BURST_SIZE = 0.08, 4.0
MEMORY = 0.9  # of the drift, from one run to the next


@dataclass(frozen=True)
class Noise:
    """Standard deviations of logarithms: of a run of 1.8 s, of its p99, of a generation, of the machine's drift."""

    error: float
    tail: float
    generation: float
    drift: float


def drawn_noise(seed: int) -> Noise:
    """Return noise in the range that was seen."""
    draw = random.Random(seed)  # noqa: S311
    return Noise(draw.uniform(0.04, 0.1), draw.uniform(0.1, 0.35), draw.uniform(0.02, 0.04), draw.uniform(0.01, 0.04))


class SimulatedArena:
    """Measures a made-up space. `calibration_s` were spent before the search began."""

    def __init__(self, space: Space, noise: Noise, seed: int, calibration_s: float = 15.0) -> None:
        self.space, self.noise, self.spent_s = space, noise, calibration_s
        self._draw = random.Random(seed)  # noqa: S311
        self._loaded: Candidate | None = None
        self._generation, self._bias, self._drift = 0, 0.0, self._draw.gauss(0, noise.drift)
        self._asked: set[tuple[str, Load]] = set()

    def predict(self, candidate: Candidate, load: Load) -> Prediction:
        """Return the space's prediction; the first time it takes a moment."""
        if (candidate.name, load) not in self._asked:
            self._asked.add((candidate.name, load))
            self.spent_s += PREDICTION_S
        return self.space.predict(candidate, load)

    def measure(self, candidate: Candidate, load: Load, *, window_ms: int, is_fresh: bool) -> Trial:
        """Measure once."""
        kind = kind_of_step(self._loaded, candidate, is_fresh=is_fresh)
        if kind != "stay":
            self._generation += 1
            self._bias = self._draw.gauss(0, self.noise.generation)
        self._loaded = candidate
        change_s = CHANGE_S[kind] + (WARM_UP_S if kind != "stay" else 0.0)
        seconds = (change_s + START_S) * math.exp(self._draw.gauss(0, 0.15)) + measured_s(window_ms)
        self.spent_s += seconds
        return self._trial(candidate, load, window_ms, seconds, is_cold=kind != "stay")

    def _trial(self, candidate: Candidate, load: Load, window_ms: int, seconds: float, *, is_cold: bool) -> Trial:
        noise, measured = self.noise, measured_s(window_ms)
        truth = self.space.truth(candidate, load)
        length = math.sqrt(0.4 + 0.6 * 1.8 / measured)
        self._drift = MEMORY * self._drift + math.sqrt(1 - MEMORY**2) * self._draw.gauss(0, noise.drift)
        burst = self._draw.random() < BURST_CHANCE
        slower = self._bias + self._drift + noise.error * length * self._draw.gauss(0, 1) + 0.02 * is_cold
        slower += BURST_SIZE * noise.error * abs(self._draw.gauss(0, 1)) if burst else 0.0
        rate = truth.throughput_per_s * math.exp(-slower)
        requests = max(1, round(rate * measured))
        tail = math.hypot(noise.tail * length, 0.25 / math.sqrt(max(0.3, requests * 0.01))) * self._draw.gauss(0, 1)
        tail += 1.0 * abs(self._draw.gauss(0, 1)) if burst else 0.0
        figures = {name: value * math.exp(slower + tail * SHARE_OF_TAIL[name]) for name, value in times(truth).items()}
        share = truth.good_per_s / truth.throughput_per_s if truth.throughput_per_s else 0.0
        odds = share / max(1e-6, 1 - share) * math.exp(-3 * tail - slower)
        trial = Trial(
            candidate.name,
            load,
            self._generation,
            window_ms,
            throughput_per_s=requests / measured,
            good_per_s=requests / measured * min(1.0, odds / (1 + odds)),
            requests=requests,
            seconds=seconds,
        )
        return replace(trial, **figures)  # type: ignore[arg-type]  # all are milliseconds


SHARE_OF_TAIL = {"mean_ms": 0.1, "p50_ms": 0.0, "p90_ms": 0.3, "p95_ms": 0.5, "p99_ms": 1.0}
