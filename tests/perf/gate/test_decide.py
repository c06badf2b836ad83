from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from tritonsmith.generator.errors import UsageError
from tritonsmith.perf.gate.core import DEFAULT_TOLERANCES, Failure, Run, Tolerance
from tritonsmith.perf.gate.decide import judge
from tritonsmith.perf.gate.noise import MODELS, draw_log_ratios
from tritonsmith.perf.gate.operating import judge_many
from tritonsmith.perf.gate.ratios import log_ratios
from tritonsmith.perf.gate.spending import LOOKS
from tritonsmith.perf.measure.load import Load

FOUR, EIGHT = Load("concurrency", 4), Load("concurrency", 8)
P50, P99 = ("p50", FOUR), ("p99", FOUR)
QUIET = list(np.random.default_rng(0).normal(0, 0.01, 32))
SLOWER = [value + 0.0953 for value in QUIET]
WRONG = Failure("wrong outputs", "candidate", "concurrency 4", "probabilities differ by 0.4")


def test_a_candidate_like_its_baseline_passes() -> None:
    verdict = judge({P50: QUIET[:8]}, DEFAULT_TOLERANCES)
    assert (verdict.word, verdict.pairs, verdict.reasons) == ("pass", 8, ())


def test_a_slowdown_beyond_the_tolerance_regresses_and_is_named() -> None:
    verdict = judge({P50: SLOWER[:8]}, DEFAULT_TOLERANCES)
    assert verdict.word == "regress"
    assert verdict.reasons[0].startswith("p50 latency at concurrency 4: +10.4%")
    assert "beyond the tolerance of 5.0%" in verdict.reasons[0]


def test_a_slowdown_inside_the_tolerance_passes() -> None:
    assert judge({P50: [value + 0.02 for value in QUIET]}, DEFAULT_TOLERANCES).word == "pass"


def test_a_slowdown_inside_the_noise_is_inconclusive() -> None:
    noisy = [20 * value + 0.06 for value in QUIET]
    assert judge({P50: noisy}, DEFAULT_TOLERANCES).word == "inconclusive"


def test_it_never_passes_where_the_tolerance_could_not_have_been_seen() -> None:
    spread = [12 * value - 0.16 for value in QUIET]
    verdict = judge({P50: spread}, DEFAULT_TOLERANCES)
    [one] = verdict.comparisons
    assert one.high is not None
    assert one.smallest_visible is not None
    assert one.high < 1.0 < 1.05 < 1 + one.smallest_visible
    assert verdict.word == "inconclusive"
    assert "the smallest visible slowdown is" in verdict.reasons[0]


def test_before_the_first_look_nothing_is_said() -> None:
    verdict = judge({P50: SLOWER[:7]}, DEFAULT_TOLERANCES, is_last=True)
    assert (verdict.word, verdict.level) == ("inconclusive", None)
    assert "7 pairs are too few" in verdict.reasons[0]


def test_pairs_after_a_look_wait_for_the_next_one_unless_they_are_the_last() -> None:
    waiting = judge({P50: QUIET[:17]}, DEFAULT_TOLERANCES)
    ended = judge({P50: QUIET[:17]}, DEFAULT_TOLERANCES, is_last=True)
    assert waiting.level is not None
    assert ended.level is not None
    assert waiting.level < ended.level


def test_what_has_no_tolerance_decides_nothing() -> None:
    verdict = judge({P50: QUIET, P99: [10 * value for value in SLOWER]}, DEFAULT_TOLERANCES)
    assert verdict.word == "pass"
    assert [(one.metric, one.word) for one in verdict.comparisons] == [("p50", "pass"), ("p99", None)]


def test_one_slower_point_of_several_regresses() -> None:
    points = {P50: QUIET, ("p50", EIGHT): SLOWER}
    verdict = judge(points, DEFAULT_TOLERANCES)
    assert verdict.word == "regress"
    assert [one.word for one in verdict.comparisons] == ["pass", "regress"]


