"""Numbers, booleans and strings of a config.pbtxt, as protobuf's C++ parser reads them.

Source: protobuf: io/tokenizer.cc, text_format.cc (ConsumeSignedInteger, ConsumeDouble, ConsumeFieldValue).
"""

from __future__ import annotations

import re

BOOLS = {"true": True, "True": True, "t": True, "false": False, "False": False, "f": False}
_INTEGER = re.compile(r"0[xX][0-9a-fA-F]+|0[0-7]*|[1-9][0-9]*")
_FLOAT = re.compile(r"(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?[fF]?")
_WORDS = {"inf": float("inf"), "infinity": float("inf"), "nan": float("nan")}
_ESCAPE = re.compile(
    r"\\(?:([abfnrtv\\?'\"])|([0-7]{1,3})|x([0-9a-fA-F]{1,2})|u([0-9a-fA-F]{4})|U(00[01][0-9a-fA-F]{5}))"
)
_PLAIN = {"a": 7, "b": 8, "f": 12, "n": 10, "r": 13, "t": 9, "v": 11, "\\": 92, "?": 63, "'": 39, '"': 34}
_MOST_DIGITS = 25  # more than any integer has, and less than Python refuses to convert


def bool_word(value: bool) -> str:
    """Return a boolean as it is written."""
    return "true" if value else "false"


def read_int(word: str, bounds: tuple[int, int], *, is_negative: bool) -> int | None:
    """Return an integer within its bounds, None where the word is none: decimal, octal with 0, hexadecimal with 0x."""
    low, high = bounds
    if len(word) > _MOST_DIGITS or _INTEGER.fullmatch(word) is None or (is_negative and low == 0):
        return None
    base = 10 if word[0] != "0" else 16 if word[1:2] in ("x", "X") else 8
    value = -int(word, base) if is_negative else int(word, base)
    return value if low <= value <= high else None


def read_float(word: str, _bounds: tuple[int, int], *, is_negative: bool) -> float | None:
    """Return a floating point number, None where the word is none; a decimal integer is one."""
    if word.lower() in _WORDS:
        value = _WORDS[word.lower()]
    elif _FLOAT.fullmatch(word):
        value = float(word.rstrip("fF"))
    else:
        return None
    return -value if is_negative else value


def string_problem(word: str) -> tuple[str, str] | None:
    """Return what is wrong with a string as it is written, and the remedy; None where nothing is."""
    if len(word) < 2 or word[-1] != word[0] or (len(word) - len(word[:-1].rstrip("\\"))) % 2 == 0:
        return "this string does not end on its line", f"close it with {word[0]}"
    bad = re.search(r"\\", _ESCAPE.sub("", word)) if "\\" in word else None
    if bad:
        return f"a \\ in {word if len(word) < 60 else 'this string'} escapes nothing", "write \\\\ for a backslash"
    return None


def unescape(text: str) -> str:
    """Return a string without its escapes; bytes that are no UTF-8 become U+FFFD."""
    parts: list[bytes] = []
    end = 0
    for match in _ESCAPE.finditer(text):
        parts += [text[end : match.start()].encode("utf-8", "surrogateescape"), _escaped(match)]
        end = match.end()
    return b"".join([*parts, text[end:].encode("utf-8", "surrogateescape")]).decode("utf-8", "replace")


def as_utf8(text: str) -> str:
    """Return a string as protobuf holds it: bytes that are no UTF-8 become U+FFFD."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _escaped(match: re.Match[str]) -> bytes:
    plain, octal, hexadecimal, short, long = match.groups()
    if plain:
        return bytes([_PLAIN[plain]])
    if octal or hexadecimal:
        return bytes([(int(octal, 8) if octal else int(hexadecimal, 16)) & 0xFF])
    number = int(short or long, 16)
    return chr(number).encode("utf-8", "surrogatepass") if number < 0x110000 else b"\xff"
