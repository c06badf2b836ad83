"""Prompts for models that generate text: words at random in given lengths, or a file's."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tritonsmith.generator.errors import ToolMissingError, UsageError
from tritonsmith.perf.measure.lengths import Lengths

PROMPTS = 256  # different ones, taken in turn
TOKENIZER_NAME = "tokenizer.json"
DEFAULT_PROMPT_TOKENS, DEFAULT_OUTPUT_TOKENS = Lengths("uniform", 16, 128), Lengths("uniform", 8, 64)
TEXT_KEYS, LENGTH_KEYS = ("prompt", "text_input", "text"), ("max_tokens", "output_tokens")
WORDS = (
    "a about after all an and any are as at back be because but by can come could day do each even first for from "
    "get give go good great had has have he her here him his how I if in into is it its just know last life like "
    "little long look made make man many may me more most much must my new no not now of old on one only or other "
    "our out over own people place right same say see she should small so some still such take than that the their "
    "them then there these they thing think this time to two under up upon use very was way we well went were what "
    "when where which while who will with work world would year you your"
)
Encode = Callable[[str], tuple[list[int], list[int]]]


@dataclass(frozen=True)
class Prompt:
    """A prompt: its text, its token ids where a tokenizer is known, and the answer's longest length in tokens.

    `is_exact` where the answer shall have this length, as drawn from a distribution.
    """

    text: str
    token_ids: tuple[int, ...]
    max_tokens: int
    is_exact: bool = False


@dataclass(frozen=True)
class Tokenizer:
    """A tokenizer.json: `encode` gives a text's token ids, no special ones, and where each ends in the text."""

    path: Path
    encode: Encode


def load_tokenizer(path: Path) -> Tokenizer:
    """Load a tokenizer.json, or the one in a folder.

    Raises: UsageError where there is none or it cannot be read; ToolMissingError without the package `tokenizers`.
    """
    file, hint = path / TOKENIZER_NAME if path.is_dir() else path, "--tokenizer names a tokenizer.json, or its folder"
    try:
        import tokenizers
    except ImportError:
        raise ToolMissingError("the package tokenizers is missing", hint="pip install tokenizers") from None
    try:
        document = json.loads(file.read_bytes())
    except (OSError, ValueError) as problem:
        raise UsageError(f"cannot read the tokenizer {file}: {problem}", hint=hint) from None
    if not isinstance(document, dict) or "model" not in document:
        raise UsageError(f"{file} is no tokenizer: it has no 'model'", hint=hint)
    loaded = tokenizers.Tokenizer.from_str(json.dumps(document))

    def encode(text: str) -> tuple[list[int], list[int]]:
        encoding = loaded.encode(text, add_special_tokens=False)
        return encoding.ids, [end for _, end in encoding.offsets]

    return Tokenizer(file, encode)


def make_prompts(
    prompt_tokens: Lengths, output_tokens: Lengths, tokenizer: Tokenizer | None, seed: int
) -> list[Prompt]:
    """Return prompts of random words; without a tokenizer a word stands for a token."""
    random = np.random.default_rng(seed)
    prompts = []
    for _ in range(PROMPTS):
        text, ids = _words(prompt_tokens.draw(random), tokenizer, random)
        prompts.append(Prompt(text, ids, output_tokens.draw(random), is_exact=True))
    return prompts


def read_prompts(path: Path, output_tokens: Lengths | None, tokenizer: Tokenizer | None, seed: int) -> list[Prompt]:
    """Read prompts from a file with one JSON value per line: a text, or {"prompt": text, "max_tokens": 64}.

    `output_tokens`, where given, decides all answers' lengths.

    Raises: UsageError with file and line.
    """
    random = np.random.default_rng(seed)
    prompts = []
    for text, max_tokens in _lines(path):
        length = output_tokens.draw(random) if output_tokens else max_tokens or DEFAULT_OUTPUT_TOKENS.second
        ids = tuple(tokenizer.encode(text)[0]) if tokenizer else ()
        prompts.append(Prompt(text, ids, length, is_exact=output_tokens is not None))
    if not prompts:
        raise UsageError(
            f"{path} has no prompt", hint='write one JSON value per line: {"prompt": "...", "max_tokens": 64}'
        )
    return prompts


def _words(count: int, tokenizer: Tokenizer | None, random: np.random.Generator) -> tuple[str, tuple[int, ...]]:
    """Return a text of so many tokens, and their ids."""
    text = " ".join(random.choice(WORDS.split(), count))
    if tokenizer is None:
        return text, ()
    ids, ends = tokenizer.encode(text)  # a word has at least one token, so that there are enough
    return text[: ends[count - 1]], tuple(ids[:count])


def _lines(path: Path) -> Iterator[tuple[str, int | None]]:
    try:
        lines: Sequence[str] = path.read_text(encoding="utf-8").splitlines()
    except OSError as problem:
        raise UsageError(f"no prompts in {path}: {problem.strerror}", hint="--prompts names a file") from None
    except UnicodeDecodeError as problem:
        raise UsageError(f"{path} is not UTF-8: {problem}", hint="--prompts names a file with JSON lines") from None
    for number, line in enumerate(lines, 1):
        if line.strip():
            yield _prompt_of(line, f"{path}:{number}")


def _prompt_of(line: str, where: str) -> tuple[str, int | None]:
    hint = 'write a text in quotes, or {"prompt": "...", "max_tokens": 64}'
    try:
        value: Any = json.loads(line)
    except ValueError as problem:
        raise UsageError(f"a line that is no JSON: {problem}", where=where, hint=hint) from None
    entry = {TEXT_KEYS[0]: value} if isinstance(value, str) else value
    text = next((entry[key] for key in TEXT_KEYS if key in entry), None) if isinstance(entry, dict) else None
    if not isinstance(text, str) or not text:
        raise UsageError(f"a line without a prompt: {line[:80]}", where=where, hint=hint)
    length = next((entry[key] for key in LENGTH_KEYS if key in entry), None)
    if length is not None and (not isinstance(length, int) or length < 1):
        raise UsageError(f"max_tokens is {length!r}, not a whole number above 0", where=where, hint=hint)
    return text, length
