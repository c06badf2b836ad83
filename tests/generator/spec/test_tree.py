from pathlib import Path

import pytest

from tritonsmith.generator.errors import SpecError
from tritonsmith.generator.findings import NOWHERE, Finding
from tritonsmith.generator.spec import tree


def parse(text: str) -> tuple[tree.Mapping, list[Finding]]:
    findings: list[Finding] = []
    return tree.parse_tree(text, "s.yaml", findings), findings


def test_a_scalar_keeps_its_text_and_its_place() -> None:
    root, _ = parse("triton: 24.10\nmodels:\n  a: {mean: 0.50}\n")
    triton = root.entries["triton"]
    assert isinstance(triton, tree.Scalar)
    assert (triton.text, triton.place.line, triton.place.column) == ("24.10", 1, 9)
    assert tree.to_data(root) == {"triton": "24.10", "models": {"a": {"mean": "0.50"}}}


def test_a_quoted_null_is_a_word() -> None:
    root, _ = parse("a: null\nb: 'null'\nc: ~\nd:\n")
    assert tree.to_data(root) == {"a": None, "b": "null", "c": None, "d": None}


def test_a_duplicate_key_names_both_lines() -> None:
    _, findings = parse("a: 1\nb: 2\na: 3\n")
    assert [str(finding) for finding in findings] == ["s.yaml:3:1: error a: key 'a' is given twice, first in line 1"]


def test_aliases_are_followed() -> None:
    root, _ = parse("a: &x {b: 1}\nc: *x\n")
    assert tree.to_data(root) == {"a": {"b": "1"}, "c": {"b": "1"}}


def test_a_yaml_bomb_is_refused_before_it_explodes() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 10)]
    with pytest.raises(SpecError, match="aliases expand to more than"):
        parse("\n".join(lines))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: &a [*a]", "an alias contains itself"),
        ("[1, 2]", "not a mapping"),
        ("a: [1, 2", "not YAML"),
        ("a: b: c", "not YAML"),
        ("a: " + "[" * 100 + "]" * 100, "nested deeper than 64 levels"),
        ("a: !!python/object/apply:os.system [true]\n? [x]\n: 1", "a key must be a word"),
    ],
)
def test_what_is_no_spec_is_refused_with_its_line(text: str, message: str) -> None:
    findings: list[Finding] = []
    try:
        tree.parse_tree(text, "s.yaml", findings)
    except SpecError as problem:
        assert message in str(problem)
        assert problem.where.startswith("s.yaml")
    else:
        assert [message] == [finding.message for finding in findings]


def test_nesting_that_would_overflow_a_stack_is_refused() -> None:
    with pytest.raises(SpecError, match="nested deeper than 64 levels"):
        parse("a: " + "[" * 200_000)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="No such file") as problem:
        tree.read_text(tmp_path / "none.yaml")
    assert "tritonsmith init" in problem.value.hint
    (tmp_path / "latin.yaml").write_bytes(b"a: \xff")
    with pytest.raises(SpecError, match="not UTF-8"):
        tree.read_text(tmp_path / "latin.yaml")


def test_a_folder_is_no_spec_and_gets_a_hint_that_fits(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="Is a directory") as problem:
        tree.read_text(tmp_path)
    assert "init" not in problem.value.hint


def test_a_byte_order_mark_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_bytes(b"\xef\xbb\xbfa: 1\r\n")
    assert tree.read_text(tmp_path / "s.yaml") == "a: 1\r\n"


def test_what_is_no_text_is_named_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "latin.yaml").write_bytes(b"a: 1\nb: \xff")
    with pytest.raises(SpecError, match=r"latin.yaml:2: not UTF-8"):
        tree.read_text(tmp_path / "latin.yaml")
    with pytest.raises(SpecError, match=r"^s.yaml:2: not YAML: control characters are not allowed \(#x0001\)$"):
        parse("a: 1\nb: '\x01'")


def test_a_merge_key_lays_the_mapping_below_what_is_written_beside_it() -> None:
    root, findings = parse(
        "a: &a {x: 1, y: 1}\nb: &b {y: 2, z: 2}\nc: {x: 3, <<: [*a, *b]}\nd: {<<: *a}\ne: {'<<': 1}\n"
    )
    assert not findings
    assert tree.to_data(root.entries["c"]) == {"x": "3", "y": "1", "z": "2"}
    assert tree.to_data(root.entries["d"]) == {"x": "1", "y": "1"}
    assert tree.to_data(root.entries["e"]) == {"<<": "1"}
    _, findings = parse("a: {<<: [1]}")
    assert [finding.message for finding in findings] == ["<< merges mappings, got '1'"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *[("0", 0), ("-7", -7), ("+4", 4), ("9" * 30, int("9" * 30))],
        *[(text, None) for text in ("010", "1_0", "1e3", "0x10", "٣", "--5", "", "9" * 5000)],
    ],
)
def test_a_whole_number_is_one_that_every_reader_understands_alike(text: str, value: int | None) -> None:
    assert tree.Scalar(text, NOWHERE).whole_number == value
