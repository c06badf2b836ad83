"""Where our verdict and the server's are one, though their words differ."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tritonsmith.backends.live_check.answer import Answer
from tritonsmith.backends.live_check.compare import Comparison
from tritonsmith.generator.checks.verdict import Verdict
from tritonsmith.generator.findings import Phase, error


def comparison(ours: Verdict, server: Verdict, code: str) -> Comparison:
    phase = Phase.CRASH if ours is Verdict.CRASHES else Phase.LOAD
    finding = replace(error("it is", code=code), model="m", phase=phase)
    return Comparison(Answer("m", server), ours, (finding,))


@pytest.mark.parametrize("code", ["TS826", "TS360", "TS361"])
def test_a_warm_up_that_fails_may_be_refused_or_crash_the_server(code: str) -> None:
    for ours, server in ((Verdict.FAILS, Verdict.CRASHES), (Verdict.CRASHES, Verdict.FAILS)):
        assert not comparison(ours, server, code).disagreement
    assert comparison(Verdict.FAILS, Verdict.LOADS, code).disagreement
    assert comparison(Verdict.FAILS, Verdict.HANGS, code).disagreement


def test_any_other_refusal_crashes_no_server() -> None:
    assert comparison(Verdict.FAILS, Verdict.CRASHES, "TS405").disagreement


def test_nothing_is_held_against_a_verdict_on_what_the_server_was_not_given() -> None:
    found = comparison(Verdict.HANGS, Verdict.LOADS, "TS215")
    assert found.disagreement
    assert not replace(found, is_left_out=True).disagreement
