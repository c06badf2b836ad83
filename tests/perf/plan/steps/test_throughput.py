"""What a full replica does follows from its steps, and published throughput lies in the interval that is told.

The roofline's constants are fitted on releases 0.14 and 1.0 of TensorRT-LLM's tables and four models (Llama 3.1 8B and
70B, Mixtral 8x7B, Qwen3 235B), its intervals on those models left out in turn. Held out are 850 of 1,505 published
numbers: all that are of other releases and models, but for settings that a release in the fit has run too. 641 are of
models that the fit has nothing of. `make bench-roofline` fits anew and tells how many lie in the interval.
"""

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import pytest

from tritonsmith.generator.errors import UsageError
from tritonsmith.perf.bench.published_throughput import (
    FIRST_TOKEN_MODELS,
    FIT_MODELS,
    FirstToken,
    Row,
    estimate,
    first_token_ms,
    held_out,
    inter_token_ms,
    read_first_tokens,
    read_models,
    read_rows,
    read_token_gaps,
)
from tritonsmith.perf.plan.core import LanguageModel, Memory, Serving, Spread, Traffic, exact
from tritonsmith.perf.plan.steps.roofline import DENSE_INTERVAL, EXPERTS_INTERVAL, FITTED
from tritonsmith.perf.plan.steps.throughput import throughput

RESULT = Path(__file__).parents[4] / "perf" / "bench" / "results" / "roofline.json"
MODELS = read_models()
HELD_OUT = held_out(read_rows())


@pytest.fixture(scope="module")
def inside() -> dict[Row, bool]:
    """Return for each number that was held out whether it lies in its interval."""
    found = {}
    for row in HELD_OUT:
        _, low, high = estimate(row, MODELS[row.model])
        assert 0 < low < high <= 2.001 * low
        found[row] = low <= row.tokens_per_s <= high
    return found


def share(inside: dict[Row, bool], wanted: Callable[[Row], bool]) -> float:
    chosen = [is_in for row, is_in in inside.items() if wanted(row)]
    assert len(chosen) > 20
    return sum(chosen) / len(chosen)


def test_three_quarters_of_what_was_held_out_lie_inside(inside: dict[Row, bool]) -> None:
    assert share(inside, lambda row: True) >= 0.75


def test_three_quarters_lie_inside_of_models_that_no_constant_was_fitted_on(inside: dict[Row, bool]) -> None:
    seen = {*FIT_MODELS, *FIRST_TOKEN_MODELS}
    assert share(inside, lambda row: row.model not in seen) >= 0.75


@pytest.mark.parametrize("release", ["0.9", "0.20", "0.21", "1.1", "1.2"])
def test_three_quarters_of_a_release_that_was_not_fitted_lie_inside(inside: dict[Row, bool], release: str) -> None:
    assert share(inside, lambda row: row.release == release) >= 0.75


def test_three_quarters_lie_inside_on_gpus_that_no_constant_was_fitted_on(inside: dict[Row, bool]) -> None:
    assert share(inside, lambda row: row.gpu in ("B300-SXM-269GB", "GB300-278GB", "GH200-96GB")) >= 0.75


def test_models_with_experts_are_known_less_well_than_dense_ones(inside: dict[Row, bool]) -> None:
    assert share(inside, lambda row: not MODELS[row.model].experts) >= 0.8
    assert share(inside, lambda row: bool(MODELS[row.model].experts)) >= 0.7


def test_first_tokens_on_gpus_and_models_that_were_held_out_are_close() -> None:
    held_out = [row for row in read_first_tokens() if not row.fits_constants]
    off = sorted(abs(math.log(row.first_token_ms / milliseconds(row))) for row in held_out)
    assert off[int(0.8 * len(off))] < math.log(2) / 2


def milliseconds(row: FirstToken) -> float:
    return first_token_ms(row, MODELS[row.model])


def test_four_fifths_of_times_between_tokens_on_other_servers_lie_inside() -> None:
    inside = []
    for gap in read_token_gaps():
        if not gap.fits_constants:
            low, high = EXPERTS_INTERVAL if MODELS[gap.model].experts else DENSE_INTERVAL
            inside.append(low <= inter_token_ms(gap, MODELS[gap.model]) / gap.inter_token_ms <= high)
    assert len(inside) > 20
    assert sum(inside) / len(inside) >= 0.8


