"""Which inputs carry a prompt, by the tensors of TensorRT-LLM's models."""

from pathlib import Path
from typing import Any

import pytest

from tritonsmith.generator.errors import UsageError
from tritonsmith.perf.measure.prompts import Prompt
from tritonsmith.perf.measure.text_models import find_tokenizer, form_of, has_least_length, prompt_rows

ENSEMBLE = (("text_input", "BYTES", [-1, 1]), ("max_tokens", "INT32", [-1, 1]), ("stream", "BOOL", [-1, 1]))
LLMAPI = (("text_input", "BYTES", [-1]), ("streaming", "BOOL", [1]), ("sampling_param_max_tokens", "INT32", [1]))
ENGINE = (
    ("input_ids", "INT32", [-1, -1]),
    ("input_lengths", "INT32", [-1, 1]),
    ("request_output_len", "INT32", [-1, 1]),
    ("streaming", "BOOL", [-1, 1]),
)
PROMPT = Prompt("Hello", (5, 6, 7), 12, is_exact=True)


def metadata(*inputs: tuple[str, str, list[int]]) -> dict[str, Any]:
    return {"inputs": [{"name": name, "datatype": datatype, "shape": shape} for name, datatype, shape in inputs]}


def row_of(*inputs: tuple[str, str, list[int]], prompt: Prompt = PROMPT, batch: int = 8) -> dict[str, Any]:
    model = metadata(*inputs)
    form = form_of(model)
    assert form
    [row] = prompt_rows([prompt], form, model, {"max_batch_size": batch}, is_streamed=True)
    return {name: (array.tolist(), array.dtype.name) for name, array in row.items()}


def test_the_ensemble_and_the_bls_model_take_text() -> None:
    assert row_of(*ENSEMBLE) == {
        "text_input": (["Hello"], "object"),
        "max_tokens": ([12], "int32"),
        "stream": ([True], "bool"),
    }


def test_the_model_on_the_llm_api_takes_text_under_other_names() -> None:
    assert row_of(*LLMAPI, batch=0) == {
        "text_input": (["Hello"], "object"),
        "sampling_param_max_tokens": ([12], "int32"),
        "streaming": ([True], "bool"),
    }


def test_the_engines_model_takes_token_ids_and_their_number() -> None:
    assert row_of(*ENGINE) == {
        "input_ids": ([5, 6, 7], "int32"),
        "input_lengths": ([3], "int32"),
        "request_output_len": ([12], "int32"),
        "streaming": ([True], "bool"),
    }


def test_token_ids_need_a_tokenizer() -> None:
    with pytest.raises(UsageError, match="'input_ids' takes token ids") as caught:
        row_of(*ENGINE, prompt=Prompt("Hello", (), 12))
    assert "--tokenizer" in caught.value.hint


@pytest.mark.parametrize("name", ["min_tokens", "min_length"])
def test_a_drawn_length_is_the_least_as_well_under_either_releases_name(name: str) -> None:
    asked = (*ENSEMBLE, (name, "INT32", [-1, 1]))
    assert row_of(*asked)[name] == ([12], "int32")
    for inputs, has_any in ((asked, True), (ENSEMBLE, False)):
        form = form_of(metadata(*inputs))
        assert form
        assert has_least_length(metadata(*inputs), form) == has_any


def test_a_files_limit_is_only_a_limit() -> None:
    optional = {"max_batch_size": 8, "input": [{"name": "min_tokens", "optional": True}]}
    model = metadata(*ENSEMBLE, ("min_tokens", "INT32", [-1, 1]))
    form = form_of(model)
    assert form
    [row] = prompt_rows([Prompt("a", (), 64)], form, model, optional, is_streamed=True)
    assert sorted(row) == ["max_tokens", "stream", "text_input"]


def test_a_model_that_is_not_decoupled_is_not_asked_to_stream_and_leaves_the_prompt_out() -> None:
    model = metadata(*ENSEMBLE, ("exclude_input_in_output", "BOOL", [-1, 1]))
    form = form_of(model)
    assert form
    [row] = prompt_rows([PROMPT], form, model, {"max_batch_size": 8}, is_streamed=False)
    assert (row["stream"].tolist(), row["exclude_input_in_output"].tolist()) == ([False], [True])


def test_required_inputs_of_the_users_own_are_made_up() -> None:
    assert row_of(*ENSEMBLE, ("style", "FP32", [-1, 2]))["style"][1] == "float32"


def test_a_model_of_other_inputs_takes_no_prompt() -> None:
    assert form_of(metadata(("image", "BYTES", [-1, 1]))) is None
    assert form_of(metadata(("text_input", "BYTES", [-1, 1]))) is None


def test_the_tokenizer_beside_a_model_of_the_repository_is_found(tmp_path: Path) -> None:
    assert find_tokenizer(None, ["chat"]) is None
    assert find_tokenizer(tmp_path, ["chat"]) is None
    folder = tmp_path / "preprocessing" / "1" / "tokenizer"
    folder.mkdir(parents=True)
    (folder / "tokenizer.json").write_text("{}")
    assert find_tokenizer(tmp_path, ["chat", "preprocessing"]) == folder / "tokenizer.json"
    assert find_tokenizer(tmp_path, ["chat"]) is None  # a neighbour that has nothing to do with it
