"""Configurations and specs with something wrong in them: what fuzzing feeds to `check`."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tritonsmith.generator.repository.pbtxt import parse_config, render_config

_TOKEN = re.compile(r"""\s+|\#[^\n]*|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|[\w.+-]+|.""", re.DOTALL)
_WORDS = (
    "",
    "x",
    "m",
    "INPUT0",
    "python",
    "onnxruntime",
    "tensorrtllm",
    "ensemble",
    "TYPE_FP32",
    "TYPE_STRING",
    "true",
)
_PATHS = ("../../secret.txt", "../secret.txt", "/etc/hostname", "..", ".", "1/../../../secret.txt", "a/b", "\0", "//")
_ODD = (
    "\u00e4\U0001f600",
    "\x1b[31m",
    "%s%n{0}",
    "${NAME}",
    "a" * 5000,
    "'",
    '"',
    "\\",
    "\n",
    "\ud7ff",
    "nan",
    "-0",
    "1e999",
)
_NUMBERS = (0, 1, -1, 2, 7, 64, 2**31 - 1, -(2**31), 2**32 - 1, 2**63 - 1, -(2**63), 2**64 - 1)
_NESTING = 3  # of messages that are made up

Mutation = Callable[[str, random.Random], str]


def mutated_config(text: str, others: Sequence[str], dice: random.Random) -> str:
    """Return a configuration with a few things changed: mostly its fields, sometimes its letters."""
    config = parse_config(text, "") if dice.random() < 0.7 else None
    if isinstance(config, ModelConfig):
        for _ in range(dice.randint(1, 4)):
            _change_message(config, dice)
        return render_config(config)
    for _ in range(dice.randint(1, 3)):
        text = dice.choice((_drop, _double, _swap, _replace, _splice(others), _cut))(text, dice)
    return text


def mutated_spec(text: str, others: Sequence[str], dice: random.Random) -> str:
    """Return a spec with a few of its lines or words changed."""
    for _ in range(dice.randint(1, 4)):
        text = dice.choice((_change_line, _change_line, _change_value, _change_value, _replace, _splice(others)))(
            text, dice
        )
    return text


def _change_message(message: Message, dice: random.Random) -> None:
    """Change one field of a message, or of a message somewhere in it."""
    inner = [
        item
        for field, value in message.ListFields()
        if field.message_type is not None and not field.message_type.GetOptions().map_entry
        for item in (value if field.is_repeated else [value])
    ]
    if inner and dice.random() < 0.6:
        _change_message(dice.choice(inner), dice)
        return
    given = [field for field, _ in message.ListFields()]
    if given and dice.random() < 0.3:
        message.ClearField(dice.choice(given).name)
        return
    fields = given if given and dice.random() < 0.6 else _fields(message)
    if fields:
        _set(message, dice.choice(fields), dice, depth=0)


def _set(message: Message, field: FieldDescriptor, dice: random.Random, depth: int) -> None:
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        entries = getattr(message, field.name)
        value: FieldDescriptor = field.message_type.fields_by_name["value"]
        key = _scalar(field.message_type.fields_by_name["key"], dice)
        if value.message_type is None:
            entries[key] = _scalar(value, dice)
        else:
            _fill(entries[key], dice, depth + 1)
    elif field.is_repeated:
        items = getattr(message, field.name)
        if len(items) and dice.random() < 0.3:
            items.append(items[0]) if field.message_type is None else items.add().CopyFrom(items[0])
        elif field.message_type is None:
            items.extend(_scalar(field, dice) for _ in range(dice.randint(1, 3)))
        else:
            _fill(items.add(), dice, depth + 1)
    elif field.message_type is not None:
        getattr(message, field.name).SetInParent()
        _fill(getattr(message, field.name), dice, depth + 1)
    else:
        setattr(message, field.name, _scalar(field, dice))


def _fill(message: Message, dice: random.Random, depth: int) -> None:
    fields = _fields(message)
    for field in dice.sample(fields, min(len(fields), dice.randint(0, 3))) if depth < _NESTING else ():
        _set(message, field, dice, depth)


