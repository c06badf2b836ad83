"""Read the `parameters` and tensors of a Python model's configuration, misspelt ones refused. Runs inside Triton."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

WORDS = {"true": True, "false": False, "1": True, "0": False, "yes": True, "no": False}


class ClientError(ValueError):
    """Raised for what a client sent; the message is for the client."""


def read_parameters(config: Mapping[str, Any], known: Collection[str]) -> dict[str, str]:
    """Return a model's own parameters as text, from its configuration as Triton hands it over (JSON).

    Left out: empty ones and `${...}` (NVIDIA's templates leave both for "not set"), and names in capitals, which are
    the Python backend's (EXECUTION_ENV_PATH ...).

    Raises: ValueError for a name that is not known.
    """
    entries = {name: str(entry["string_value"]) for name, entry in config.get("parameters", {}).items()}
    texts = {name: text for name, text in entries.items() if not name.isupper()}
    unknown = sorted(set(texts) - set(known))
    if unknown:
        raise ValueError(f"unknown parameter '{unknown[0]}'; known are {', '.join(sorted(known))}")
    return {name: text for name, text in texts.items() if text and not text.startswith("${")}


def flag(texts: Mapping[str, str], name: str, *, default: bool) -> bool:
    """Return a parameter that is true or false.

    Raises: ValueError for another word.
    """
    text = texts.get(name)
    if text is None:
        return default
    if text.lower() not in WORDS:
        raise ValueError(f"parameter {name}: '{text}' is neither true nor false")
    return WORDS[text.lower()]


def whole_number(texts: Mapping[str, str], name: str) -> int | None:
    """Return a parameter that is a whole number from 1 up, None where it is not set.

    Raises: ValueError for anything else.
    """
    text = texts.get(name)
    if text is None:
        return None
    if not text.strip().isdecimal() or int(text) < 1:
        raise ValueError(f"parameter {name}: '{text}' is not a whole number from 1 up")
    return int(text)


def tensor_names(config: Mapping[str, Any], kind: str) -> frozenset[str]:
    """Return the names of a configuration's tensors; `kind` is "input" or "output"."""
    return frozenset(tensor["name"] for tensor in config.get(kind, []))


def require_batching(config: Mapping[str, Any]) -> None:
    """Refuse a configuration whose tensors have no batch axis.

    Raises: ValueError.
    """
    if int(config.get("max_batch_size", 0)) < 1:
        raise ValueError("max_batch_size must be 1 or more: the tensors of this pipeline have a batch axis")


def tokenizer_path(texts: Mapping[str, str], model_folder: str, version: str) -> Path:
    """Return the folder that `tokenizer_dir` names.

    Raises: ValueError where it is missing.
    """
    if "tokenizer_dir" not in texts:
        raise ValueError("parameter 'tokenizer_dir' is missing")
    return find_folder(texts["tokenizer_dir"], Path(model_folder), version)


def find_folder(text: str, model_folder: Path, version: str) -> Path:
    """Return the folder that a parameter names, which need not exist.

    A relative path counts from the model's version folder. An absolute one is taken as it is; where it does not
    exist, a folder of this repository with the same last parts is (/models/tensorrt_llm/1/engine is where a container
    sees the repository, and where it lies elsewhere, it is looked up in its own).
    """
    path = Path(text)
    if not path.is_absolute():
        return model_folder / version / path
    if path.exists():
        return path
    repository, parts = model_folder.parent, path.parts[1:]
    candidates = (repository.joinpath(*parts[start:]) for start in range(len(parts) - 1))
    return next((candidate for candidate in candidates if candidate.exists()), path)
