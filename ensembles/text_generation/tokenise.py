"""What preprocessing does: the texts of a request -> the tensors that TensorRT-LLM takes. Runs inside Triton."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .chat import ChatTemplate, read_chat_template, read_messages
from .model_parameters import (
    ClientError,
    find_folder,
    flag,
    read_parameters,
    require_batching,
    tensor_names,
    tokenizer_path,
    whole_number,
)
from .tokenizer_folder import TokenizerFolder, read_json, read_tokenizer
from .word_lists import as_texts, embedding_bias, word_list

PARAMETERS = (
    "tokenizer_dir",
    "add_special_tokens",
    "apply_chat_template",
    "max_input_len",
    "max_seq_len",
    "vocab_size",
    "gpt_model_path",
    # NVIDIA's, for models that see images
    "multimodal_model_path",
    "visual_model_path",
    "hf_model_path",
    "max_num_images",
)
TAKEN = frozenset(
    [
        "QUERY",
        "DECODER_QUERY",
        "REQUEST_OUTPUT_LEN",
        "BAD_WORDS_DICT",
        "STOP_WORDS_DICT",
        "EMBEDDING_BIAS_WORDS",
        "EMBEDDING_BIAS_WEIGHTS",
        "END_ID",
        "PAD_ID",
    ]
)

Tensors = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Limits:
    """What the engine takes, in tokens; None where nothing says it."""

    max_input_len: int | None = None
    max_seq_len: int | None = None  # prompt and answer together
    vocab_size: int | None = None


@dataclass(frozen=True)
class Encoding:
    """How a preprocessing model encodes."""

    tokenizer: TokenizerFolder
    template: ChatTemplate | None
    add_special_tokens: bool
    limits: Limits
    refused: frozenset[str]  # inputs of its configuration that are not built

    def ids(self, text: str) -> list[int]:
        """Return a prompt's ids; a chat template writes the special tokens itself."""
        if self.template is not None:
            return self.tokenizer.codec.encode(self.template.render(read_messages(text)))
        codec = self.tokenizer.codec
        return codec.encode_prompt(text) if self.add_special_tokens else codec.encode(text)


def read_encoding(config: Mapping[str, Any], model_folder: str, version: str) -> Encoding:
    """Return what a model configuration's parameters ask for.

    Raises: ValueError, naming the parameter, where they make no sense.
    """
    require_batching(config)
    texts = read_parameters(config, PARAMETERS)
    folder = tokenizer_path(texts, model_folder, version)
    places = [folder]
    if "gpt_model_path" in texts:
        places.insert(0, find_folder(texts["gpt_model_path"], Path(model_folder), version))
    return Encoding(
        tokenizer=read_tokenizer(folder),
        template=read_chat_template(folder) if flag(texts, "apply_chat_template", default=False) else None,
        add_special_tokens=flag(texts, "add_special_tokens", default=True),
        limits=read_limits(texts, places),
        refused=tensor_names(config, "input") - TAKEN,
    )


def read_limits(texts: Mapping[str, str], places: Sequence[Path]) -> Limits:
    """Return an engine's limits: from parameters, else from the first config.json that says them.

    A config.json is an engine's (build_config, pretrained_config) or a Hugging Face model's.
    """
    found: dict[str, int] = {}
    for place in reversed(places):
        config = read_json(place / "config.json")
        build, model = config.get("build_config") or {}, config.get("pretrained_config") or config
        said = {
            "max_input_len": build.get("max_input_len"),
            "max_seq_len": build.get("max_seq_len") or model.get("max_position_embeddings"),
            "vocab_size": model.get("vocab_size"),
        }
        found |= {name: value for name, value in said.items() if isinstance(value, int)}
    given = {name: whole_number(texts, name) for name in ("max_input_len", "max_seq_len", "vocab_size")}
    return Limits(**found | {name: value for name, value in given.items() if value is not None})


