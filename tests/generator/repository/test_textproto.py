"""config.pbtxt is read as Triton's own parser reads it: what tritonserver 2.51 took and refused, tried one by one."""

import random
import time

import pytest
from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tritonsmith.generator.fixes import ReplaceText
from tritonsmith.generator.repository.origins import Origins
from tritonsmith.generator.repository.pbtxt import parse_config, render_config

TAKEN = [
    "",
    "# a\u00a0b é",
    'input\f{\vname: "x" }',
    '# c\rinput { name: "x" }\r\n',
    r'input { name: "a\n\x41\101\u0041\?\v" }',
    r'input { name: "\U0001F600" }',
    r'input { name: "\U00110000" }',
    r'input { name: "\ud83d" }',
    r'input { name: "\377" }',
    'input { name: "a\tb é世" }',
    "input { dims: - 1 }",
    "input { dims: - # c\n 1 }",
    "input { dims: 011 }",
    "input { dims: [0x1F, 0X1f, -0x1F, -9223372036854775808] }",
    'input{dims:[1,2]name:"x"}',
    "input { data_type: 11 format: 0x1 }",
    "input { data_type: 99 }",
    "input { data_type: -3 }",
    "input { optional: t }",
    "input { optional: True }",
    "input { optional: 01 }",
    "input { optional: 0x1 }",
    *(
        f"sequence_batching {{ direct {{ minimum_slot_utilization: {number} }} }}"
        for number in ("inf", "-Infinity", "nan", "0.5f", "1F", "1", ".5", "1.", "1e-1", "1e999", "9" * 30, "- .5")
    ),
    "instance_group { count: 0 count: 4 }",
    'input { name: "" name: "x" }',
    "input { format: FORMAT_NONE format: FORMAT_NHWC }",
    'parameters { key: "a" value { string_value: "1" } } parameters { key: "a" value { string_value: "2" } }',
    'parameters { value { string_value: "1" } }',
    'parameters [ { key: "a" }, { key: "b" } ]',
    "parameters {}",
    'input { name: "x"; dims: 1, dims: 2; }',
    "input { dims: [] }",
    "input: [ {}, {} ]",
    'input < name: "x" >',
    'input { name: "a" \'b\' # c\n "c" }',
]
REFUSED = [
    "\ufeff",
    'input {\u00a0name: "x" }',
    'input\x1c{ name: "x" }',
    "\0",
    "# a\0b\n",
    'input { name: "a\0b" }',
    r'input { name: "a\qb" }',
    r'parameters { key: "a" value { string_value: "C:\models\x" } }',
    r'input { name: "\xzz" }',
    r'input { name: "\X41" }',
    'input { name: "a\\\nb" }',
    'input { name: "a\nb" }',
    *(
        f"input {{ dims: {value} }}"
        for value in ("+1", "1_000", "0b11", "0o11", "08", "4.0", "1e2", "4f", '"4"', "true", "[[1]]", "9" * 19)
    ),
    "instance_group { count: 2147483648 }",
    "dynamic_batching { priority_levels: -0 }",
    'input { dims: 1name: "x" }',
    'input { data_type: "TYPE_FP32" }',
    "input { optional: TRUE }",
    "input { optional: 2 }",
    "input { optional: yes }",
    *(
        f"sequence_batching {{ direct {{ minimum_slot_utilization: {number} }} }}"
        for number in ("nanf", "0x1", "01", "00.5", "+.5")
    ),
    "instance_group { count: 1 count: 1 }",
    "dynamic_batching {} dynamic_batching {}",
    'model_warmup { inputs { key: "a" value { zero_data: false zero_data: true } } }',
    'model_warmup { inputs { key: "a" value { zero_data: false random_data: true } } }',
    'parameters { key: "" key: "b" }',
    'parameters { keys: "a" }',
    'input { name: "x",; dims: 1 }',
    "input { dims: [1;2] }",
    "input { dims: [1,2,] }",
    "input { dims: [1 2] }",
    "input [ {} {} ]",
    "input [ {}, ]",
    "dynamic_batching [ {} ]",
    'default_model_filename: ["a"]',
    'input < name: "x" }',
    'input { name "x" }',
    "input { dims [1] }",
    "input { name: `a` }",
    "input { name: abc }",
    "[a.b]: 1",
    '[type.googleapis.com/inference.ModelInput] { name: "x" }',
    'input { 1: "x" }',
    'Input { name: "x" }',
    "maxBatchSize: 4",
    "// c\n",
    "}",
    "input {",
    ": 4",
    "foo { a: 1 }",
    "~",
    "input { name: “x” }",
]


