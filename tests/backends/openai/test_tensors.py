from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tritonsmith.backends.client.base import InferResponse, Tensor
from tritonsmith.backends.openai.errors import ApiError
from tritonsmith.backends.openai.pipelines import Pipeline, find_pipelines
from tritonsmith.backends.openai.request import Sampling
from tritonsmith.backends.openai.tensors import Piece, Reader, Wish, infer_request, stop_request
from tritonsmith.backends.server.prepare import read_configs

WritePipeline = Callable[..., Path]


def values(pipeline: Pipeline, **sampling: Any) -> dict[str, Any]:
    request = infer_request(pipeline, Wish("hi", 7, Sampling(**sampling)), "id")
    assert all(tensor.array.shape == pipeline.inputs[tensor.name].shape for tensor in request.inputs)
    return {tensor.name: tensor.array.item() for tensor in request.inputs}


def test_openai_s_defaults_draw_from_all_that_the_model_deems_possible(pipeline: Pipeline) -> None:
    first, second = values(pipeline), values(pipeline)
    assert first.pop("random_seed") != second.pop("random_seed")  # nobody asked for the same answer twice
    assert first == {
        "text_input": b"hi",
        "max_tokens": 7,
        "stream": True,
        "exclude_input_in_output": True,
        "return_log_probs": True,
        "top_p": 1.0,
    }


def test_no_temperature_is_the_likeliest_token(pipeline: Pipeline) -> None:
    for greedy in ({"temperature": 0.0}, {"top_p": 0.0}):
        sent = values(pipeline, **greedy)
        assert sent["top_k"] == 1
        assert not {"temperature", "top_p"} & sent.keys()


def test_sampling_goes_where_the_release_has_it(pipeline: Pipeline) -> None:
    sent = values(pipeline, temperature=0.5, top_p=0.25, seed=-1, presence_penalty=1.0, frequency_penalty=-1.0)
    assert (sent["temperature"], sent["top_p"], sent["random_seed"]) == (0.5, 0.25, 2**64 - 1)
    assert (sent["presence_penalty"], sent["frequency_penalty"]) == (1.0, -1.0)


def test_later_releases_count_tokens_themselves(write_pipeline: WritePipeline) -> None:
    repository = write_pipeline("26.07")
    (found,), _ = find_pipelines(read_configs(repository), repository)
    sent = values(found, seed=5)
    assert (sent["seed"], sent["return_num_output_tokens"]) == (5, True)
    assert "return_log_probs" not in sent
    assert infer_request(found, Wish("hi", 7, Sampling()), "id").outputs == ("text_output", "num_output_tokens")


def test_the_llm_api_s_inputs_have_no_batch(write_pipeline: WritePipeline) -> None:
    repository = write_pipeline("25.05", target="llmapi")
    (found,), _ = find_pipelines(read_configs(repository), repository)
    sent = values(found, temperature=0.5, seed=5)
    assert (sent["sampling_param_max_tokens"], sent["sampling_param_seed"], sent["streaming"]) == (7, 5, True)
    assert sent["sampling_param_temperature"] == 0.5
    assert found.inputs["text_input"].shape == (1,)


@pytest.mark.parametrize(("target", "name"), [("tensorrtllm", "stream"), ("llmapi", "streaming")])
def test_a_pipeline_that_does_not_stream_is_asked_for_the_whole_answer(
    target: str, name: str, write_pipeline: WritePipeline
) -> None:
    repository = write_pipeline("25.05", target=target, streaming=False)
    configs = read_configs(repository)
    (found,), _ = find_pipelines(configs, repository)
    assert values(found)[name] is False
    (ensemble,), _ = find_pipelines({**configs, "tensorrt_llm_bls": None}, repository)
    assert values(ensemble)[name] is False


def test_what_a_pipeline_has_no_input_for_is_refused_only_where_it_is_asked(pipeline: Pipeline) -> None:
    lacking = replace(pipeline, inputs={k: v for k, v in pipeline.inputs.items() if k != "random_seed"})
    values(lacking)
    with pytest.raises(ApiError, match=r"seed cannot be had from 'chat'"):
        values(lacking, seed=1)


def test_a_request_is_stopped_at_the_engine_by_its_id(pipeline: Pipeline) -> None:
    request = stop_request(pipeline, "id")
    assert (request.model, request.id) == ("tensorrt_llm", "id")
    assert {tensor.name: tensor.array.item() for tensor in request.inputs}["stop"] is True


def response(**outputs: Any) -> InferResponse:
    return InferResponse("m", "1", "", {name: Tensor(name, "", np.array(one)) for name, one in outputs.items()}, {})


def test_log_probabilities_are_counted_though_each_response_has_all_so_far() -> None:
    reader = Reader()
    texts = [np.array([text], object) for text in (b"a", b" b c")]
    assert reader.piece(response(text_output=texts[0], output_log_probs=[[[-1.0]]])) == Piece("a", 1)
    assert reader.piece(response(text_output=texts[1], output_log_probs=[[[-1.0] * 3]])) == Piece(" b c", 2)


def test_the_pipeline_s_own_count_and_reason_are_taken() -> None:
    text = np.array([b"a"], object)
    assert Reader().piece(response(text_output=text, num_output_tokens=[[2]])) == Piece("a", 2)
    reason = np.array([b"length"], object)
    assert Reader().piece(response(text_output=text, finish_reason=reason)) == Piece("a", None, "length")
