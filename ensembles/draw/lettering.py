"""How much room text takes in a drawing whose fonts are whatever the reader has: rather too much than too little."""

from __future__ import annotations

import unicodedata

MONO_EM = 0.605  # Menlo, DejaVu Sans Mono, Liberation Mono: 0.602
_NARROW, _WIDE = frozenset("iljtfrI.,:;'|!()[] "), frozenset("mwMWGOQ%@×—")


def sans_width(text: str, size: float) -> float:
    """Return about the most pixels that text takes in a sans-serif font."""
    return size * sum(map(_em, text))


def mono_width(text: str, size: float) -> float:
    """Return the pixels that text takes in a monospaced font."""
    return size * MONO_EM * sum(2 if _is_double(character) else 1 for character in text)


def columns(text: str) -> int:
    """Return how many columns of a terminal text takes."""
    return sum(0 if unicodedata.combining(one) else 2 if _is_double(one) else 1 for one in text)


def wrap(text: str, width: int) -> list[str]:
    """Return text in lines of at most `width` columns, broken between words, else within them."""
    lines = [""]
    for word in text.split(" "):
        while columns(word) > width:
            head = _head(word, width)
            lines += [head] if lines[-1] else []
            lines[-1] = head
            lines.append("")
            word = word[len(head) :]
        longer = f"{lines[-1]} {word}" if lines[-1] else word
        if columns(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return [line for line in lines if line] or [""]


def _head(word: str, width: int) -> str:
    taken = 0
    for index, one in enumerate(word):
        taken += columns(one)
        if taken > width:
            return word[: max(1, index)]
    return word


def _em(character: str) -> float:
    if _is_double(character):
        return 1.0
    if character in _NARROW:
        return 0.36
    return 0.92 if character in _WIDE else 0.68 if character.isupper() else 0.59


def _is_double(character: str) -> bool:
    return unicodedata.east_asian_width(character) in "WF"