@pytest.mark.parametrize("text", TAKEN)
def test_what_triton_takes_is_taken(text: str) -> None:
    assert isinstance(parse_config(text, "f"), ModelConfig)


@pytest.mark.parametrize("text", REFUSED)
def test_what_triton_refuses_is_refused(text: str) -> None:
    assert isinstance(parse_config(text, "f"), tuple)


@pytest.mark.parametrize("text", TAKEN)
def test_what_python_takes_too_has_the_same_value(text: str) -> None:
    if r"\?" in text:  # Python leaves the backslash
        return
    try:
        theirs = text_format.Parse(text, ModelConfig())
    except (text_format.ParseError, UnicodeDecodeError):
        return
    assert render_config(parse_config(text, "f")) == render_config(theirs)  # type: ignore[arg-type]


def found(text: str) -> list[tuple[int, int, str]]:
    """Return line, column and message of everything that is wrong with a text."""
    findings = parse_config(text, "f")
    assert isinstance(findings, tuple)
    return [(finding.place.line, finding.place.column, finding.message) for finding in findings]


def test_everything_wrong_is_said_at_once() -> None:
    text = """\
name: "m"
max_batch_siz: 4
input [
  { name: "x" data_type: FP32 dims: [4, 8,] },
  { name: y data_type: TYPE_INT64 dims: [4.0] optional: yes }
]
max_batch_size: 8
max_batch_size: 8
dynamic_batching { max_queue_delay_microseconds: -5 preferred_batch_size: 4 }
ensemble_scheduling {}
version_policy { latest { versions: 2 } }
default_model_filename "x"
"""
    assert found(text) == [
        (2, 1, "unknown field 'max_batch_siz'. Did you mean 'max_batch_size'?"),
        (4, 26, "'data_type' has no value 'FP32'. Did you mean 'TYPE_FP32'?"),
        (4, 42, "a ',' stands before the ']'"),
        (5, 11, "expected a string, found 'y'"),
        (5, 42, "'dims' takes an integer, found '4.0'"),
        (5, 57, "expected true or false, found 'yes'"),
        (8, 1, "'max_batch_size' is given twice"),
        (9, 50, "'max_queue_delay_microseconds' is not below 0, found '-5'"),
        (10, 1, "'ensemble_scheduling' is given beside 'dynamic_batching': a model has one of them"),
        (11, 27, "unknown field 'versions' here: it is one of version_policy.specific"),
        (12, 1, "a ':' is missing after 'default_model_filename'"),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('input { name: "x"\noutput { name: "y" }', (1, 7, "this '{' is never closed")),
        ('input [ { name: "x" ]\noutput { name: "y" }', (1, 9, "this '{' is never closed")),
        ("input { dims: [4, 8\n }\nmax_batch_size: 4", (1, 15, "this '[' is never closed")),
        ("input { dims: [4, 8\n name: 'x' }", (1, 15, "this '[' is never closed")),
        ("input [ {} \nmax_batch_size: 4", (1, 7, "this '[' is never closed")),
        ("input { dims: [4 8] }", (1, 18, "a ',' is missing before '8'")),
        ("input { name: }", (1, 15, "'name' has no value")),
        ("input { name:\n dims: 4 }", (2, 2, "'name' has no value")),
        ("max_batch_size: ${size}", (1, 17, "'max_batch_size' is ${size}, a placeholder that was never filled")),
        ("input { dims: 4 } }", (1, 19, "expected a field's name, found '}'")),
        (
            "dynamic_batching { max_batch_size: 4 }",
            (1, 20, "unknown field 'max_batch_size' here: it is one of the model"),
        ),
        ('"name": "m"', (1, 1, 'expected a field\'s name, found "name"')),
        ("// a comment: 4\nname: 'x'", (1, 1, "comments start with '#'")),
        ("name: 'x", (1, 7, "this string does not end on its line")),
        ("input {\u00a0dims: 4 }", (1, 8, "U+00A0 is a blank that Triton does not know")),
        ("foo: [ { a: 1 }, { b: [2] } ] name: 'x'", (1, 1, "unknown field 'foo'")),
        ("foo { a { b: 1 } }; name: 'x'", (1, 1, "unknown field 'foo'")),
    ],
)
def test_one_mistake_is_one_finding(text: str, message: tuple[int, int, str]) -> None:
    assert found(text) == [message]


