"""The gate's error rates by simulation, on noise as it was measured; seeds are fixed."""

import math

import numpy as np
import pytest

from tritonsmith.perf.gate.noise import MODELS, Noise, draw_log_ratios
from tritonsmith.perf.gate.operating import Characteristics, simulate_gates
from tritonsmith.perf.gate.self_test import highest_share
from tritonsmith.perf.gate.spending import ERROR

GATES, TOLERANCE = 2000, 0.05
CHANCE = 3 * math.sqrt(ERROR * (1 - ERROR) / GATES)  # three standard errors of a share of 2 %
CAN_SEE = [model for model in MODELS if model.error < 0.06 and model.tails == math.inf]


def simulated(noise: Noise, slowdown: float) -> Characteristics:
    return simulate_gates(noise, slowdown, TOLERANCE, GATES, seed=11)


@pytest.mark.parametrize("noise", MODELS, ids=lambda noise: noise.title)
def test_hardly_a_gate_regresses_with_nothing_slower(noise: Noise) -> None:
    same = simulated(noise, 1.0)
    assert highest_share(same.regressed, same.gates) < ERROR / 2


@pytest.mark.parametrize("noise", MODELS, ids=lambda noise: noise.title)
def test_at_the_tolerance_itself_either_wrong_verdict_is_as_rare_as_promised(noise: Noise) -> None:
    edge = simulated(noise, 1 + TOLERANCE)
    assert edge.regress_share < ERROR + CHANCE
    assert edge.pass_share < ERROR + CHANCE


@pytest.mark.parametrize("noise", CAN_SEE, ids=lambda noise: noise.title)
def test_where_five_per_cent_can_be_seen_ten_are_found_and_none_passes(noise: Noise) -> None:
    assert simulated(noise, 1.1).regress_share > 0.9
    assert simulated(noise, 1.0).pass_share > 0.9


@pytest.mark.parametrize("noise", MODELS[:8], ids=lambda noise: noise.title)
def test_a_gate_that_says_it_can_see_five_per_cent_finds_ten(noise: Noise) -> None:
    ten = simulated(noise, 1.1)
    allowed = 0.9 - 3 * math.sqrt(0.09 / max(1, ten.seen))
    assert ten.found is not None
    assert ten.found > allowed


def test_where_the_machine_is_too_noisy_it_is_inconclusive() -> None:
    shared = simulated(MODELS[-1], 1.0)
    assert shared.pass_share == 0.0
    assert shared.regressed <= 5


def test_a_quiet_machine_is_done_sooner() -> None:
    assert simulated(MODELS[0], 1.0).mean_pairs < simulated(MODELS[1], 1.0).mean_pairs < 24


def test_a_steady_drift_falls_on_both_sides_alike() -> None:
    drifting = draw_log_ratios(Noise("drift alone", 0.0, trend=0.3), 1.0, 50, 32, 1)
    assert np.abs(drifting).max() < 1e-9


def test_a_bias_of_processes_is_noise_between_pairs() -> None:
    biased = draw_log_ratios(Noise("processes alone", 0.0, generation=0.03), 1.0, 500, 32, 1)
    assert biased.std() == pytest.approx(0.03 * math.sqrt(2), rel=0.05)
