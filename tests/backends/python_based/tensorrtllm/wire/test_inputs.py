from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tritonsmith.backends.python_based.tensorrtllm.llm.base import Limits
from tritonsmith.backends.python_based.tensorrtllm.llm.request import Request, RequestError, Sampling
from tritonsmith.backends.python_based.tensorrtllm.llm.wire.inputs import read_rows
from tritonsmith.backends.python_based.tensorrtllm.llm.wire.parameters import Settings
from tritonsmith.backends.python_based.tensorrtllm.llm.wire.unsupported import UNSUPPORTED, refuse_unsupported
from tritonsmith.backends.python_based.tensorrtllm.llm.wire.words import read_words

CONTRACTS = sorted((Path(__file__).parents[4] / "data" / "contracts").glob("*.json"))
READ = {
    *("input_ids", "input_lengths", "request_output_len", "num_return_sequences", "streaming", "stop", "end_id"),
    *("stop_words_list", "bad_words_list", "min_tokens", "min_length", "seed", "random_seed", "temperature"),
    *("runtime_top_k", "runtime_top_p", "repetition_penalty", "presence_penalty", "frequency_penalty"),
    *("return_log_probs", "return_perf_metrics", "return_kv_cache_reuse_stats", "exclude_input_in_output"),
    *("return_num_input_tokens", "return_num_output_tokens"),
}
# Without beams, drafts, a decaying top_p or an encoder they have nothing to act on.
NOTHING_TO_ACT_ON = {
    *("pad_id", "len_penalty", "early_stopping", "beam_search_diversity_rate", "draft_acceptance_threshold"),
    *("runtime_top_p_min", "runtime_top_p_reset_ids", "decoder_input_ids", "decoder_input_lengths"),
    "prompt_vocab_size",
}
SETTINGS = Settings("engine", 4, is_decoupled=True)
TensorsFor = Callable[..., dict[str, Any]]


def read(limits: Limits, tensors: dict[str, Any]) -> Request:
    (row,) = read_rows(tensors, limits, SETTINGS)
    return row.request


def test_a_request_with_only_what_is_required_is_greedy_and_never_stops_early(
    limits: Limits, tensors_for: TensorsFor
) -> None:
    request = read(limits, tensors_for([7, 8], 3))
    assert request.tokens.tolist() == [7, 8]
    assert (request.max_new_tokens, request.end_id, request.min_tokens) == (3, -1, 0)
    assert request.sampling == Sampling()
    assert request.sampling.is_greedy
    assert not request.needs_steps


@pytest.mark.parametrize(
    ("tensors", "sampling"),
    [
        ({"temperature": 0.5, "runtime_top_k": 4}, Sampling(temperature=0.5, top_k=4)),
        ({"temperature": 0.0, "runtime_top_p": 0.9}, Sampling(top_k=1, top_p=0.9)),
        ({"runtime_top_p": -1.0}, Sampling()),
        (
            {"repetition_penalty": 2.0, "presence_penalty": -1.0, "frequency_penalty": 0.5},
            Sampling(1, 0, 0, 2, -1, 0.5),
        ),
        ({"seed": np.array([2**63], np.uint64)}, Sampling(seed=2**63)),
        ({"random_seed": 3}, Sampling(seed=3)),
    ],
)
def test_sampling_is_read_by_the_names_of_every_release(
    limits: Limits, tensors_for: TensorsFor, tensors: dict[str, Any], sampling: Sampling
) -> None:
    request = read(limits, tensors_for([7], 3, **tensors))
    assert request.sampling == sampling
    assert request.sampling.is_greedy == (sampling.top_k <= 1 and (sampling.top_k == 1 or not sampling.top_p))


@pytest.mark.parametrize("name", ["min_tokens", "min_length"])
def test_the_least_length_has_two_names(limits: Limits, tensors_for: TensorsFor, name: str) -> None:
    assert read(limits, tensors_for([7], 3, **{name: 2})).min_tokens == 2


def test_nothing_of_a_request_points_into_memory_that_goes_with_it(limits: Limits, tensors_for: TensorsFor) -> None:
    tensors = tensors_for([7, 8])
    request = read(limits, tensors)
    tensors["input_ids"][:] = 0
    assert request.tokens.tolist() == [7, 8]


def test_an_answer_that_does_not_fit_is_shortened(limits: Limits, tensors_for: TensorsFor) -> None:
    assert read(limits, tensors_for([7] * 20, 100)).max_new_tokens == limits.max_seq_len - 20


