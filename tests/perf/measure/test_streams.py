"""The formulas of streamed answers, each on a case that can be computed by hand: one test, one trap."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tritonsmith.perf.measure.analyzer import AnalyzerResult
from tritonsmith.perf.measure.load import Load
from tritonsmith.perf.measure.machine import MachineLoad
from tritonsmith.perf.measure.measurement import compose_measurement
from tritonsmith.perf.measure.profile import Profile, parse_csv, parse_profile, without_final_flags
from tritonsmith.perf.measure.streams import (
    Goals,
    gaps_per_token_us,
    good_requests,
    measure_streams,
    times_per_token_us,
    tokens_per_request,
)

RECORDED = Path(__file__).parents[1] / "recorded"
MS = 1_000_000
TEXT = {"text_output": "word"}
FINAL = {"text_output": ""}


def request(sent_ms: float, responses_ms: list[float], outputs: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "timestamp": int(sent_ms * MS),
        "request_inputs": {"text_input": "hi"},
        "response_timestamps": [int(one * MS) for one in responses_ms],
        "response_outputs": outputs,
    }


def words(sent_ms: float, *responses_ms: float) -> dict[str, Any]:
    """A request that is answered with a word at each of the times."""
    return request(sent_ms, list(responses_ms), [TEXT] * len(responses_ms))


def exported(*requests: dict[str, Any]) -> Profile:
    """The profile of an export of three windows, 2 s in all."""
    windows = [0, 500 * MS, 1000 * MS, 2000 * MS]
    experiment = {"requests": requests, "window_boundaries": windows}
    return parse_profile(json.dumps({"experiments": [experiment], "version": "2.51.0"}).encode())


def test_the_first_token_is_timed_from_sending() -> None:
    streams = measure_streams(exported(words(10, 30, 35), words(20, 60, 61)))
    assert streams.ttft_us == (20_000, 40_000)
    assert streams.latency_us == (25_000, 41_000)


def test_the_time_per_token_leaves_the_first_token_out() -> None:
    streams = measure_streams(exported(words(0, 20, 25, 31, 40)))  # 40 - 20 ms over three tokens
    assert streams.tpot_us == (6666.7,)


def test_the_gaps_are_those_between_a_requests_own_responses() -> None:
    profile = exported(words(0, 20, 25, 31), words(5, 100, 104))
    assert gaps_per_token_us(profile).tolist() == [5000, 6000, 4000]  # not the 69 ms from one request to the next


def test_an_answer_of_one_token_has_a_first_token_and_no_time_per_token() -> None:
    streams = measure_streams(exported(words(0, 20)))
    assert streams.ttft_us == (20_000,)
    assert streams.tpot_us == (None,)
    assert streams.tpot is None
    assert streams.inter_token is None


def test_an_answer_of_one_token_shifts_no_other_requests_time() -> None:
    streams = measure_streams(exported(words(0, 20, 30), words(0, 25), words(0, 20, 22)))
    assert streams.tpot_us == (10_000, None, 2_000)
    assert streams.tpot
    assert streams.tpot.count == 2


def test_a_final_flag_by_itself_is_no_token() -> None:
    streams = measure_streams(exported(request(0, [20, 25, 90], [TEXT, TEXT, FINAL])))
    assert streams.output_tokens == (2,)
    assert streams.latency_us == (25_000,)
    assert streams.tpot_us == (5_000,)


def test_a_final_flag_after_one_token_leaves_an_answer_of_one_token() -> None:
    streams = measure_streams(exported(request(0, [20, 90], [TEXT, FINAL])))
    assert (streams.output_tokens, streams.tpot_us, streams.latency_us) == ((1,), (None,), (20_000,))


def test_a_final_flag_with_uninitialised_numbers_takes_its_tokens_along() -> None:
    answers: list[dict[str, Any]] = [
        {"output_ids": [5, 6], "sequence_length": 2},
        {"output_ids": 7, "sequence_length": 1},
    ]
    garbage = {"output_ids": 1_082_130_432, "sequence_length": 1_082_130_432}
    profile = exported(request(0, [20, 30, 31], [*answers, garbage]), request(40, [60, 70, 71], [*answers, garbage]))
    corrected = without_final_flags(profile, responses_per_request=2.0)  # as the CSV counts them
    assert corrected.tokens.tolist() == [2, 1, 2, 1]
    assert measure_streams(corrected).latency_us == (30_000, 30_000)


def test_an_empty_text_in_the_middle_is_a_response() -> None:
    profile = exported(request(0, [20, 25, 30], [TEXT, FINAL, TEXT]))  # half a character was held back
    assert tokens_per_request(profile).tolist() == [3]


def test_tokens_are_counted_where_a_response_says_how_many_it_holds() -> None:
    outputs: list[dict[str, Any]] = [
        {"output_ids": 9, "sequence_length": 1},
        {"output_ids": [3, 4, 5, -1], "sequence_length": 3},
    ]
    streams = measure_streams(exported(request(0, [20, 32], outputs)))
    assert streams.tokens_by == "sequence_length"
    assert streams.output_tokens == (4,)
    assert streams.tpot_us == (4_000,)  # 12 ms over three tokens


def test_without_a_length_the_ids_are_counted_but_not_their_padding() -> None:
    streams = measure_streams(exported(request(0, [20, 32], [{"output_ids": 9}, {"output_ids": [3, 4, -1, -1]}])))
    assert streams.tokens_by == "output_ids"
    assert streams.output_tokens == (3,)


def test_all_beams_tokens_are_counted() -> None:
    streams = measure_streams(exported(request(0, [20], [{"sequence_length": [3, 2]}])))
    assert streams.output_tokens == (5,)


def test_a_response_is_a_token_where_nothing_says_otherwise() -> None:
    streams = measure_streams(exported(words(0, 20, 25)))
    assert (streams.tokens_by, streams.output_tokens) == ("responses", (2,))


def test_one_request_without_counts_makes_all_be_counted_by_responses() -> None:
    counted = request(0, [20], [{"sequence_length": 7, "text_output": "a"}])
    streams = measure_streams(exported(counted, words(0, 20)))
    assert (streams.tokens_by, streams.output_tokens) == ("responses", (1, 1))


def test_an_output_of_that_name_that_is_no_number_counts_nothing() -> None:
    streams = measure_streams(exported(request(0, [20], [{"sequence_length": "long"}])))
    assert (streams.tokens_by, streams.output_tokens) == ("responses", (1,))


def test_a_gap_is_shared_by_the_tokens_that_it_brought() -> None:
    outputs = [{"sequence_length": 1}, {"sequence_length": 4}, {"sequence_length": 0}]
    profile = exported(request(0, [20, 40, 47], outputs))
    assert gaps_per_token_us(profile).tolist() == [5_000, 7_000]  # none is as good as one: no division by zero


def test_many_tokens_in_a_single_response_tell_no_time_per_token() -> None:
    profile = exported(request(0, [20], [{"sequence_length": 50}]))
    assert np.isnan(times_per_token_us(profile, tokens_per_request(profile))).tolist() == [True]


def test_tokens_per_second_are_over_the_measured_time_not_over_the_answers() -> None:
    streams = measure_streams(exported(words(0, 20, 25), words(100, 120, 125, 130)))
    assert streams.output_tokens_per_s == 2.5  # five tokens in the windows' 2 s


def test_quantiles_are_over_requests_for_the_first_token_and_over_responses_for_the_gaps() -> None:
    streams = measure_streams(exported(words(0, 10, 11, 12, 13), words(0, 30, 40)))
    assert streams.inter_token
    assert (streams.ttft.count, streams.ttft.p50_us, streams.ttft.p99_us) == (2, 10_000, 30_000)
    assert (streams.inter_token.count, streams.inter_token.p50_us, streams.inter_token.p99_us) == (4, 1_000, 10_000)


@pytest.mark.parametrize(
    ("goals", "good"),
    [
        (Goals(ttft_ms=20), 2),  # 20 ms meet a goal of 20 ms
        (Goals(ttft_ms=19.9), 0),
        (Goals(tpot_ms=5), 2),  # the one of a single token has no time per token to miss
        (Goals(ttft_ms=20, tpot_ms=5), 1),  # every goal, by the same request
        (Goals(latency_ms=30), 2),
        (Goals(), 3),
    ],
)
def test_a_request_is_good_where_it_meets_every_goal(goals: Goals, good: int) -> None:
    streams = measure_streams(exported(words(0, 20, 25), words(0, 40), words(0, 20, 30)))
    assert good_requests(streams, goals) == good


def test_goals_are_true_where_there_is_one_and_name_themselves() -> None:
    assert not Goals()
    assert Goals(tpot_ms=50)
    assert str(Goals(ttft_ms=200, tpot_ms=12.5)) == "TTFT 200 ms, TPOT 12.5 ms"


def test_a_recorded_run_of_five_words_5_ms_apart() -> None:
    profile = parse_profile((RECORDED / "decoupled_text.json").read_bytes())
    [columns] = parse_csv((RECORDED / "decoupled_text.csv").read_text())
    result = AnalyzerResult(profile, columns, ("perf_analyzer",), 0.2, 1, is_behind=False)
    one = compose_measurement(Load("concurrency", 2), result, 0.0, (), MachineLoad(0.1, 0.5, 0.0))
    assert one.streams
    assert set(one.streams.output_tokens) == {5}
    assert one.streams.inter_token
    assert 5_000 < one.streams.inter_token.p50_us < 6_000
    assert one.streams.output_tokens_per_s == pytest.approx(5 * one.throughput_per_s, rel=1e-3)


def test_a_model_that_is_not_decoupled_has_no_streams() -> None:
    profile = parse_profile((RECORDED / "concurrency.json").read_bytes())
    [columns] = parse_csv((RECORDED / "concurrency.csv").read_text())
    result = AnalyzerResult(profile, columns, ("perf_analyzer",), 0.2, 1, is_behind=False)
    assert compose_measurement(Load("concurrency", 2), result, 0.0, (), MachineLoad(0.1, 0.5, 0.0)).streams is None