@pytest.mark.parametrize(
    ("text", "fix"),
    [
        ("input { data_type: FP32 }", ReplaceText("FP32", "TYPE_FP32")),
        ("input { data_type: float32 }", ReplaceText("float32", "TYPE_FP32")),
        ("instance_group { kind: gpu }", ReplaceText("gpu", "KIND_GPU")),
        ("maxBatchSize: 4", ReplaceText("maxBatchSize", "max_batch_size")),
        ("input { dims: [4,] }", ReplaceText(",", "")),
        ("input { dims: 4.0 }", ReplaceText("4.0", "4")),
        ("backend: python", ReplaceText("python", '"python"')),
        ("input { optional: False_ }", None),
        ("input { data_type: INT }", ReplaceText("INT", "TYPE_INT32")),
        ("\ufeffname: 'x'", ReplaceText("\ufeff", "")),
    ],
)
def test_what_is_sure_can_be_fixed(text: str, fix: ReplaceText | None) -> None:
    findings = parse_config(text, "f")
    assert isinstance(findings, tuple)
    assert [finding.fix for finding in findings] == [fix]


def test_every_fix_makes_the_text_parse() -> None:
    for text in REFUSED:
        findings = parse_config(text, "f")
        assert isinstance(findings, tuple)
        if len(findings) == 1 and (fix := findings[0].fix) is not None:
            assert isinstance(fix, ReplaceText)
            lines = text.split("\n")
            line, column = findings[0].place.line - 1, findings[0].place.column - 1
            assert lines[line][column:].startswith(fix.old), text
            lines[line] = lines[line][:column] + fix.new + lines[line][column + len(fix.old) :]
            assert isinstance(parse_config("\n".join(lines), "f"), ModelConfig), text


def test_rubbish_is_told_in_bounded_time_and_number() -> None:
    generator = random.Random(7)
    pieces = [*"{}[]<>:,;\"'#$\\\n -+.", "input", "dims", "4", "parameters", "key", "value", "é", "\0", "TYPE_FP32"]
    for length in (10, 100, 1000, 100_000):
        for _ in range(200 if length < 1000 else 3):
            text = "".join(generator.choice(pieces) for _ in range(length))
            findings = parse_config(text, "f")
            assert isinstance(findings, ModelConfig) or 0 < len(findings) <= 100
    for text in (
        "input {" * 50_000,
        "[" * 100_000,
        "parameters {} " * 50_000,
        "a" * 1_000_000,
        "input { name: '" * 50_000,
    ):
        parse_config(text, "f")


@pytest.mark.parametrize("text", ["{" * 2_000_000, "x " * 1_000_000, "input { " * 300_000])
def test_of_a_large_text_one_problem_is_told(text: str) -> None:
    started_s = time.process_time()
    found = parse_config(text, "f")
    assert not isinstance(found, ModelConfig)
    assert [finding.place.line for finding in found] == [1]
    assert time.process_time() - started_s < 4


def test_bytes_that_are_no_utf_8_are_told_by_their_number_and_held_as_protobuf_does() -> None:
    found = parse_config("\udce9", "f")
    assert not isinstance(found, ModelConfig)
    assert found[0].message == "the byte 0xE9, which is not UTF-8, may stand in strings and comments alone"
    held = parse_config('name: "\udce9\\t"', "f")
    assert isinstance(held, ModelConfig)
    assert held.name == "\ufffd\t"


def test_places_are_found_in_everything_that_triton_takes() -> None:
    text = """input { dims: [ - 1, # c
 - 2 ] name: "a" 'b' }
parameters { value { string_value: "v" } }
parameters { value { string_value: "w" } key: "side" }
parameters { key: "\\x61" "b" }
dynamic_batching { priority_queue_policy { key: 0x1 value { max_queue_size: 3 } } }
backend: "python"
"""
    origins = Origins(text, "f")
    assert {path: (origins[path].line, origins[path].column) for path in origins} == {
        "": (0, 0),
        "input": (1, 1),
        "input[0]": (1, 1),
        "input[0].dims": (1, 9),
        "input[0].dims[0]": (1, 17),
        "input[0].dims[1]": (2, 2),
        "input[0].name": (2, 8),
        "parameters": (3, 1),
        "parameters.": (3, 1),
        "parameters..string_value": (3, 22),
        "parameters.side": (4, 1),
        "parameters.side.string_value": (4, 22),
        "parameters.ab": (5, 1),
        "dynamic_batching": (6, 1),
        "dynamic_batching.priority_queue_policy": (6, 20),
        "dynamic_batching.priority_queue_policy.0x1": (6, 20),
        "dynamic_batching.priority_queue_policy.0x1.max_queue_size": (6, 61),
        "backend": (7, 1),
    }


def test_places_are_found_in_linear_time() -> None:
    assert len(Origins("parameters {} " * 50_000, "f")) == 3
