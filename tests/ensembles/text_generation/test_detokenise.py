"""What a Detokeniser says, piece by piece, is what decoding all at once says: whatever tokenizer, whatever ids."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from tritonsmith.ensembles.text_generation.detokenise import Detokeniser
from tritonsmith.ensembles.text_generation.tokenizer_folder import Codec, read_tokenizer

ROOT = Path(__file__).parents[3]
STRINGS: list[str] = json.loads((ROOT / "tests" / "data" / "text_generation" / "utf8_200.json").read_text("utf-8"))
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]


def byte_level() -> Tokenizer:
    """GPT-2's kind: tokens are bytes, and merges cut characters anywhere."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=450, initial_alphabet=alphabet, special_tokens=["<s>", "</s>"], show_progress=False
    )
    tokenizer.train_from_iterator(STRINGS, trainer)
    tokenizer.add_tokens([AddedToken("<think é>")])
    return tokenizer


def byte_fallback() -> Tokenizer:
    """SentencePiece's kind without its decoder: pieces with ▁ for a space, bytes for what it has no piece for."""
    vocabulary = {token: number for number, token in enumerate(["<unk>", "<s>", "</s>", *BYTES])}
    merges = [("▁", "t"), ("t", "h"), ("h", "e"), ("▁", "h"), ("l", "o"), ("▁t", "he"), ("▁", "▁")]
    pieces = ["▁", *"abcdefghijklmnopqrstuvwxyz.,'\n", *(left + right for left, right in merges)]
    vocabulary |= {piece: len(vocabulary) + number for number, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.BPE(vocabulary, merges, byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    tokenizer.add_special_tokens(["<unk>", "<s>", "</s>"])
    return tokenizer


def llama() -> Tokenizer:
    tokenizer = byte_fallback()
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    tokenizer.decoder = decoders.Sequence(steps)
    return tokenizer


def metaspace() -> Tokenizer:
    tokenizer = byte_fallback()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace()])
    return tokenizer


def bytes_in_sequence() -> Tokenizer:
    """Byte-level with another decoder behind, so that the window has to hold characters back."""
    tokenizer = byte_level()
    tokenizer.decoder = decoders.Sequence([decoders.ByteLevel(), decoders.Fuse()])
    return tokenizer


