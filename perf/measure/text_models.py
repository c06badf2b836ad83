"""Inputs of models that generate text, told by their names: the prompt, the answer's longest length, streaming."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tritonsmith.backends.client.made_up import made_up_rows
from tritonsmith.backends.client.tensors import Array
from tritonsmith.generator.catalog.datatypes import BY_WIRE
from tritonsmith.generator.errors import UsageError
from tritonsmith.perf.measure.prompts import TOKENIZER_NAME, Prompt


@dataclass(frozen=True)
class Form:
    """A family of models by the names of their inputs; those that a model lacks are left out."""

    prompt: str  # a text, or token ids where `length` says how many
    max_tokens: str
    stream: str
    length: str = ""
    min_tokens: tuple[str, ...] = ("min_tokens", "min_length")  # by release
    only_answer: tuple[str, ...] = ("exclude_input_in_output", "sampling_param_exclude_input_from_output")


# TensorRT-LLM's ensemble and BLS model, its LLM-API model, and the model behind the first two.
FORMS = (
    Form("text_input", "max_tokens", "stream"),
    Form("text_input", "sampling_param_max_tokens", "streaming"),
    Form("input_ids", "request_output_len", "streaming", length="input_lengths"),
)


def form_of(metadata: Mapping[str, Any]) -> Form | None:
    """Return the form whose inputs a model has; None where it generates no text that we know of."""
    names = {entry["name"] for entry in metadata["inputs"]}
    return next((form for form in FORMS if {form.prompt, form.max_tokens} <= names), None)


def has_least_length(metadata: Mapping[str, Any], form: Form) -> bool:
    """Return whether a request can say how long its answer is to be at least."""
    return any(entry["name"] in form.min_tokens for entry in metadata["inputs"])


def prompt_rows(
    prompts: Sequence[Prompt], form: Form, metadata: Mapping[str, Any], config: Mapping[str, Any], *, is_streamed: bool
) -> list[dict[str, Array]]:
    """Return a row per prompt, without the batch axis; required inputs beyond the form's are made up.

    Raises: UsageError where token ids are wanted and no tokenizer was found.
    """
    types = {entry["name"]: str(entry["datatype"]) for entry in metadata["inputs"]}
    others = made_up_rows(metadata, config)
    rows = []
    for index, prompt in enumerate(prompts):
        values = {name: one for name, one in _values(prompt, form, is_streamed=is_streamed).items() if name in types}
        row = {name: _array(one, types[name]) for name, one in values.items()}
        rows.append({**others[index % len(others)], **row})
    return rows


def find_tokenizer(repository: Path | None, models: Sequence[str]) -> Path | None:
    """Return the tokenizer.json beside one of the models, in a folder of a version; None where there is none."""
    if repository is None:
        return None
    return next((path for name in models for path in sorted((repository / name).glob(f"*/*/{TOKENIZER_NAME}"))), None)


def _values(prompt: Prompt, form: Form, *, is_streamed: bool) -> dict[str, list[Any]]:
    """Return what each input of the form is to hold, whether or not the model has it."""
    if form.length and not prompt.token_ids:
        raise UsageError(
            f"input '{form.prompt}' takes token ids, and no tokenizer is known",
            hint="--tokenizer FILE names its tokenizer.json",
        )
    ids = list(prompt.token_ids)
    values: dict[str, list[Any]] = {form.prompt: ids if form.length else [prompt.text], form.length: [len(ids)]}
    values |= {form.max_tokens: [prompt.max_tokens], form.stream: [is_streamed]}
    values |= {name: [prompt.max_tokens] for name in form.min_tokens if prompt.is_exact}
    return values | {name: [True] for name in form.only_answer}


def _array(values: list[Any], wire: str) -> Array:
    return np.array(values, dtype=object if wire == "BYTES" else BY_WIRE[wire].numpy)
