"""What preprocessing makes of a request."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tritonsmith.ensembles.text_generation.model_parameters import ClientError
from tritonsmith.ensembles.text_generation.tokenise import Encoding, encode_request, read_encoding

DEMO = Path(__file__).parents[3] / "ensembles" / "text_generation" / "demo"
INPUTS = ("QUERY", "DECODER_QUERY", "REQUEST_OUTPUT_LEN", "BAD_WORDS_DICT", "STOP_WORDS_DICT", "END_ID", "IMAGE_BYTES")
OUTPUTS = frozenset(
    (
        "INPUT_ID",
        "REQUEST_INPUT_LEN",
        "DECODER_INPUT_ID",
        "REQUEST_DECODER_INPUT_LEN",
        "REQUEST_OUTPUT_LEN",
        "BAD_WORDS_IDS",
        "STOP_WORDS_IDS",
        "EMBEDDING_BIAS",
        "OUT_END_ID",
        "OUT_PAD_ID",
    )
)


def config(**parameters: str) -> dict[str, Any]:
    texts = {"tokenizer_dir": str(DEMO)} | parameters
    return {
        "max_batch_size": 8,
        "input": [{"name": name} for name in INPUTS],
        "parameters": {name: {"string_value": text} for name, text in texts.items()},
    }


def encoding(**parameters: str) -> Encoding:
    return read_encoding(config(**parameters), "/models/preprocessing", "1")


def text(*values: str) -> NDArray[np.object_]:
    return np.array([[value.encode()] for value in values], dtype=np.object_)


def request(*queries: str, **more: Any) -> dict[str, Any]:
    return {"QUERY": text(*queries), "REQUEST_OUTPUT_LEN": np.full([len(queries), 1], 16, np.int32), **more}


def encoded(inputs: dict[str, Any], wanted: frozenset[str] = OUTPUTS, **parameters: str) -> dict[str, list[Any]]:
    made = encode_request(inputs, wanted, encoding(**parameters))
    assert all(value.dtype == (np.float32 if name == "EMBEDDING_BIAS" else np.int32) for name, value in made.items())
    return {name: value.tolist() for name, value in made.items()}


def test_rows_are_padded_on_the_right_and_their_lengths_told() -> None:
    codec = encoding().tokenizer.codec
    one, two = codec.encode_prompt("hello"), codec.encode_prompt("What is a model repository?")
    made = encoded(request("hello", "What is a model repository?"))
    pad = encoding().tokenizer.pad_id
    assert made["INPUT_ID"] == [one + [pad] * (len(two) - len(one)), two]
    assert made["REQUEST_INPUT_LEN"] == [[len(one)], [len(two)]]
    assert made["REQUEST_OUTPUT_LEN"] == [[16], [16]]


def test_what_a_request_leaves_out_has_the_tokenizer_s_defaults() -> None:
    made = encoded(request("hello", "hello"))
    tokenizer = encoding().tokenizer
    assert made["OUT_END_ID"] == [[tokenizer.end_id]] * 2 == [[0]] * 2
    assert made["OUT_PAD_ID"] == made["DECODER_INPUT_ID"] == [[tokenizer.pad_id]] * 2
    assert made["REQUEST_DECODER_INPUT_LEN"] == [[1]] * 2
    assert made["BAD_WORDS_IDS"] == made["STOP_WORDS_IDS"] == [[[], []]] * 2
    assert made["EMBEDDING_BIAS"] == [[], []]


def test_what_a_request_says_wins() -> None:
    more = {"END_ID": np.array([[7]], np.int32), "DECODER_QUERY": text("hello")}
    made = encoded(request("hello", **more))
    assert made["OUT_END_ID"] == [[7]]
    assert made["DECODER_INPUT_ID"] == made["INPUT_ID"]


@pytest.mark.parametrize("name", sorted(OUTPUTS))
def test_only_the_outputs_that_are_wanted_are_made(name: str) -> None:
    assert list(encoded(request("hello"), frozenset({name, "PIXEL_VALUES"}))) == [name]


def test_special_tokens_can_be_left_out() -> None:
    tokenizer = encoding().tokenizer
    (plain,) = encoded(request("hello"), add_special_tokens="false")["INPUT_ID"]
    assert encoded(request("hello"))["INPUT_ID"] == [[tokenizer.codec.token_id("<|startoftext|>"), *plain]]


def test_a_chat_template_makes_the_query_the_user_s_message() -> None:
    codec = encoding().tokenizer.codec
    whole = codec.encode("<|startoftext|><|user|>hello<|assistant|>")
    assert encoded(request("hello"), apply_chat_template="true")["INPUT_ID"] == [whole]
    messages = json.dumps([{"role": "user", "content": "hello"}])
    assert encoded(request(messages), apply_chat_template="true")["INPUT_ID"] == [whole]


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"max_input_len": "3"}, r"the prompt has 4 tokens; the engine takes at most 3 \(max_input_len\)"),
        ({"max_seq_len": "4"}, r"has 4 tokens, which leaves no room .* at most 4 tokens, prompt and answer together"),
    ],
)
def test_a_prompt_that_is_too_long_is_refused_with_the_limit(parameters: dict[str, str], message: str) -> None:
    query = "a b c"
    assert len(encoded(request(query))["INPUT_ID"][0]) == 4
    with pytest.raises(ClientError, match=message):
        encoded(request("hello", query), OUTPUTS, **parameters)
    assert encoded(request(query), max_input_len="4", max_seq_len="5")


def test_the_limits_are_the_engine_s(tmp_path: Path) -> None:
    engine = {"build_config": {"max_input_len": 3, "max_seq_len": 9}, "pretrained_config": {"vocab_size": 77}}
    (tmp_path / "config.json").write_text(json.dumps(engine))
    limits = encoding(gpt_model_path=str(tmp_path)).limits
    assert (limits.max_input_len, limits.max_seq_len, limits.vocab_size) == (3, 9, 77)


def test_a_hugging_face_folder_s_context_is_the_limit() -> None:
    config = json.loads((DEMO / "config.json").read_text())
    limits = encoding(gpt_model_path=str(DEMO)).limits
    assert (limits.max_seq_len, limits.vocab_size) == (config["max_position_embeddings"], config["vocab_size"])


def test_a_folder_as_a_container_sees_it_is_found_in_the_repository(tmp_path: Path) -> None:
    engine = tmp_path / "tensorrt_llm" / "1" / "engine"
    engine.mkdir(parents=True)
    (engine / "config.json").write_text(json.dumps({"vocab_size": 5}))
    shutil.copytree(DEMO, tmp_path / "preprocessing" / "1" / "tokenizer")
    (tmp_path / "preprocessing" / "1" / "tokenizer" / "config.json").unlink()
    parameters = {"tokenizer_dir": "tokenizer", "gpt_model_path": "/models/tensorrt_llm/1/engine"}
    found = read_encoding(config(**parameters), str(tmp_path / "preprocessing"), "1")
    assert found.limits.vocab_size == 5


def test_inputs_that_are_not_built_are_refused_by_name() -> None:
    with pytest.raises(ClientError, match="input 'IMAGE_BYTES' is not supported"):
        encoded(request("hello", IMAGE_BYTES=np.zeros([1, 1, 1, 1, 3], np.uint8)))


def test_a_query_that_is_not_utf_8_is_refused() -> None:
    with pytest.raises(ClientError, match="is not UTF-8"):
        encoded({**request("hello"), "QUERY": np.array([[b"\xff\xfe"]], dtype=np.object_)})


def test_a_prompt_without_tokens_is_refused() -> None:
    with pytest.raises(ClientError, match="no tokens"):
        encoded(request(""), add_special_tokens="false")


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"tokeniser_dir": "x"}, "unknown parameter 'tokeniser_dir'"),
        ({"tokenizer_dir": ""}, "parameter 'tokenizer_dir' is missing"),
        ({"tokenizer_dir": "${tokenizer_dir}"}, "parameter 'tokenizer_dir' is missing"),
        ({"tokenizer_dir": "/nowhere"}, "there is no folder '/nowhere'"),
        ({"add_special_tokens": "maybe"}, "add_special_tokens: 'maybe' is neither true nor false"),
        ({"max_input_len": "-1"}, "max_input_len: '-1' is not a whole number from 1 up"),
    ],
)
def test_wrong_parameters_are_named(parameters: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        encoding(**parameters)


def test_parameters_of_nvidia_s_templates_are_taken() -> None:
    assert encoding(multimodal_model_path="${multimodal_model_path}", max_num_images="", hf_model_path="")


def test_a_model_without_batching_is_refused() -> None:
    with pytest.raises(ValueError, match="max_batch_size"):
        read_encoding(config() | {"max_batch_size": 0}, "/models/preprocessing", "1")