def word_piece() -> Tokenizer:
    words = ["[UNK]", "[SEP]", "hello", "##s", ".", "do", "n't", "world", "##ing", "'", ",", "not"]
    tokenizer = Tokenizer(models.WordPiece({word: number for number, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.add_special_tokens(["[UNK]", "[SEP]"])
    return tokenizer


def suffixes() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE({"a</w>": 0, "b": 1, "c</w>": 2, "</w>": 3, "d": 4}, []))
    tokenizer.decoder = decoders.BPEDecoder("</w>")
    return tokenizer


def no_decoder() -> Tokenizer:
    return Tokenizer(models.WordLevel({"a": 0, "b": 1, "": 2}, unk_token="a"))


MAKERS = [byte_level, llama, metaspace, bytes_in_sequence, word_piece, suffixes, no_decoder]


@pytest.fixture(scope="module", params=MAKERS, ids=lambda make: str(make.__name__))
def codec(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Codec:
    return saved(request.param, tmp_path_factory.mktemp("tokenizer"))


def saved(make: Callable[[], Tokenizer], folder: Path) -> Codec:
    make().save(str(folder / "tokenizer.json"))
    return read_tokenizer(folder).codec


def streamed(codec: Codec, ids: Sequence[int], sizes: Sequence[int], *, skips: bool = True) -> list[str]:
    """Return the pieces for ids that come in chunks of these sizes, over and over."""
    detokeniser = Detokeniser(codec, skip_special_tokens=skips)
    pieces: list[str] = []
    place = 0
    while place < len(ids):
        size = sizes[len(pieces) % len(sizes)]
        pieces.append(detokeniser.push(ids[place : place + size]))
        place += size
    return [*pieces, detokeniser.flush()]


def at_once(codec: Codec, ids: Sequence[int], *, skips: bool) -> str:
    return codec.decode([i for i in ids if not (skips and i in codec.special_ids) and codec.token(i) is not None])


@pytest.mark.parametrize("skips", [True, False])
def test_pieces_of_random_ids_are_the_whole(codec: Codec, skips: bool) -> None:
    chance = random.Random(11)
    for _ in range(600):
        pool = [chance.randrange(-1, codec.vocab_size + 2) for _ in range(chance.choice([1, 2, 5, 60]))]
        ids = chance.choices(pool, k=chance.randint(1, 70))
        pieces = streamed(codec, ids, [chance.choice([1, 1, 2, 7, 30]) for _ in range(5)], skips=skips)
        assert "".join(pieces) == at_once(codec, ids, skips=skips), ids


def test_strings_come_back_whole_token_by_token(codec: Codec) -> None:
    for text in STRINGS:
        ids = codec.encode(text)
        pieces = streamed(codec, ids, [1])
        assert "".join(pieces) == at_once(codec, ids, skips=True)


def test_the_demo_says_the_200_strings_exactly() -> None:
    codec = read_tokenizer(ROOT / "ensembles" / "text_generation" / "demo").codec
    for text in STRINGS:
        assert "".join(streamed(codec, codec.encode(text), [1])) == text


def test_text_comes_as_soon_as_it_is_certain(tmp_path: Path) -> None:
    codec = saved(byte_level, tmp_path)
    pieces = streamed(codec, [byte_id(codec, byte) for byte in "a😀b".encode()], [1])
    assert pieces == ["a", "", "", "", "😀", "b", ""]


def byte_id(codec: Codec, byte: int) -> int:
    """Return a byte's own token in GPT-2's alphabet."""
    shown = chr(byte) if 0x21 <= byte <= 0x7E or 0xAE <= byte <= 0xFF or 0xA1 <= byte <= 0xAC else None
    others = [one for one in range(256) if not (0x21 <= one <= 0x7E or 0xA1 <= one <= 0xAC or one >= 0xAE)]
    token_id = codec.token_id(shown or chr(256 + others.index(byte)))
    assert token_id is not None
    return token_id


def test_a_character_that_is_never_completed_is_shown_at_the_end(tmp_path: Path) -> None:
    codec = saved(byte_level, tmp_path)
    assert streamed(codec, [byte_id(codec, byte) for byte in b"a\xf0\x9f"], [1]) == ["a", "", "", "\ufffd"]


def test_a_leading_space_is_lost_once_and_no_other(tmp_path: Path) -> None:
    codec = saved(llama, tmp_path)
    ids = [codec.token_id(token) or 0 for token in ("▁the", "▁", "▁", "▁the", "lo", "▁▁", "a")]
    assert streamed(codec, ids, [1]) == ["the", " ", " ", " the", "lo", "  ", "a", ""]


def test_a_run_of_byte_tokens_waits_for_its_end_for_one_bad_byte_spoils_it(tmp_path: Path) -> None:
    codec = saved(llama, tmp_path)
    emoji = [codec.token_id(f"<0x{byte:02X}>") or 0 for byte in "😀".encode()]
    bad, a = codec.token_id("<0xFF>") or 0, codec.token_id("a") or 0
    assert streamed(codec, [*emoji, a], [1]) == ["", "", "", "", "😀a", ""]
    assert streamed(codec, [*emoji, bad, a], [1])[-2] == "\ufffd" * 5 + "a"


def test_an_eager_one_does_not_wait_for_the_end_of_a_run(tmp_path: Path) -> None:
    codec = saved(llama, tmp_path)
    detokeniser = Detokeniser(codec, is_eager=True)
    emoji = [codec.token_id(f"<0x{byte:02X}>") or 0 for byte in "😀é".encode()]
    assert [detokeniser.push([i]) for i in emoji] == ["", "", "", "😀", "", "é"]
    assert "".join(detokeniser.push([i]) for i in emoji * 50) == "😀é" * 50


@pytest.mark.parametrize("is_special_shown", [True, False])
def test_special_tokens_are_shown_only_where_they_are_wanted(tmp_path: Path, is_special_shown: bool) -> None:
    codec = saved(byte_level, tmp_path)
    ids = [codec.token_id("<s>") or 0, *codec.encode("é"), codec.token_id("</s>") or 0]
    pieces = streamed(codec, ids, [1], skips=not is_special_shown)
    assert "".join(pieces) == ("<s>é</s>" if is_special_shown else "é")


def test_after_a_flush_it_is_as_new(codec: Codec) -> None:
    chance = random.Random(3)
    ids = [chance.randrange(codec.vocab_size) for _ in range(40)]
    detokeniser = Detokeniser(codec)
    texts = [detokeniser.push(ids) + detokeniser.flush() for _ in range(3)]
    assert texts == [texts[0]] * 3


def test_the_window_stays_short(codec: Codec) -> None:
    """Else a long answer would cost the square of its length."""
    decoded = CountingCodec(codec)
    detokeniser = Detokeniser(decoded)
    chance = random.Random(5)
    plain = [i for i in range(codec.vocab_size) if "<0x" not in (codec.token(i) or "")]
    for _ in range(3000):
        detokeniser.push([chance.choice(plain)])
    assert decoded.count < 3000 * 40


class CountingCodec:
    """A codec that counts the tokens it decodes."""

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self.count = 0
        self.special_ids, self.vocab_size = codec.special_ids, codec.vocab_size
        self.is_byte_level, self.is_byte_level_only = codec.is_byte_level, codec.is_byte_level_only
        self.is_byte_fallback = codec.is_byte_fallback
        self.encode, self.encode_prompt = codec.encode, codec.encode_prompt
        self.token, self.token_id = codec.token, codec.token_id

    def decode(self, ids: Sequence[int]) -> str:
        self.count += len(ids)
        return self._codec.decode(ids)