def test_holm_asks_more_of_each_point_the_more_there_are() -> None:
    eight = SLOWER[:8]
    assert judge({P50: eight}, DEFAULT_TOLERANCES).word == "regress"
    many = {("p50", Load("concurrency", value)): eight if value == 1 else QUIET[:8] for value in (1, 2, 4)}
    assert judge(many, DEFAULT_TOLERANCES).word == "inconclusive"


def test_points_that_are_all_slower_need_no_more_than_the_first() -> None:
    # Holm: after the smallest p-value was rejected at a third of the level, the next has half of it
    barely = [0.049 + 0.0005 * place for place in range(12)]
    points = {("p50", Load("concurrency", value)): barely for value in (1, 2, 4)}
    assert {one.word for one in judge(points, DEFAULT_TOLERANCES).comparisons} == {"regress"}


@pytest.mark.parametrize("refusals", [(), ("the hypervisor took 9.0% of the CPU time",)])
def test_what_fails_outright_regresses_whatever_else_is_said(refusals: tuple[str, ...]) -> None:
    verdict = judge({P50: QUIET}, DEFAULT_TOLERANCES, failures=[WRONG], refusals=refusals)
    assert verdict.word == "regress"
    assert verdict.reasons == ("wrong outputs: candidate, concurrency 4: probabilities differ by 0.4",)


def test_a_baseline_that_fails_is_no_fault_of_the_candidate_and_no_pass() -> None:
    verdict = judge({P50: QUIET}, DEFAULT_TOLERANCES, failures=[replace(WRONG, side="baseline")])
    assert verdict.word == "inconclusive"


def test_a_refused_machine_is_inconclusive_even_where_the_times_are_clear() -> None:
    for values in (QUIET, SLOWER):
        assert judge({P50: values}, DEFAULT_TOLERANCES, refusals=["noise"]).word == "inconclusive"


def test_nothing_measured_is_no_pass() -> None:
    assert judge({}, DEFAULT_TOLERANCES, is_last=True).word == "inconclusive"
    assert judge({P99: QUIET}, DEFAULT_TOLERANCES).word == "inconclusive"
    assert judge({P50: []}, DEFAULT_TOLERANCES, is_last=True).word == "inconclusive"


def test_a_lower_throughput_is_a_slowdown(make_runs: Callable[..., tuple[Run, ...]]) -> None:
    verdict = judge(log_ratios(make_runs(1.1, pairs=12)), [Tolerance("throughput", 0.05)])
    assert verdict.word == "regress"
    [one] = [one for one in verdict.comparisons if one.metric == "throughput"]
    assert one.slowdown == pytest.approx(1.1, abs=0.02)


def test_the_simulation_judges_as_the_gate_does() -> None:
    values = np.concatenate([draw_log_ratios(noise, slowdown, 12, LOOKS[-1], 1)
                             for noise in MODELS[1:7] for slowdown in (1.0, 1.06, 1.1)])  # fmt: skip
    words, pairs, visible = judge_many(values, 0.05)
    for row, word, used, seen in zip(values, words, pairs, visible, strict=True):
        verdict = next(
            one
            for look in LOOKS
            if (one := judge({P50: row[:look].tolist()}, DEFAULT_TOLERANCES)).word != "inconclusive"
            or look == LOOKS[-1]
        )
        assert (verdict.word, verdict.pairs) == ({1: "regress", -1: "pass", 0: "inconclusive"}[int(word)], used)
        if used == LOOKS[-1]:
            assert verdict.comparisons[0].smallest_visible == pytest.approx(seen)


@pytest.mark.parametrize(("metric", "share"), [("p51", 0.05), ("p50", 0.0), ("p50", float("nan")), ("p50", 5.0)])
def test_a_tolerance_that_makes_no_sense_is_refused(metric: str, share: float) -> None:
    with pytest.raises(UsageError):
        Tolerance(metric, share)
