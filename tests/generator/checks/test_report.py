"""What is told of many findings, and in which characters."""

import time
from pathlib import Path

import pytest

from tritonsmith.generator.checks.report import MOST_ALIKE, Report, reported
from tritonsmith.generator.checks.select import Selection
from tritonsmith.generator.checks.sources import Sources
from tritonsmith.generator.findings import Finding, Phase, Place, Severity


def findings(count: int, code: str = "TS324", model: str = "m", file: str = "f") -> list[Finding]:
    return [
        Finding(Severity.ERROR, f"{n}", Place(file, n + 1), f"{model}.k", "r", code, model, Phase.LOAD)
        for n in range(count)
    ]


def test_of_many_alike_the_first_are_told_and_how_many_more() -> None:
    report = Report(tuple(findings(1_020)))
    *first, last = report.told
    assert first == list(report.findings[:MOST_ALIKE])
    assert (last.message, last.more, last.place.line) == ("and 1,000 more like it", 1_000, MOST_ALIKE + 1)
    assert (last.code, last.model, last.phase, last.remedy) == ("TS324", "m", Phase.LOAD, "")
    assert report.summary() == "1020 errors"


@pytest.mark.parametrize(
    "some",
    [
        findings(MOST_ALIKE + 1),
        [*findings(MOST_ALIKE), *findings(MOST_ALIKE, "TS325")],
        [*findings(MOST_ALIKE), *findings(MOST_ALIKE, model="n")],
        findings(50, code=""),
    ],
)
def test_few_and_different_ones_are_told_whole(some: list[Finding]) -> None:
    assert Report(tuple(some)).told == tuple(some)


def test_what_comments_silence_is_not_counted_as_more(tmp_path: Path) -> None:
    path = tmp_path / "config.pbtxt"
    path.write_text("a: 1  # tritonsmith: ignore[TS324]\n" * 30)
    report = reported(findings(30, file=str(path)), Sources([tmp_path]), Selection())
    assert (report.told, report.ignored) == ((), 30)


def test_what_is_not_utf_8_is_told_in_escapes() -> None:
    name = b"m\xff\xc3\xa9".decode("utf-8", "surrogateescape")
    finding = Finding(Severity.ERROR, f"{name} \ud800", Place(f"{name}/f"), name, name, "TS208", name, Phase.LOAD)
    (told,) = Report((finding,)).told
    assert (told.message, told.place.file) == ("m\\xffé \\ud800", "m\\xffé/f")
    assert {told.key, told.model, told.remedy} == {"m\\xffé"}


@pytest.mark.parametrize(
    "text",
    [
        "# tritonsmith: ignore[" * 20_000,
        "a: 1\n" + "# tritonsmith: ignore[TS403]\n" * 20_000,
        "# tritonsmith: ignore" + " " * 200_000,
    ],
)
def test_comments_are_read_once(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config.pbtxt"
    path.write_text(text)
    started_s = time.process_time()
    reported(findings(200, file=str(path)), Sources([tmp_path]), Selection()).told  # noqa: B018
    assert time.process_time() - started_s < 2
