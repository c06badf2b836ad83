import pytest

from tritonsmith.generator.findings import NOWHERE, Place
from tritonsmith.generator.fixes import AddFile, Fix, RemoveField, ReplaceText, SetField
from tritonsmith.generator.repository.edit import edited
from tritonsmith.generator.repository.spans import find_spans
from tritonsmith.generator.repository.tokens import Tokens

TEXT = """# the model
name: "m"  # its name
max_batch_size: 8
input [
  { name: "a" dims: [ 1, 2 ] },  # the first
  { name: "b", dims: 3 dims: -1 }
]
dynamic_batching { }
instance_group { kind: KIND_CPU gpus: [0] }
parameters { key: "side" value: { string_value: "8" } }
ensemble_scheduling {
  step {
    model_name: "a"
    input_map { key: "x" value: "y" }
  }
  step < model_name: "b" >
}
"""


def test_a_field_reaches_from_its_name_to_the_end_of_its_value() -> None:
    spans = {path: [TEXT[span.start : span.end] for span in found] for path, found in find_spans(Tokens(TEXT)).items()}
    assert spans["name"] == ['name: "m"']
    assert spans["input[0]"] == ['{ name: "a" dims: [ 1, 2 ] }']
    assert spans["input[0].dims"] == ["dims: [ 1, 2 ]"]
    assert spans["input[0].dims[1]"] == ["2"]
    assert spans["input[1].dims"] == ["dims: 3", "dims: -1"]
    assert spans["parameters.side.string_value"] == ['string_value: "8"']
    assert spans["ensemble_scheduling.step[0].input_map.x"] == ['input_map { key: "x" value: "y" }']
    assert spans["ensemble_scheduling.step[1].model_name"] == ['model_name: "b"']


@pytest.mark.parametrize(
    ("fix", "old", "new"),
    [
        (SetField("name", '"n"'), 'name: "m"  # its name', 'name: "n"  # its name'),
        (SetField("platform", '"ensemble"'), ">\n}\n", '>\n}\nplatform: "ensemble"\n'),
        (SetField("dynamic_batching.preserve_ordering", "true"), "g { }", "g { preserve_ordering: true }"),
        (SetField("ensemble_scheduling.step[0].model_version", "-1"), '"y" }\n', '"y" }\n    model_version: -1\n'),
        (SetField("ensemble_scheduling.step[1].model_version", "-1"), '"b" >', '"b" model_version: -1 >'),
        (SetField("input[1].dims", "[ 4 ]"), "dims: 3 dims: -1", "dims: [ 4 ]"),
        (SetField("instance_group[0].rate_limiter", "{ }"), "[0] }", "[0] rate_limiter { } }"),
        (RemoveField("max_batch_size"), "max_batch_size: 8\n", ""),
        (RemoveField("name"), 'name: "m"  # its name', "# its name"),
        (RemoveField("input[0]"), '  { name: "a" dims: [ 1, 2 ] },  # the first\n', "  # the first\n"),
        (RemoveField("input[1].name"), 'name: "b", dims', "dims"),
        (RemoveField("input[0].dims[0]"), "[ 1, 2 ]", "[ 2 ]"),
        (RemoveField("input[0].dims[1]"), "[ 1, 2 ]", "[ 1 ]"),
        (RemoveField("instance_group[0].gpus"), "KIND_CPU gpus: [0] }", "KIND_CPU }"),
        (RemoveField("parameters.side"), 'parameters { key: "side" value: { string_value: "8" } }\n', ""),
    ],
)
def test_an_edit_leaves_the_rest_as_it_was(fix: Fix, old: str, new: str) -> None:
    text = edited(TEXT, fix, NOWHERE)
    assert TEXT.count(old) == 1
    assert text == TEXT.replace(old, new)


def test_an_edit_knows_what_triton_takes() -> None:
    text = """input { dims: [ - 1, 2 ] }
parameters { key: "\\x61" 'b' value { string_value: "v" } }
"""
    assert edited(text, RemoveField("input[0].dims[1]"), NOWHERE) == text.replace(", 2", "")
    assert edited(text, SetField("parameters.ab.string_value", '"w"'), NOWHERE) == text.replace('v"', 'w"')


def test_text_is_replaced_at_its_place_or_where_it_can_be_nothing_else() -> None:
    assert edited("a\nbaz: bar baz", ReplaceText("baz", "foo"), Place("f", 2, 1)) == "a\nfoo: bar baz"
    assert edited("a\nbaz: bar", ReplaceText("baz", "foo"), Place("f", 2, 3)) == "a\nfoo: bar"


@pytest.mark.parametrize(
    ("fix", "place"),
    [
        (ReplaceText("nothing", "x"), Place("f", 2, 1)),
        (ReplaceText("m", "x"), Place("f", 99, 1)),
        (SetField("sequence_batching.direct", "{ }"), NOWHERE),  # nothing around it
        (SetField("input[0].dims[4]", "1"), NOWHERE),
        (SetField("parameters.other.string_value", '"1"'), NOWHERE),
        (RemoveField("platform"), NOWHERE),
        (AddFile("1/.gitkeep"), NOWHERE),
    ],
)
def test_what_does_not_fit_is_not_edited(fix: Fix, place: Place) -> None:
    assert edited(TEXT, fix, place) is None


def test_a_text_without_an_end_of_line_gets_one() -> None:
    assert edited('name: "m"', SetField("max_batch_size", "0"), NOWHERE) == 'name: "m"\nmax_batch_size: 0\n'
    assert edited("", SetField("max_batch_size", "0"), NOWHERE) == "max_batch_size: 0\n"
