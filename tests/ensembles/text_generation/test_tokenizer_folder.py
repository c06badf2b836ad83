from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from tritonsmith.ensembles.text_generation.tokenizer_folder import read_tokenizer

TOKENS = ["<s>", "</s>", "<pad>", "a", "b"]


def write(folder: Path, *, adds_bos: bool = False, **config: Any) -> Path:
    tokenizer = Tokenizer(models.WordLevel({token: i for i, token in enumerate(TOKENS)}, unk_token="a"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.add_special_tokens(TOKENS[:3])
    if adds_bos:
        tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    tokenizer.enable_truncation(2)
    tokenizer.enable_padding(length=9)
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder


def test_a_tokenizer_never_cuts_or_pads_a_prompt(tmp_path: Path) -> None:
    assert read_tokenizer(write(tmp_path)).codec.encode("a b a b") == [3, 4, 3, 4]


@pytest.mark.parametrize("in_file", [True, False])
@pytest.mark.parametrize("said", [True, False, None])
def test_the_configuration_has_the_last_word_on_the_first_token(
    tmp_path: Path,
    in_file: bool,
    said: bool | None,
) -> None:
    config = {} if said is None else {"add_bos_token": said}
    codec = read_tokenizer(write(tmp_path, adds_bos=in_file, bos_token="<s>", **config)).codec
    assert codec.encode_prompt("a") == ([0, 3] if (in_file if said is None else said) else [3])


def test_an_end_token_is_added_where_the_configuration_says_so(tmp_path: Path) -> None:
    codec = read_tokenizer(write(tmp_path, eos_token={"content": "</s>"}, add_eos_token=True)).codec
    assert codec.encode_prompt("a </s>") == [3, 1] == codec.encode_prompt("a")


def test_the_end_token_is_the_tokenizer_s_and_pads_where_nothing_else_does(tmp_path: Path) -> None:
    tokenizer = read_tokenizer(write(tmp_path, eos_token="</s>"))
    assert (tokenizer.end_id, tokenizer.pad_id) == (1, 1)
    assert read_tokenizer(write(tmp_path, eos_token="</s>", pad_token="<pad>")).pad_id == 2


@pytest.mark.parametrize(("said", "end"), [(4, 4), ([3, 4], 3), (None, -1)])
def test_else_the_end_token_is_the_model_s(tmp_path: Path, said: Any, end: int) -> None:
    write(tmp_path)
    (tmp_path / "generation_config.json").write_text(json.dumps({"eos_token_id": said}))
    assert read_tokenizer(tmp_path).end_id == end


def test_special_tokens_may_stand_in_a_file_of_their_own(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "special_tokens_map.json").write_text(json.dumps({"eos_token": "</s>"}))
    assert read_tokenizer(tmp_path).end_id == 1


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(ValueError, match=r"tokenizer.json' is not a tokenizer.json that tokenizers .* reads"):
        read_tokenizer(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text("[1]")
    with pytest.raises(ValueError, match=r"tokenizer_config.json' holds list, not an object"):
        read_tokenizer(tmp_path)


def test_without_a_tokenizer_json_transformers_is_asked_for(tmp_path: Path) -> None:
    pytest.importorskip("tokenizers")
    try:
        import transformers  # noqa: F401
    except ImportError:
        with pytest.raises(ValueError, match=r"has no tokenizer.json, and transformers, .* is not installed"):
            read_tokenizer(tmp_path)
    else:
        with pytest.raises(ValueError, match="has no tokenizer that transformers reads"):
            read_tokenizer(tmp_path)
