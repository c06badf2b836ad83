"""A tokenizer's folder: what encodes, what decodes, and which tokens are special. Runs inside Triton.

`tokenizers` serves every folder that has a tokenizer.json; `transformers` is imported only for those that have none.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import tokenizers

Json = Mapping[str, Any]
SPECIAL_TOKENS = ("bos_token", "eos_token", "pad_token", "unk_token", "sep_token", "cls_token", "mask_token")


class Codec(Protocol):
    """Text to token ids and back, whatever library does it.

    `is_byte_level`: tokens are bytes, so that a text may end inside a character, shown as one U+FFFD;
    `is_byte_level_only`: and decoding does nothing but read them in GPT-2's alphabet.
    `is_byte_fallback`: tokens <0x00> to <0xFF> are bytes, and a run of them is decoded as a whole or not at all.
    """

    special_ids: frozenset[int]
    vocab_size: int
    is_byte_level: bool
    is_byte_level_only: bool
    is_byte_fallback: bool

    def encode(self, text: str) -> list[int]:
        """Return a text's ids, special tokens in the text recognised, none added."""

    def encode_prompt(self, text: str) -> list[int]:
        """Return a text's ids with the special tokens that begin and end a prompt."""

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of ids, special tokens included."""

    def token(self, token_id: int) -> str | None:
        """Return a token as the vocabulary writes it, None where there is none of that id."""

    def token_id(self, token: str) -> int | None:
        """Return a token's id, None where there is none."""


@dataclass(frozen=True)
class TokenizerFolder:
    """A tokenizer with what its folder says about it."""

    path: Path
    codec: Codec
    special_tokens: Mapping[str, str]  # bos_token, eos_token ...: the tokens' texts
    end_id: int  # -1: none
    pad_id: int  # the end id where there is none of its own; 0 where there is neither


def read_tokenizer(folder: Path) -> TokenizerFolder:
    """Return the tokenizer of a folder.

    Raises: ValueError where there is none, or it cannot be read.
    """
    if not folder.is_dir():
        raise ValueError(f"tokenizer_dir: there is no folder '{folder}'")
    config = read_json(folder / "tokenizer_config.json")
    codec: Codec = FastCodec(folder, config) if (folder / "tokenizer.json").is_file() else SlowCodec(folder)
    special = read_special_tokens(folder, config)
    end = _id_of(codec, special.get("eos_token"))
    if end is None:
        end = _end_id_of_model(folder)
    pad = _id_of(codec, special.get("pad_token"))
    return TokenizerFolder(folder, codec, special, end, pad if pad is not None else max(end, 0))


def read_json(path: Path) -> dict[str, Any]:
    """Return a file's JSON object, empty where there is no file.

    Raises: ValueError where it is no JSON object.
    """
    if not path.is_file():
        return {}
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as problem:
        raise ValueError(f"'{path}' cannot be read: {problem}") from problem
    if not isinstance(value, dict):
        raise ValueError(f"'{path}' holds {type(value).__name__}, not an object")  # noqa: TRY004  (a file, no argument)
    return value


def read_special_tokens(folder: Path, config: Json) -> dict[str, str]:
    """Return the special tokens that a folder names, role by role; tokenizer_config.json wins."""
    entries = {**read_json(folder / "special_tokens_map.json"), **{k: v for k, v in config.items() if v is not None}}
    found = {role: _content(entries.get(role)) for role in SPECIAL_TOKENS}
    return {role: text for role, text in found.items() if text is not None}


def _content(entry: Any) -> str | None:
    """Return a token's text, written alone or as {"content": text, ...}."""
    text = entry.get("content") if isinstance(entry, dict) else entry
    return text if isinstance(text, str) else None


def _id_of(codec: Codec, token: str | None) -> int | None:
    return None if token is None else codec.token_id(token)


def _end_id_of_model(folder: Path) -> int:
    """Return the end id that the model's own files name, -1 where they name none."""
    for name in ("generation_config.json", "config.json"):
        end = read_json(folder / name).get("eos_token_id")
        if isinstance(end, list) and end:
            end = end[0]
        if isinstance(end, int):
            return end
    return -1


