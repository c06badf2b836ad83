"""Read the `parameters` of a Python model's configuration, refusing misspelt ones. Runs inside Triton."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from fractions import Fraction
from typing import Any


def read_parameters(config: Mapping[str, Any], known: Collection[str]) -> dict[str, str]:
    """Return a model's own parameters as text, from its configuration as Triton hands it over (JSON).

    Names in capitals are the Python backend's (EXECUTION_ENV_PATH ...) and left out.

    Raises: ValueError for a name that is not known.
    """
    entries = {name: entry["string_value"] for name, entry in config.get("parameters", {}).items()}
    texts = {name: text for name, text in entries.items() if not name.isupper()}
    unknown = sorted(set(texts) - set(known))
    if unknown:
        raise ValueError(f"unknown parameter '{unknown[0]}'; known are {', '.join(sorted(known))}")
    return texts


def whole_number(texts: Mapping[str, str], name: str, default: int | None = None) -> int:
    """Return a parameter that is a whole number from 1 up.

    Raises: ValueError for anything else, and where it is missing without a default.
    """
    text = texts.get(name)
    if text is None and default is not None:
        return default
    if text is None:
        raise ValueError(f"parameter '{name}' is missing")
    if not text.strip().isdecimal() or int(text) < 1:
        raise ValueError(f"parameter {name}: '{text}' is not a whole number from 1 up")
    return int(text)


def numbers(texts: Mapping[str, str], name: str, default: str, count: int) -> list[float]:
    """Return `count` numbers from a text such as "0.5", "1/255" or "0.485, 0.456, 0.406"; a single one holds for all.

    Raises: ValueError where the text is anything else.
    """
    text = texts.get(name, default)
    try:
        values = [float(Fraction(part.strip())) for part in text.strip("[] ").split(",")]
    except (ValueError, ArithmeticError) as problem:  # 1/0, or 1e400 as a fraction
        raise ValueError(
            f"parameter {name}: '{text}' is not a number or a comma-separated list of numbers"
        ) from problem
    if len(values) not in (1, count):
        raise ValueError(f"parameter {name}: '{text}' has {len(values)} numbers; give 1, or {count}, one per channel")
    return values * count if len(values) == 1 else values


def choice(texts: Mapping[str, str], name: str, default: str, choices: Collection[str]) -> str:
    """Return a parameter that is one of a few words.

    Raises: ValueError for another word.
    """
    text = texts.get(name, default)
    if text not in choices:
        raise ValueError(f"parameter {name}: '{text}' is not one of {', '.join(choices)}")
    return text
