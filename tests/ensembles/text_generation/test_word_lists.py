from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from tokenizers import Tokenizer, decoders, models, normalizers

from tritonsmith.ensembles.text_generation.model_parameters import ClientError
from tritonsmith.ensembles.text_generation.tokenizer_folder import Codec, read_tokenizer
from tritonsmith.ensembles.text_generation.word_lists import embedding_bias, spellings, word_list

DEMO = Path(__file__).parents[3] / "ensembles" / "text_generation" / "demo"


@pytest.fixture(scope="module")
def codec() -> Codec:
    return read_tokenizer(DEMO).codec


@pytest.fixture
def llama(tmp_path: Path) -> Codec:
    tokens = ["<unk>", "▁", *"abcdest\n.", "▁b", "be", "▁be", "st"]
    merges = [("▁", "b"), ("b", "e"), ("▁b", "e"), ("s", "t")]
    tokenizer = Tokenizer(models.BPE({token: i for i, token in enumerate(tokens)}, merges, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    return read_tokenizer(tmp_path).codec


def words(*rows: list[str]) -> NDArray[np.object_]:
    return np.array([[word.encode() for word in row] for row in rows], dtype=np.object_)


def as_tokens(codec: Codec, ids: list[list[int]]) -> list[list[str | None]]:
    return [[codec.token(i) for i in one] for one in ids]


def test_a_word_is_listed_as_it_is_written_alone_inside_and_behind_a_space(llama: Codec) -> None:
    assert as_tokens(llama, spellings(llama, "be")) == [["▁be"], ["be"]]


def test_a_byte_level_word_is_listed_with_and_without_its_space(codec: Codec) -> None:
    assert as_tokens(codec, spellings(codec, "model")) == [["m", "odel"], ["Ġmodel"]]


@pytest.mark.parametrize("word", ["model", "\n\n", "<|endoftext|>", "Triton?", " and", "é", "日本"])
def test_every_spelling_ends_a_text_with_the_word(codec: Codec, word: str) -> None:
    found = spellings(codec, word)
    assert found
    assert all(codec.decode(ids).endswith(word) for ids in found)


def test_without_words_the_list_is_empty_but_has_its_rows(codec: Codec) -> None:
    assert word_list(codec, None, 3).shape == (3, 2, 0)


def test_ids_are_padded_with_0_and_ends_with_minus_1(codec: Codec) -> None:
    tensor = word_list(codec, words(["model", "the end of it"], ["model", ""]), 2)
    first, second = (ends[ends >= 0].tolist() for ends in tensor[:, 1])
    assert tensor.dtype == np.int32
    assert [ids(tensor[0], place, first) for place in range(2)] == spellings(codec, "model")
    assert ids(tensor[0], 2, first) == codec.encode("the end of it")
    assert [ids(tensor[1], place, second) for place in range(len(second))] == spellings(codec, "model")
    assert tensor[1, 0, second[-1] :].tolist() == [0] * (tensor.shape[2] - second[-1])
    assert tensor[1, 1, len(second) :].tolist() == [-1] * (tensor.shape[2] - len(second))


def ids(row: NDArray[np.int32], place: int, ends: list[int]) -> list[int]:
    return [int(one) for one in row[0, [0, *ends][place] : ends[place]]]


def test_rows_of_empty_words_are_padding_alone(codec: Codec) -> None:
    assert word_list(codec, words([""]), 1).tolist() == [[[0], [-1]]]


def test_a_word_that_is_not_utf_8_is_refused(codec: Codec) -> None:
    with pytest.raises(ClientError, match=r"b'\\xff' is not UTF-8"):
        word_list(codec, np.array([[b"\xff"]], dtype=np.object_), 1)


def test_a_weight_goes_to_each_id_of_its_word_and_no_special_token(codec: Codec) -> None:
    weights = np.array([[0.5, 1.0]], np.float32)
    bias = embedding_bias(codec, words([" model", " model"]), weights, batch=1, vocab_size=2048)
    (token,) = codec.encode(" model")
    assert bias.shape == (1, 2048)
    assert {int(i): float(bias[0, i]) for i in np.flatnonzero(bias)} == {token: 1.5}


def test_without_words_there_is_no_bias(codec: Codec) -> None:
    assert embedding_bias(codec, None, None, batch=2, vocab_size=9).shape == (2, 0)


@pytest.mark.parametrize("weights", [None, np.ones([1, 2], np.float32)])
def test_words_without_as_many_weights_are_refused(codec: Codec, weights: NDArray[np.float32] | None) -> None:
    with pytest.raises(ClientError, match="each word needs one weight"):
        embedding_bias(codec, words(["model"]), weights, batch=1, vocab_size=9)