class FastCodec:
    """A tokenizer.json, by `tokenizers` alone."""

    def __init__(self, folder: Path, config: Json) -> None:
        path = folder / "tokenizer.json"
        try:
            self._tokenizer = tokenizers.Tokenizer.from_file(str(path))
        except Exception as problem:  # the library raises nothing narrower
            raise ValueError(
                f"'{path}' is not a tokenizer.json that tokenizers {tokenizers.__version__} reads: {problem}"
            ) from problem
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self._adds = {role: config.get(f"add_{role}_token") for role in ("bos", "eos")}
        self._ids = {role: self.token_id(_content(config.get(f"{role}_token")) or "") for role in ("bos", "eos")}
        added = self._tokenizer.get_added_tokens_decoder()
        self.special_ids = frozenset(token_id for token_id, token in added.items() if token.special)
        self.vocab_size = self._tokenizer.get_vocab_size(with_added_tokens=True)
        kinds = _decoder_kinds(json.loads(path.read_text(encoding="utf-8")).get("decoder"))
        self.is_byte_level = "ByteLevel" in kinds
        self.is_byte_level_only = kinds == {"ByteLevel"}
        self.is_byte_fallback = "ByteFallback" in kinds

    def encode(self, text: str) -> list[int]:
        """Return a text's ids, special tokens in the text recognised, none added."""
        return list(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def encode_prompt(self, text: str) -> list[int]:
        """Return a text's ids with the special tokens that begin and end a prompt.

        tokenizer_config.json's add_bos_token and add_eos_token have the last word, as in `transformers`.
        """
        ids = list(self._tokenizer.encode(text, add_special_tokens=True).ids)
        bos, eos = self._ids["bos"], self._ids["eos"]
        if bos is not None and self._adds["bos"] is not None:
            ids = [bos] * bool(self._adds["bos"]) + ids[ids[:1] == [bos] :]
        if eos is not None and self._adds["eos"] is not None:
            ids = ids[: len(ids) - (ids[-1:] == [eos])] + [eos] * bool(self._adds["eos"])
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of ids, special tokens included."""
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=False))

    def token(self, token_id: int) -> str | None:
        """Return a token as the vocabulary writes it, None where there is none of that id."""
        return self._tokenizer.id_to_token(token_id) if token_id >= 0 else None

    def token_id(self, token: str) -> int | None:
        """Return a token's id, None where there is none."""
        found = self._tokenizer.token_to_id(token)
        return None if found is None else int(found)


def _decoder_kinds(decoder: Any) -> set[str]:
    """Return the types of a tokenizer.json's decoder and of the decoders in it."""
    if not isinstance(decoder, dict):
        return set()
    kinds = {str(decoder.get("type"))}
    return kinds.union(*(_decoder_kinds(inner) for inner in decoder.get("decoders", [])))


class SlowCodec:
    """A tokenizer without tokenizer.json (tokenizer.model, vocab.txt ...), by `transformers`."""

    def __init__(self, folder: Path) -> None:
        try:
            from transformers import AutoTokenizer
        except ImportError as problem:
            raise ValueError(
                f"'{folder}' has no tokenizer.json, and transformers, which reads the other formats, is not installed: "
                "install transformers and sentencepiece, or convert the tokenizer with it (save_pretrained)"
            ) from problem
        try:
            self._tokenizer: Any = AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
        except (OSError, ValueError) as problem:
            raise ValueError(f"'{folder}' has no tokenizer that transformers reads: {problem}") from problem
        self.special_ids = frozenset(self._tokenizer.all_special_ids)
        self.vocab_size = len(self._tokenizer)
        self.is_byte_level = True  # not known: held back as if it were
        self.is_byte_level_only = False
        self.is_byte_fallback = self.token_id("<0x00>") is not None

    def encode(self, text: str) -> list[int]:
        """Return a text's ids, special tokens in the text recognised, none added."""
        return list(self._tokenizer.encode(text, add_special_tokens=False))

    def encode_prompt(self, text: str) -> list[int]:
        """Return a text's ids with the special tokens that begin and end a prompt."""
        return list(self._tokenizer.encode(text, add_special_tokens=True))

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of ids, special tokens included."""
        text = self._tokenizer.decode(list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False)
        return str(text)

    def token(self, token_id: int) -> str | None:
        """Return a token as the vocabulary writes it, None where there is none of that id."""
        known = 0 <= token_id < self.vocab_size
        return self._tokenizer.convert_ids_to_tokens(token_id) if known else None

    def token_id(self, token: str) -> int | None:
        """Return a token's id, None where there is none."""
        found = self._tokenizer.get_vocab().get(token)
        return None if found is None else int(found)
