import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import jsonschema
import pytest

from tritonsmith.backends.checking.formats import FORMATS, show
from tritonsmith.generator.checks.report import Report
from tritonsmith.generator.checks.sources import Sources
from tritonsmith.generator.findings import Finding, Phase, Place, Severity
from tritonsmith.generator.fixes import SetField

TEXT = 'name: "m"\n\tmax_batch_size: -1\n'
# What SARIF 2.1.0 requires of the parts that are used, closed against any other.
REGION = {"type": "object", "properties": {"startLine": {"minimum": 1}, "startColumn": {"minimum": 1}}}
SARIF = {
    "type": "object",
    "required": ["$schema", "version", "runs"],
    "properties": {
        "version": {"const": "2.1.0"},
        "runs": {
            "items": {
                "required": ["tool", "results"],
                "properties": {
                    "tool": {
                        "required": ["driver"],
                        "properties": {
                            "driver": {
                                "required": ["name", "version", "rules"],
                                "properties": {
                                    "rules": {
                                        "items": {
                                            "required": ["id", "shortDescription", "fullDescription", "help"],
                                            "additionalProperties": {"required": ["text"]},
                                            "properties": {"id": {"type": "string"}},
                                        }
                                    }
                                },
                            }
                        },
                    },
                    "results": {
                        "items": {
                            "required": ["message", "level", "locations"],
                            "properties": {
                                "level": {"enum": ["none", "note", "warning", "error"]},
                                "message": {"required": ["text"]},
                                "locations": {
                                    "items": {
                                        "required": ["physicalLocation"],
                                        "properties": {
                                            "physicalLocation": {
                                                "required": ["artifactLocation"],
                                                "properties": {
                                                    "artifactLocation": {"required": ["uri"]},
                                                    "region": {**REGION, "required": ["startLine"]},
                                                },
                                                "additionalProperties": False,
                                            }
                                        },
                                    }
                                },
                            },
                        }
                    },
                },
            }
        },
    },
}


def findings(file: str) -> tuple[Finding, ...]:
    below = Place(file, 2, 2)
    fix = SetField("max_batch_size", "0")
    return (
        Finding(Severity.ERROR, "-1 is below 0", below, "m.max_batch_size", "write 0", "TS405", "m", Phase.LOAD, fix),
        Finding(Severity.WARNING, "100%, a: b\nand c", Place(file), "m", code="TS403", model="m"),
        Finding(Severity.NOTE, "no place\x07", code="TL001"),
    )


@pytest.fixture
def report(tmp_path: Path) -> Report:
    path = tmp_path / "a folder" / "m" / "config.pbtxt"
    path.parent.mkdir(parents=True)
    path.write_text(TEXT)
    return Report(findings(str(path)), ignored=2)


def shown(report: Report, form: str, tmp_path: Path) -> str:
    return show(report, Sources([tmp_path]), form)


def test_text_quotes_the_line_and_says_what_follows(report: Report, tmp_path: Path) -> None:
    path = report.findings[0].place.file
    assert shown(report, "text", tmp_path).splitlines() == [
        f"{path}:2:2: error[TS405] m.max_batch_size: -1 is below 0 (will not load)",
        "    2 |  max_batch_size: -1",
        "      |  ^",
        "  hint: write 0",
        f"{path}: warning[TS403] m: 100%, a: b",
        "and c",
        "note[TL001]: no place ",
        "1 error, 1 warning, 1 note (2 ignored)",
    ]


def test_a_long_line_is_quoted_around_its_column(tmp_path: Path) -> None:
    (tmp_path / "config.pbtxt").write_text(f"{'x' * 200}HERE{'y' * 200}")
    place = Place(str(tmp_path / "config.pbtxt"), 1, 201)
    _, line, caret, *_ = shown(Report((Finding(Severity.NOTE, "n", place),)), "text", tmp_path).splitlines()
    assert line[caret.index("^") :].startswith("HERE")
    assert len(line) < 120


def test_json_is_flat_and_has_every_key(report: Report, tmp_path: Path) -> None:
    first, *others = json.loads(shown(report, "json", tmp_path))
    assert {**first, "file": "", "source": "", "triton_pattern": ""} == {
        "code": "TS405",
        "title": "max_batch_size is not below 0",
        "severity": "error",
        "phase": "load",
        "model": "m",
        "file": "",
        "line": 2,
        "column": 2,
        "key": "m.max_batch_size",
        "message": "-1 is below 0",
        "remedy": "write 0",
        "fixable": True,
        "more": 0,
        "triton_pattern": "",
        "source": "",
    }
    assert "'max_batch_size'" in first["triton_pattern"].replace("\\", "")
    assert "model_config_utils.cc" in first["source"]
    assert [one.keys() for one in others] == [first.keys()] * 2
    assert [(one["phase"], one["triton_pattern"]) for one in others] == [(None, None)] * 2


def test_sarif_is_sarif(report: Report, tmp_path: Path) -> None:
    document: dict[str, Any] = json.loads(shown(report, "sarif", tmp_path))
    jsonschema.validate(document, SARIF)
    run = document["runs"][0]
    rules = run["tool"]["driver"]["rules"]
    assert [rule["id"] for rule in rules] == ["TS403", "TS405"]
    assert [rules[result["ruleIndex"]]["id"] for result in run["results"][:2]] == ["TS405", "TS403"]
    assert "ruleIndex" not in run["results"][2]
    assert run["results"][0]["locations"][0]["physicalLocation"]["region"] == {"startLine": 2, "startColumn": 2}
    assert "a%20folder" in run["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]


def test_annotations_are_escaped(report: Report, tmp_path: Path) -> None:
    first, second, third, summary = shown(report, "github", tmp_path).splitlines()
    path = report.findings[0].place.file
    said = "-1 is below 0 (will not load)%0Ahint: write 0"
    assert first == f"::error file={path},line=2,col=2,title=TS405 m.max_batch_size::{said}"
    assert second == f"::warning file={path},title=TS403 m::100%25, a: b%0Aand c"
    assert third.startswith("::notice title=TL001::")
    assert summary == "1 error, 1 warning, 1 note (2 ignored)"


def test_a_property_of_an_annotation_keeps_no_separator() -> None:
    finding = Finding(Severity.ERROR, "m", Place("C:\\a,b", 1))
    assert "file=C%3A\\a%2Cb,line=1::m" in show(Report((finding,)), Sources(), "github")


def test_junit_fails_for_errors_alone(report: Report, tmp_path: Path) -> None:
    suite = ElementTree.fromstring(shown(report, "junit", tmp_path))[0]
    assert (suite.get("tests"), suite.get("failures")) == ("3", "1")
    assert [len(case.findall("failure")) for case in suite] == [1, 0, 0]
    assert "hint: write 0" in (suite[0][0].text or "")


@pytest.mark.parametrize("form", FORMATS)
def test_nothing_found_is_said_in_every_format(form: str) -> None:
    text = show(Report(), Sources(), form)
    assert text
    if form == "junit":
        assert ElementTree.fromstring(text)[0][0].get("name") == "nothing found"
    elif form in ("json", "sarif"):
        json.loads(text)