def test_no_number_that_judges_is_of_a_setting_that_was_fitted() -> None:
    fitted = {row.setting for row in read_rows() if row.fits_constants}
    assert not fitted & {row.setting for row in HELD_OUT}
    assert len(HELD_OUT) > len(read_rows()) / 2


def test_constants_and_intervals_are_those_of_the_last_fit() -> None:
    result = json.loads(RESULT.read_text(encoding="utf-8"))
    assert asdict(FITTED) == pytest.approx(result["constants"], rel=0.02)
    told = {"dense": DENSE_INTERVAL, "with experts": EXPERTS_INTERVAL}
    assert {name: list(ends) for name, ends in told.items()} == {
        name: pytest.approx(ends, rel=0.01) for name, ends in result["intervals"].items()
    }


@dataclass(frozen=True)
class Times:
    """Prompts of 1 ms for each 100 tokens, steps of 10 ms."""

    source: str = "made up"

    def prefill_s(self, tokens: float, context: float) -> float:
        return tokens * 1e-5

    def decode_s(self, sequences: float, context: float) -> float:
        return 0.01


def room_for(tokens: float) -> Memory:
    return Memory(80e9, (), 1e5, 0, exact(tokens, ""), exact(1e9, ""))


LLAMA: LanguageModel = MODELS["Llama-3.1-8B"]
SERVING = Serving(Spread(), "fp8", "fp8", max_batch_size=256, max_num_tokens=1000)


def test_a_cycle_is_all_steps_of_an_answer_and_a_prompt_for_each_sequence() -> None:
    found = throughput(Times(), LLAMA, SERVING, room_for(12_000), Traffic(1, 500, 100))
    assert found.sequences == 20
    cycle_s = 100 * 0.01 + 20 * 500 * 1e-5
    assert found.requests_per_s.value == pytest.approx(20 / cycle_s)
    assert found.tokens_per_s.value == pytest.approx(2000 / cycle_s)
    assert found.tpot_ms.value == pytest.approx(10 * cycle_s)
    assert found.ttft_ms.value == pytest.approx(5 + 10)


def test_a_slow_estimate_is_a_long_time_in_the_interval() -> None:
    found = throughput(Times(), LLAMA, SERVING, room_for(12_000), Traffic(1, 500, 100))
    assert found.tokens_per_s.low / found.tokens_per_s.value == pytest.approx(found.tpot_ms.value / found.tpot_ms.high)


def test_the_engine_limits_sequences_where_the_cache_does_not() -> None:
    assert throughput(Times(), LLAMA, SERVING, room_for(1e9), Traffic(1, 500, 100)).sequences == 256


def test_a_prompt_found_in_the_cache_is_not_read() -> None:
    whole = throughput(Times(), LLAMA, SERVING, room_for(12_000), Traffic(1, 500, 100))
    half = throughput(Times(), LLAMA, SERVING, room_for(12_000), Traffic(1, 500, 100, prefix_share=0.5))
    assert half.requests_per_s.value == pytest.approx(20 / (1 + 20 * 250e-5))
    assert half.ttft_ms.value < whole.ttft_ms.value


def test_a_long_prompt_is_read_in_parts_beside_decoding() -> None:
    found = throughput(Times(), LLAMA, SERVING, room_for(12_000), Traffic(1, 2_500, 100))
    assert found.ttft_ms.value == pytest.approx(25 + 3 * 10)


def test_a_request_that_the_cache_does_not_hold_is_refused() -> None:
    with pytest.raises(UsageError, match="holds 500 tokens, a request takes 600"):
        throughput(Times(), LLAMA, SERVING, room_for(500), Traffic(1, 500, 100))


def test_one_recorded_request_that_the_cache_does_not_hold_is_refused_though_the_mean_goes_in() -> None:
    recorded = Traffic(1, 500, 100, arrivals=((0.0, 100, 100), (1.0, 900, 200)))
    with pytest.raises(UsageError, match="holds 1,000 tokens, the longest recorded request takes 1,100") as refused:
        throughput(Times(), LLAMA, SERVING, room_for(1_000), recorded)
    assert "leave longer requests out of the trace" in (refused.value.hint or "")
    assert throughput(Times(), LLAMA, SERVING, room_for(1_100), recorded).sequences == 1