def _fields(message: Message) -> list[FieldDescriptor]:
    return [*message.DESCRIPTOR.fields]


def _scalar(field: FieldDescriptor, dice: random.Random) -> object:
    kind = field.cpp_type
    if kind == FieldDescriptor.CPPTYPE_STRING:
        text = dice.choice(dice.choice((_WORDS, _WORDS, _PATHS, _ODD)))
        return text.encode() if field.type == FieldDescriptor.TYPE_BYTES else text
    if field.enum_type is not None:
        return dice.choice(field.enum_type.values).number if dice.random() < 0.9 else 77
    if kind == FieldDescriptor.CPPTYPE_BOOL:
        return dice.random() < 0.5
    if kind in (FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_FLOAT):
        return dice.choice((0.0, -1.0, 0.5, float("nan"), float("inf")))
    bits = 31 if kind in (FieldDescriptor.CPPTYPE_INT32, FieldDescriptor.CPPTYPE_UINT32) else 63
    is_unsigned = kind in (FieldDescriptor.CPPTYPE_UINT32, FieldDescriptor.CPPTYPE_UINT64)
    low, high = (0, 2 ** (bits + 1) - 1) if is_unsigned else (-(2**bits), 2**bits - 1)
    return dice.choice([number for number in _NUMBERS if low <= number <= high])


def _tokens(text: str) -> list[str]:
    return _TOKEN.findall(text) or [""]


def _drop(text: str, dice: random.Random) -> str:
    tokens = _tokens(text)
    del tokens[dice.randrange(len(tokens))]
    return "".join(tokens)


def _double(text: str, dice: random.Random) -> str:
    tokens = _tokens(text)
    start = dice.randrange(len(tokens))
    end = start + dice.randint(1, 12)
    return "".join([*tokens[:end], " ", *tokens[start:end], *tokens[end:]])


def _swap(text: str, dice: random.Random) -> str:
    tokens = _tokens(text)
    one, other = dice.randrange(len(tokens)), dice.randrange(len(tokens))
    tokens[one], tokens[other] = tokens[other], tokens[one]
    return "".join(tokens)


def _replace(text: str, dice: random.Random) -> str:
    tokens = _tokens(text)
    solid = [index for index, token in enumerate(tokens) if not token.isspace()] or [0]
    new = dice.choice(
        (dice.choice(_WORDS), str(dice.choice(_NUMBERS)), dice.choice(_ODD), '"', "{", "}", "[", "#", ":")
    )
    tokens[dice.choice(solid)] = new
    return "".join(tokens)


def _cut(text: str, dice: random.Random) -> str:
    return text[: dice.randint(0, len(text))]


def _splice(others: Sequence[str]) -> Mutation:
    def splice(text: str, dice: random.Random) -> str:
        lines = text.split("\n")
        lines.insert(dice.randint(0, len(lines)), dice.choice(dice.choice(others).split("\n")))
        return "\n".join(lines)

    return splice


def _change_line(text: str, dice: random.Random) -> str:
    lines = text.split("\n")
    at = dice.randrange(len(lines))
    match dice.randrange(4):
        case 0:
            del lines[at]
        case 1:
            lines.insert(at, lines[at])
        case 2:
            lines[at] = f"  {lines[at]}"
        case _:
            lines[at] = lines[at].removeprefix("  ")
    return "\n".join(lines)


def _change_value(text: str, dice: random.Random) -> str:
    """Change what stands behind a colon."""
    values = list(re.finditer(r":[ \t]+(\S[^\n#]*)", text))
    if not values:
        return text
    match = dice.choice(values)
    values_of_yaml = ("null", "~", "[]", "{}", "{a: b}", "[1, x]", "&a", "*a", "!!python/object:x", "|", "- ", "? x")
    new = dice.choice((dice.choice(_WORDS), str(dice.choice(_NUMBERS)), dice.choice(_ODD), dice.choice(values_of_yaml)))
    return text[: match.start(1)] + new + text[match.end(1) :]
