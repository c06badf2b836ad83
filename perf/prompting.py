"""From what is asked of prompts to perf_analyzer's input data for a served model."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tritonsmith.generator import console
from tritonsmith.generator.errors import UsageError
from tritonsmith.perf.measure.input_data import write_input_data
from tritonsmith.perf.measure.lengths import Lengths
from tritonsmith.perf.measure.prompts import (
    DEFAULT_OUTPUT_TOKENS,
    DEFAULT_PROMPT_TOKENS,
    Tokenizer,
    load_tokenizer,
    make_prompts,
    read_prompts,
)
from tritonsmith.perf.measure.text_models import FORMS, find_tokenizer, form_of, has_least_length, prompt_rows
from tritonsmith.perf.served import is_decoupled, read_configs
from tritonsmith.perf.target import Target


@dataclass(frozen=True)
class PromptWishes:
    """What is asked of prompts and answers; None where nothing is."""

    file: Path | None = None
    prompt_tokens: Lengths | None = None
    output_tokens: Lengths | None = None
    tokenizer: Path | None = None
    seed: int = 0

    def __bool__(self) -> bool:
        """Return whether anything is asked."""
        return any((self.file, self.prompt_tokens, self.output_tokens, self.tokenizer))


def write_prompts(wishes: PromptWishes, model: str, target: Target, path: Path) -> tuple[Path | None, str]:
    """Write prompts for a served model and return the file, and in words how they were made.

    Both are empty for a model that takes no prompt, where none is asked for.

    Raises: UsageError for wishes that the model cannot meet.
    """
    metadata, configs = target.control.metadata(model), read_configs(target.control, model)
    form = form_of(metadata)
    if form is None:
        if not wishes:
            return None, ""
        known = ", ".join(f"{one.prompt} and {one.max_tokens}" for one in FORMS)
        raise UsageError(
            f"'{model}' takes no prompt: it has none of {known}", hint="--input NAME=VALUE gives its inputs"
        )
    tokenizer = _tokenizer(wishes, target, list(configs))
    output = wishes.output_tokens or DEFAULT_OUTPUT_TOKENS
    answers = f"answers of {'' if has_least_length(metadata, form) else 'at most '}{output} tokens"
    lengths = wishes.prompt_tokens or DEFAULT_PROMPT_TOKENS
    if wishes.file:
        prompts = read_prompts(wishes.file, wishes.output_tokens, tokenizer, wishes.seed)
        words = f"{len(prompts)} prompts of {wishes.file.name}"
        words += f", {answers}" if wishes.output_tokens else ""
    else:
        prompts = make_prompts(lengths, output, tokenizer, wishes.seed)
        unit = "tokens" if tokenizer else "words"
        words = f"{len(prompts)} prompts of {lengths} {unit} at random, {answers}"
        if not tokenizer:
            console.say("note: no tokenizer is known, so a word stands for a token; --tokenizer names one")
    console.say(f"{model}: {words}")
    rows = prompt_rows(prompts, form, metadata, configs[model], is_streamed=is_decoupled(configs))
    return write_input_data(path, rows), words


def _tokenizer(wishes: PromptWishes, target: Target, models: Sequence[str]) -> Tokenizer | None:
    """Load the tokenizer that is named, or else the one in the served repository where it can be read here."""
    if wishes.tokenizer:
        return load_tokenizer(wishes.tokenizer)
    found = find_tokenizer(target.repository, models)
    return load_tokenizer(found) if found and importlib.util.find_spec("tokenizers") else None
