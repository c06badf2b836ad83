"""What a wrong word in a config.pbtxt was most likely meant to be: message, remedy, and a fix where it is sure."""

from __future__ import annotations

import re

from tritonclient.grpc.model_config_pb2 import ModelConfig

from tritonsmith.generator.fixes import Fix, ReplaceText
from tritonsmith.generator.repository.fields import Field, homes_of
from tritonsmith.generator.suggest import did_you_mean

Suggestion = tuple[str, str, "Fix | None"]
# What other tools call Triton's types.
_TYPES = {
    "float": "TYPE_FP32",
    "float16": "TYPE_FP16",
    "half": "TYPE_FP16",
    "float32": "TYPE_FP32",
    "float64": "TYPE_FP64",
    "double": "TYPE_FP64",
    "bfloat16": "TYPE_BF16",
    "int": "TYPE_INT32",
    "long": "TYPE_INT64",
    "bytes": "TYPE_STRING",
    "str": "TYPE_STRING",
    "utf8": "TYPE_STRING",
    "boolean": "TYPE_BOOL",
    "type_float32": "TYPE_FP32",
    "type_float16": "TYPE_FP16",
    "type_bytes": "TYPE_STRING",
}
_BOOLS = {"yes": "true", "on": "true", "no": "false", "off": "false", "true": "true", "false": "false"}
QUOTES = dict.fromkeys("\u201c\u201d\u201e", '"') | dict.fromkeys("\u2018\u2019", "'")
_LONGEST = 40


def shown(word: str) -> str:
    """Return a token as a message quotes it, shortened."""
    if not word:
        return "the end"
    if not word.isascii() and len(word) == 1:
        if 0xDC80 <= ord(word) <= 0xDCFF:
            return f"the byte 0x{ord(word) - 0xDC00:02X}, which is not UTF-8,"
        return f"'{word}' (U+{ord(word):04X})" if word.isprintable() else f"U+{ord(word):04X}"
    cut = word if len(word) <= _LONGEST else f"{word[:_LONGEST]}..."
    return cut if cut[:1] in ("'", '"') else f"'{cut}'" if cut.isprintable() else repr(cut)


def suggest_field(name: str, known: dict[str, Field]) -> Suggestion:
    """Suggest what an unknown field of a message was meant to be."""
    snake = re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", name).lower() if len(name) <= _LONGEST else name
    if snake in known:
        return f"unknown field {shown(name)}. Did you mean '{snake}'?", f"write {snake}", ReplaceText(name, snake)
    message = f"unknown field {shown(name)}"
    homes = homes_of(ModelConfig.DESCRIPTOR)
    if name in homes and name not in ("key", "value"):
        home = homes[name]
        remedy = f"put it into {home} {{ ... }}" if home else "put it at the top of the file, outside any { ... }"
        return f"{message} here: it is one of {home or 'the model'}", remedy, None
    near = did_you_mean(name, known)
    return f"{message}.{near}" if near else message, "" if near else f"known here: {_listed(known)}", None


def suggest_enum(word: str, known: Field) -> Suggestion:
    """Suggest what an enum's value was meant to be: FP32 is TYPE_FP32."""
    names = list(known.values)
    bare = word.strip("\"'")
    message = f"'{known.name}' has no value {shown(word)}"
    for name in names:
        if bare.upper() == name or (bare and name.endswith(f"_{bare.upper()}")):
            return f"{message}. Did you mean '{name}'?", f"write {name}", ReplaceText(word, name)
    meant = _TYPES.get(bare.lower()) if "TYPE_FP32" in known.values else None
    if meant:
        return f"{message}. Did you mean '{meant}'?", f"write {meant}", ReplaceText(word, meant)
    near = did_you_mean(bare[:_LONGEST], names)
    return f"{message}.{near}" if near else message, "" if near else f"one of {_listed(names)}", None


def suggest_stray(character: str) -> Suggestion:
    """Suggest what a character was meant to be that may stand in strings and comments alone."""
    if character == "\ufeff":
        return (
            "there is a byte order mark, which Triton does not read",
            "save it as UTF-8 without one",
            ReplaceText(character, ""),
        )
    if character.isspace():
        return f"{shown(character)} is a blank that Triton does not know", "write a space", ReplaceText(character, " ")
    if character in QUOTES:
        return f"{shown(character)} is no quote to Triton", 'write "', ReplaceText(character, QUOTES[character])
    return f"{shown(character)} may stand in strings and comments alone", "take it away", None


def suggest_bool(word: str) -> Suggestion:
    """Suggest a boolean."""
    meant = _BOOLS.get(word.strip("\"'").lower())
    fix = ReplaceText(word, meant) if meant else None
    return f"expected true or false, found {shown(word)}", f"write {meant or 'true or false'}", fix


def suggest_string(word: str) -> Suggestion:
    """Suggest quotes around a bare word."""
    is_word = re.fullmatch(r"\w+", word, re.ASCII) is not None
    fix = ReplaceText(word, f'"{word}"') if is_word else None
    return f"expected a string, found {shown(word)}", f'write "{word}"' if is_word else "put it into quotes", fix


def suggest_number(word: str, known: Field) -> Suggestion:
    """Suggest a number: without fraction, without quotes, not below the least."""
    low, high = known.range
    bare = word.strip("\"'")
    name = known.name
    if known.kind == "float":
        return f"'{name}' takes a number, found {shown(word)}", "write it in decimals", None
    if low == 0 and re.fullmatch(r"-[0-9]+", bare):
        return f"'{name}' is not below 0, found {shown(word)}", "write 0 or more", None
    if re.fullmatch(r"-?[0-9]+\.0*", bare):
        whole = bare.partition(".")[0]
        return f"'{name}' takes an integer, found {shown(word)}", f"write {whole}", ReplaceText(word, whole)
    if bare != word and re.fullmatch(r"(?:0|[1-9][0-9]{0,8})", bare):
        return f"'{name}' takes an integer, found {shown(word)}", "leave the quotes out", ReplaceText(word, bare)
    if re.fullmatch(r"-?[0-9]+", bare):
        return f"'{name}' is from {low} to {high}, found {shown(word)}", "", None
    return f"'{name}' takes an integer, found {shown(word)}", "", None


def _listed(names: list[str] | dict[str, Field], most: int = 10) -> str:
    found = sorted(names)
    return ", ".join(found[:most]) + (", ..." if len(found) > most else "")