def encode_request(inputs: Tensors, wanted: frozenset[str], encoding: Encoding) -> dict[str, npt.NDArray[Any]]:
    """Return a request's output tensors by name, those that are wanted; each has the batch axis first.

    Raises: ClientError for what cannot be served.
    """
    for name in sorted(encoding.refused & inputs.keys()):
        raise ClientError(f"input '{name}' is not supported: this preprocessing takes text alone")
    queries = as_texts(inputs["QUERY"].reshape(-1))
    batch, tokenizer = len(queries), encoding.tokenizer
    end_ids = _column(inputs.get("END_ID"), tokenizer.end_id, batch)
    pad_ids = _column(inputs.get("PAD_ID"), tokenizer.pad_id, batch)
    rows = [_within_limits(encoding.ids(query), encoding.limits) for query in queries]
    decoder_rows = (
        [encoding.ids(text) for text in as_texts(inputs["DECODER_QUERY"].reshape(-1))]
        if ("DECODER_QUERY" in inputs)
        else [[int(pad)] for pad in pad_ids[:, 0]]
    )
    codec = tokenizer.codec
    makers: dict[str, Callable[[], npt.NDArray[Any]]] = {
        "INPUT_ID": lambda: _padded(rows, pad_ids),
        "REQUEST_INPUT_LEN": lambda: _lengths(rows),
        "DECODER_INPUT_ID": lambda: _padded(decoder_rows, pad_ids),
        "REQUEST_DECODER_INPUT_LEN": lambda: _lengths(decoder_rows),
        "REQUEST_OUTPUT_LEN": lambda: inputs["REQUEST_OUTPUT_LEN"].reshape(batch, -1),
        "BAD_WORDS_IDS": lambda: word_list(codec, _rows(inputs.get("BAD_WORDS_DICT"), batch), batch),
        "STOP_WORDS_IDS": lambda: word_list(codec, _rows(inputs.get("STOP_WORDS_DICT"), batch), batch),
        "EMBEDDING_BIAS": lambda: embedding_bias(
            codec,
            _rows(inputs.get("EMBEDDING_BIAS_WORDS"), batch),
            _rows(inputs.get("EMBEDDING_BIAS_WEIGHTS"), batch),
            batch=batch,
            vocab_size=encoding.limits.vocab_size or codec.vocab_size,
        ),
        "OUT_END_ID": lambda: end_ids,
        "OUT_PAD_ID": lambda: pad_ids,
    }
    return {name: make() for name, make in makers.items() if name in wanted}


def _within_limits(ids: list[int], limits: Limits) -> list[int]:
    """Return a prompt's ids.

    Raises: ClientError for a prompt without tokens, and for one that the engine cannot take.
    """
    if not ids:
        raise ClientError("the prompt has no tokens: QUERY is empty")
    if limits.max_input_len is not None and len(ids) > limits.max_input_len:
        raise ClientError(
            f"the prompt has {len(ids)} tokens; the engine takes at most {limits.max_input_len} (max_input_len)"
        )
    if limits.max_seq_len is not None and len(ids) >= limits.max_seq_len:
        raise ClientError(
            f"the prompt has {len(ids)} tokens, which leaves no room for an answer; "
            f"the engine takes at most {limits.max_seq_len} tokens, prompt and answer together (max_seq_len)"
        )
    return ids


def _column(given: npt.NDArray[Any] | None, default: int, batch: int) -> npt.NDArray[np.int32]:
    """Return one number per row, [batch, 1]."""
    if given is None:
        return np.full([batch, 1], default, np.int32)
    return given.reshape(-1, 1).astype(np.int32)


def _rows(given: npt.NDArray[Any] | None, batch: int) -> npt.NDArray[Any] | None:
    return None if given is None else given.reshape(batch, -1)


def _lengths(rows: Sequence[Sequence[int]]) -> npt.NDArray[np.int32]:
    return np.array([[len(row)] for row in rows], np.int32)


def _padded(rows: Sequence[Sequence[int]], pad_ids: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    """Return the rows as [batch, longest], padded on the right."""
    tensor = np.tile(pad_ids, (1, max(map(len, rows))))
    for row, ids in zip(tensor, rows, strict=True):
        row[: len(ids)] = ids
    return tensor