@pytest.mark.parametrize(
    ("tensors", "words"),
    [
        ({"input_ids": np.full((1, 25), 7)}, "25 tokens; this engine takes 24 (max_input_len 24, max_seq_len 32)"),
        ({"input_ids": np.array([[7, 100]])}, "input_ids holds 100; the vocabulary has 100 tokens"),
        ({"input_ids": np.array([[7, -1]])}, "input_ids holds -1"),
        ({"input_ids": np.zeros((1, 0), np.int32)}, "shape [1, 0]"),
        ({"input_ids": np.array([7])}, "shape [1]"),
        ({"input_lengths": 3}, "input_lengths 3 exceeds the 1 tokens"),
        ({"input_lengths": 0}, "input_lengths is 0; it must be at least 1"),
        ({"request_output_len": 0}, "request_output_len is 0; it must be at least 1"),
        ({"request_output_len": np.zeros((0,))}, "request_output_len is missing"),
        ({"temperature": -1.0}, "temperature -1 is negative"),
        ({"temperature": float("nan")}, "temperature is nan"),
        ({"runtime_top_k": -1}, "runtime_top_k is -1"),
        ({"runtime_top_p": 1.5}, "runtime_top_p 1.5 exceeds 1"),
        ({"repetition_penalty": 0.0}, "repetition_penalty 0"),
        ({"num_return_sequences": 0}, "num_return_sequences is 0"),
        ({"num_return_sequences": 5}, "num_return_sequences is 5; max_batch_size is 4"),
        ({"end_id": np.array([[1, 2]])}, "end_id has 2 values in a row"),
        ({"end_id": np.array([1, 2])}, "end_id has 2 rows; input_ids has 1"),
    ],
)
def test_bad_values_are_refused_by_name_with_the_limit(
    limits: Limits, tensors_for: TensorsFor, tensors: dict[str, Any], words: str
) -> None:
    ids = tensors.get("input_ids", np.array([[7]], np.int32))
    others = {name: value for name, value in tensors.items() if name != "input_ids"}
    with pytest.raises(RequestError) as caught:
        read_rows(
            tensors_for([7], **others)
            | {"input_ids": ids, "input_lengths": np.zeros(0)}
            | {name: np.atleast_1d(value) for name, value in others.items()},
            limits,
            SETTINGS,
        )
    assert words in str(caught.value)


def test_a_request_without_a_prompt_is_refused(limits: Limits) -> None:
    with pytest.raises(RequestError, match="input_ids is missing"):
        read_rows({"request_output_len": np.array([1])}, limits, SETTINGS)


@pytest.mark.parametrize("contract", CONTRACTS, ids=lambda path: path.stem)
def test_every_tensor_of_the_contract_is_read_or_refused_or_has_nothing_to_act_on(contract: Path) -> None:
    tensors = json.loads(contract.read_text())["models"]["tensorrt_llm"]["input"]
    names = {tensor["name"] for tensor in tensors}
    assert names - READ - NOTHING_TO_ACT_ON == names & UNSUPPORTED.keys()


@pytest.mark.parametrize("name", UNSUPPORTED)
def test_what_no_engine_here_can_do_is_refused_by_name(name: str) -> None:
    array = np.array([[b"json"]], object) if "guide" in name else np.full((1, 3), 7)
    with pytest.raises(RequestError, match=rf"^{name}: .* cannot be had from this engine; leave it out"):
        refuse_unsupported({name: array}, "")


@pytest.mark.parametrize("name", UNSUPPORTED)
def test_a_tensor_that_asks_for_nothing_is_taken(name: str) -> None:
    neutral = UNSUPPORTED[name].neutral
    refuse_unsupported({name: np.zeros((1, 0)) if neutral is None else np.full((1, 4), neutral)}, "")


def test_the_one_decoder_token_of_preprocessing_is_taken_and_more_are_not() -> None:
    refuse_unsupported({"decoder_input_ids": np.array([[0]])}, "{}")
    with pytest.raises(RequestError, match=r"^decoder_input_ids: encoder-decoder"):
        refuse_unsupported({"decoder_input_ids": np.array([[0, 5]])}, "{}")


def test_a_part_of_disaggregated_serving_is_refused() -> None:
    refuse_unsupported({}, '{"request_type": "context_and_generation", "other": 1}')
    with pytest.raises(RequestError, match="request_type 'context_only'"):
        refuse_unsupported({}, '{"request_type": "context_only"}')


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([[5, 6, 7], [1, 3, -1]], ((5,), (6, 7))),
        ([[0, 0], [-1, -1]], ()),
        ([[5, 0], [1, 1]], ((5,),)),
        ([[], []], ()),
    ],
)
def test_word_lists_are_cut_at_their_offsets(rows: list[list[int]], words: tuple[tuple[int, ...], ...]) -> None:
    assert read_words("stop_words_list", np.array(rows, np.int32)) == words


@pytest.mark.parametrize("rows", [[[5, 6], [3, -1]], [[5, 6], [2, 1]], [[5, 6]], [[5, 6], [-2, -1]]])
def test_a_word_list_of_another_form_is_refused(rows: list[list[int]]) -> None:
    with pytest.raises(RequestError, match="bad_words_list"):
        read_words("bad_words_list", np.array(rows, np.int32))


def test_the_seeds_of_several_sequences_wrap_around(limits: Limits, tensors_for: TensorsFor) -> None:
    seed = np.array([2**64 - 1], np.uint64)
    rows = read_rows(tensors_for([7], num_return_sequences=2, seed=seed), limits, SETTINGS)
    assert [row.request.sampling.seed for row in rows] == [2**64 - 1, 0]


def test_words_belong_to_their_row(limits: Limits, tensors_for: TensorsFor) -> None:
    lists = np.array([[[5, 0], [1, -1]], [[6, 7], [2, -1]]], np.int32)
    rows = read_rows(tensors_for([[1], [2]], stop_words_list=lists, bad_words_list=lists[::-1]), limits, SETTINGS)
    assert [row.request.stop_words for row in rows] == [((5,),), ((6, 7),)]
    assert [row.request.bad_words for row in rows] == [((6, 7),), ((5,),)]
