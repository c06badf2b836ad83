import pytest

from tritonsmith.generator.checks.select import Selection, read_codes
from tritonsmith.generator.errors import UsageError
from tritonsmith.generator.findings import Finding, Phase, Severity

KNOWN = ("TS101", "TS401", "TS403", "TL001")


@pytest.mark.parametrize(
    ("options", "codes"),
    [((), ()), (("TS401",), ("TS401",)), (("ts4, TL",), ("TS4", "TL")), (("TS1", "TS401,"), ("TS1", "TS401"))],
)
def test_codes_are_read(options: tuple[str, ...], codes: tuple[str, ...]) -> None:
    assert read_codes(options, KNOWN) == codes


def test_an_unknown_code_is_wrong_usage() -> None:
    with pytest.raises(UsageError, match=r"no check has the code 'TS404'. Did you mean 'TS40[13]'\?"):
        read_codes(["TS401,TS404"], KNOWN)


@pytest.mark.parametrize(
    ("selection", "taken"),
    [
        (Selection(), ["TS101", "TS401", "TS403", ""]),
        (Selection(select=("TS4",)), ["TS401", "TS403"]),
        (Selection(select=("TS4",), ignore=("TS403",)), ["TS401"]),
        (Selection(ignore=("TS",)), [""]),
        (Selection(is_load_only=True), ["TS101"]),
    ],
)
def test_what_is_asked_for_is_taken(selection: Selection, taken: list[str]) -> None:
    findings = [
        Finding(Severity.ERROR, "", code="TS101", phase=Phase.HANG),
        Finding(Severity.ERROR, "", code="TS401", phase=Phase.REQUEST),
        Finding(Severity.WARNING, "", code="TS403"),
        Finding(Severity.NOTE, ""),
    ]
    assert [finding.code for finding in findings if selection.takes(finding)] == taken
