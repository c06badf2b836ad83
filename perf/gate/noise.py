"""Noise as it was measured on machines that serve, made up: what the gate's error rates are tried on.

The logarithm of a run's metric is a drift of the machine, an error of its own, now and then a burst of stolen CPU, and
a bias that a generation of processes keeps for its life. Measured on 2 cores: errors of 3 to 6 %, drifts of 4 to 8 %,
and processes of the same work that differ by several per cent for as long as they live.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from tritonsmith.perf.gate.pairs import ORDERS
from tritonsmith.perf.statistics.signed_rank import Floats

RUNS = len(ORDERS[0])
SHORTER = math.sqrt(2)  # so much larger is the error of a gate's run: a pair has twice as many, half as long
BURST_CHANCE, BURST_SIZE = 0.08, 4.0  # bursts are one-sided: they only slow down


@dataclass(frozen=True)
class Noise:
    """Standard deviations of the logarithm: of a run's own error, the drift, and a generation's bias.

    `memory` is the drift's correlation from one run to the next; `trend` its steady part, over all of 32 pairs.
    `tails` are the degrees of freedom of Student's t that errors follow; infinite is normal.
    """

    title: str
    error: float
    drift: float = 0.0
    memory: float = 0.9
    trend: float = 0.0
    generation: float = 0.0
    tails: float = math.inf


MODELS: tuple[Noise, ...] = (
    Noise("quiet: 2 %, drift 2 %", 0.02, 0.02),
    Noise("p50 on a shared machine: 3 %, drift 4 %", 0.03, 0.04),
    Noise("the same, processes differ by 2 %", 0.03, 0.04, generation=0.02),
    Noise("the same, drifting 30 % slower", 0.03, 0.04, trend=0.30),
    Noise("the same, drift from run to run", 0.03, 0.04, memory=0.3),
    Noise("the same, heavy tails (t with 2)", 0.03, 0.04, tails=2.0),
    Noise("p50 on a crowded machine: 6 %, drift 8 %", 0.06, 0.08),
    Noise("the same, processes differ by 3 %", 0.06, 0.08, generation=0.03),
    Noise("throughput on a shared machine: 15 %, drift 12 %", 0.15, 0.12),
)


def draw_log_ratios(noise: Noise, slowdown: float, gates: int, pairs: int, seed: int) -> Floats:
    """Return the log ratios of so many gates, [gates, pairs], where the candidate is so many times slower."""
    draw = np.random.default_rng(seed)
    shape = (gates, pairs, RUNS)
    logs = _drift(noise, draw, gates, pairs * RUNS).reshape(shape) + _errors(noise, draw, shape)
    is_candidate = np.array([[side == "candidate" for side in order] for order in ORDERS])
    orders = np.argsort(draw.random((gates, pairs // 2, 2)), axis=-1).reshape(gates, pairs)  # of every two, one each
    candidate = is_candidate[orders]
    biases = noise.generation * draw.normal(size=(gates, pairs, 2))
    logs += np.where(candidate, math.log(slowdown) + biases[..., :1], biases[..., 1:])
    signs = np.where(candidate, 1.0, -1.0)
    return np.asarray((logs * signs).sum(axis=-1) / (RUNS / 2))


def _errors(noise: Noise, draw: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    errors = draw.normal(size=shape) if math.isinf(noise.tails) else draw.standard_t(noise.tails, size=shape)
    bursts = np.where(draw.random(shape) < BURST_CHANCE, BURST_SIZE * np.abs(draw.normal(size=shape)), 0.0)
    return np.asarray(SHORTER * noise.error * (errors + bursts))


def _drift(noise: Noise, draw: np.random.Generator, gates: int, runs: int) -> Floats:
    """Return an autoregressive drift with its trend, [gates, runs]."""
    steps = draw.normal(size=(gates, runs)) * noise.drift * math.sqrt(1 - noise.memory**2)
    steps[:, 0] = draw.normal(size=gates) * noise.drift
    for run in range(1, runs):
        steps[:, run] += noise.memory * steps[:, run - 1]
    return np.asarray(steps + noise.trend * np.arange(runs) / runs)
