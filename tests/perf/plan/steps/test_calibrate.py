"""Step times that are corrected by what was measured agree with it, and say how sure they are."""

from dataclasses import dataclass

import pytest

from tritonsmith.generator.errors import UsageError
from tritonsmith.perf.plan.steps.calibrate import FEW_LOADS_ERROR, LEAST_ERROR, CalibratedTimes, Measured, correct


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


def corrected(loads: list[Measured]) -> tuple[CalibratedTimes, float]:
    """Return the made-up times as these loads correct them, and the error that is told."""
    correction, error = correct(Times(), loads)
    return CalibratedTimes(Times(), correction, (1 / (1 + error), 1 + error), "measured"), error


def test_times_that_are_off_by_a_share_come_out_as_measured() -> None:
    truth = Times(3e-5, 1e-2, 2e-4)
    found, error = corrected([measured_of(truth, n) for n in (1, 8, 32, 64)])
    assert found.correction.prefill == pytest.approx(3, rel=0.05)
    for sequences in (4, 16, 100):
        assert found.decode_s(sequences, 125) == pytest.approx(truth.decode_s(sequences, 125), rel=0.03)
    assert error == pytest.approx(LEAST_ERROR, abs=0.03)


def test_a_time_for_every_step_is_told_from_a_share() -> None:
    truth = Times(1e-5, 5e-3 + 4e-3, 1e-4)
    found, _ = corrected([measured_of(truth, n) for n in (1, 8, 32, 64)])
    assert found.correction.decode == pytest.approx(1, rel=0.05)
    assert found.correction.step_s == pytest.approx(4e-3, rel=0.1)


def test_one_load_moves_the_level_and_claims_less() -> None:
    found, error = corrected([measured_of(Times(1e-5, 1e-2, 2e-4), 16)])
    assert found.decode_s(16, 125) == pytest.approx(1e-2 + 16 * 2e-4, rel=0.02)
    assert error == FEW_LOADS_ERROR


def test_noisy_loads_widen_the_interval() -> None:
    noise = ((1, 1.1), (8, 0.93), (32, 1.07), (64, 0.95))
    found, error = corrected([measured_of(Times(), n, factor) for n, factor in noise])
    assert error > 2 * LEAST_ERROR
    low, high = found.interval
    assert low < 1 < high <= 2 * low


def test_a_load_is_judged_by_the_others() -> None:
    """Two constants go nearly through three loads, and two of the loads do not foretell the third."""
    bent = [measured_of(Times(), 1, 1.1), measured_of(Times(), 16, 0.95), measured_of(Times(), 64, 1.1)]
    found, error = corrected(bent)
    off = []
    for load in bent:
        beside_s = (load.sequences - 1) * found.prefill_s(load.input_tokens, 0) / load.output_tokens
        off.append(abs((found.decode_s(load.sequences, load.context) + beside_s) / load.tpot_s - 1))
    assert error > 1.5 * max(off)


def test_repeats_of_two_loads_are_two_loads() -> None:
    repeats = [measured_of(Times(), n) for n in (8, 8.3, 7.8, 64, 66, 61)]
    assert correct(Times(), repeats)[1] == FEW_LOADS_ERROR


def test_loads_without_a_correction_in_common_are_refused() -> None:
    wild = [measured_of(Times(), n, factor) for n, factor in ((1, 3.0), (8, 0.3), (32, 2.0), (64, 0.5))]
    with pytest.raises(UsageError, match="no correction in common"):
        correct(Times(), wild)


def test_results_without_streams_are_refused_with_the_next_step() -> None:
    with pytest.raises(UsageError, match="no load whose answers streamed"):
        correct(Times(), [])
