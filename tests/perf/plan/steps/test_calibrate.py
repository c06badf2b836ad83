"""Step times that are corrected by what was measured agree with it, and say how sure they are."""

from dataclasses import dataclass

import pytest

from tritonsmith.generator.errors import UsageError
from tritonsmith.perf.plan.steps.calibrate import LEAST_ERROR, ONE_LOAD_ERROR, Measured, calibrated


@dataclass(frozen=True)
class Times:
    """Prompts of so many seconds a token; steps of a fixed time and one per sequence."""

    token_s: float = 1e-5
    step_s: float = 5e-3
    sequence_s: float = 1e-4
    source: str = "made up"

    def prefill_s(self, tokens: float, context: float) -> float:
        return self.token_s * tokens

    def decode_s(self, sequences: float, context: float) -> float:
        return self.step_s + self.sequence_s * sequences


def measured_of(times: Times, sequences: float, noise: float = 1.0) -> Measured:
    beside_s = (sequences - 1) * times.prefill_s(100, 0) / 50
    step_s = times.decode_s(sequences, 125)
    return Measured(sequences, 100, 50, times.prefill_s(100, 0) + step_s, (step_s + beside_s) * noise)


def test_times_that_are_off_by_a_share_come_out_as_measured() -> None:
    truth = Times(3e-5, 1e-2, 2e-4)
    found = calibrated(Times(), [measured_of(truth, n) for n in (1, 8, 32, 64)])
    assert found.prefill == pytest.approx(3, rel=0.05)
    for sequences in (4, 16, 100):
        assert found.decode_s(sequences, 125) == pytest.approx(truth.decode_s(sequences, 125), rel=0.03)
    assert found.error == pytest.approx(LEAST_ERROR, abs=0.03)


def test_a_time_for_every_step_is_told_from_a_share() -> None:
    truth = Times(1e-5, 5e-3 + 4e-3, 1e-4)
    found = calibrated(Times(), [measured_of(truth, n) for n in (1, 8, 32, 64)])
    assert found.decode == pytest.approx(1, rel=0.05)
    assert found.step_s == pytest.approx(4e-3, rel=0.1)


def test_one_load_moves_the_level_and_claims_less() -> None:
    found = calibrated(Times(), [measured_of(Times(1e-5, 1e-2, 2e-4), 16)])
    assert found.decode_s(16, 125) == pytest.approx(1e-2 + 16 * 2e-4, rel=0.02)
    assert found.error == ONE_LOAD_ERROR


def test_noisy_loads_widen_the_interval() -> None:
    noisy = [measured_of(Times(), n, noise) for n, noise in ((1, 1.2), (8, 0.85), (32, 1.15), (64, 0.9))]
    found = calibrated(Times(), noisy)
    assert found.error > 3 * LEAST_ERROR
    low, high = found.interval
    assert low < 1 < high


def test_results_without_streams_are_refused_with_the_next_step() -> None:
    with pytest.raises(UsageError, match="no load whose answers streamed"):
        calibrated(Times(), [])
