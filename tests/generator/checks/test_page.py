import re

import pytest

from tritonsmith.generator.checks.explain import consequence_of, explain_check, explanation_of
from tritonsmith.generator.checks.page import PAGE, findings_page
from tritonsmith.generator.checks.registry import Check, all_checks
from tritonsmith.generator.checks.rule_source import told_by
from tritonsmith.generator.findings import Severity

CHECKS = [pytest.param(check, id=check.code) for check in all_checks().values()]


def test_the_page_is_fresh() -> None:
    assert PAGE.read_text() == findings_page(), "make findings"


def test_the_page_has_every_check_once_and_links_that_lead_somewhere() -> None:
    page = findings_page()
    entries = re.findall(r"^### (\w+)$", page, re.MULTILINE)
    assert sorted(entries) == list(all_checks())
    assert {anchor.upper() for anchor in re.findall(r"\]\(#(\w+)\)", page)} == set(entries)


@pytest.mark.parametrize("check", CHECKS)
def test_a_check_says_what_holds_why_and_what_follows(check: Check) -> None:
    assert re.fullmatch(r"T[SK]\d{3}", check.code)
    assert not check.title.endswith(".")
    told = explanation_of(check)
    assert told.reason, "the docstring says why it matters"
    assert consequence_of(check), "the rule tells findings by error, warning or note"
    assert check.code in explain_check(check)


@pytest.mark.parametrize("check", CHECKS)
def test_what_triton_refuses_has_its_source(check: Check) -> None:
    is_error = Severity.ERROR in told_by(check.rule).severities
    assert explanation_of(check).source or not (check.triton or (is_error and check.phase.is_at_load))


@pytest.mark.parametrize(
    ("code", "remedy"),
    [
        ("TS210", "rename it"),
        ("TS749", "leave it out, or build with --weight_streaming"),
        ("TS824", "write it as def execute, or serve it with 24.04 or newer"),
        ("TS101", "serve it with <its release> or newer"),
        ("TS333", "name one of the model's inputs."),
        ("TS461", 'add metric_identifier { family: "nv_inference_first_response_histogram_ms" }'),
        ("TS640", "bound them with max_inflight_requests"),
        ("TS641", "Triton 26.03 or newer answers that it was refused"),
        ("TS782", "Triton 26.07 or older, or the model llmapi"),
        ("TS803", "the class with execute(self, requests) is to be called TritonPythonModel"),
        ("TS790", "<ranks> for each instance"),
    ],
)
def test_a_remedy_is_shown_as_the_rule_words_it(code: str, remedy: str) -> None:
    assert f"What to do, for example: {remedy}\n" in f"{explain_check(all_checks()[code])}\n"


@pytest.mark.parametrize("check", CHECKS)
def test_a_remedy_shows_no_names_of_code(check: Check) -> None:
    assert not re.search(r"<(\w*_\w*|[A-Z]+|\.\.\.)>", told_by(check.rule).remedy)
