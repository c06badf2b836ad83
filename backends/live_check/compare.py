"""The server's verdict on each model beside ours: where they differ, ours is wrong."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tritonsmith.backends.live_check.answer import Answer
from tritonsmith.backends.live_check.stage import STOOD_IN_FOR
from tritonsmith.generator.checks.case import Case
from tritonsmith.generator.checks.registry import all_checks, check_repository
from tritonsmith.generator.checks.verdict import Verdict, verdict_on
from tritonsmith.generator.findings import Finding

# What these subjects look at, a C++ backend reads and a null backend does not.
READ_BY_BACKENDS = ("onnx_files", "engines", "llm")


@dataclass(frozen=True)
class Comparison:
    """One model: our verdict on it for the server that was asked, and the server's.

    `codes` are our findings that say how its load ends, `matched` those whose pattern of Triton's message the
    server's reason matches.
    """

    answer: Answer
    ours: Verdict
    codes: tuple[str, ...] = ()
    matched: tuple[str, ...] = ()

    @property
    def model(self) -> str:
        """The model's name."""
        return self.answer.model

    @property
    def is_beyond_checks(self) -> bool:
        """Whether the model's own code decided, which no check runs."""
        return self.answer.is_own_code and self.ours is Verdict.LOADS

    @property
    def disagreement(self) -> str:
        """What is wrong with our judgement; empty where nothing is."""
        if self.is_beyond_checks:
            return ""
        if self.ours is not self.answer.verdict:
            return f"it says '{self.ours.value}', the server '{self.answer.verdict.value}'"
        if self.ours is not Verdict.FAILS or set(self.matched) & set(self.codes):
            return ""
        if self.matched:
            return f"the server's reason is {', '.join(self.matched)}, which is not among its findings"
        return f"no finding ({', '.join(self.codes)}) is the server's reason"


def compare(case: Case, answers: Mapping[str, Answer]) -> list[Comparison]:
    """Return the comparison for each model that the server was asked about; `case` has that server as its target."""
    findings = judged_by_core(case)
    return [_compared(answer, findings) for answer in answers.values()]


def judged_by_core(case: Case) -> list[Finding]:
    """Return the findings without those on which a null backend has no say."""
    checks = all_checks()
    stood_in = {model.name for model in case.models() if model.config.backend in STOOD_IN_FOR}

    def is_judged(finding: Finding) -> bool:
        subject = checks[finding.code].rule.__module__ if finding.code in checks else ""
        return finding.model not in stood_in or not any(f".{name}" in subject for name in READ_BY_BACKENDS)

    return [finding for finding in check_repository(case) if is_judged(finding)]


def matching_codes(lines: Iterable[str]) -> tuple[str, ...]:
    """Return the checks whose pattern of Triton's message one of the lines matches."""
    said = list(lines)
    patterns = {code: check.pattern for code, check in all_checks().items() if check.pattern}
    return tuple(code for code, pattern in patterns.items() if any(re.search(pattern, line) for line in said))


def _compared(answer: Answer, findings: list[Finding]) -> Comparison:
    at_load = {finding.code for finding in findings if finding.phase and finding.phase.is_at_load}
    own = {f.code for f in findings if f.model == answer.model and f.phase and f.phase.is_at_load}
    matched = matching_codes(answer.lines)
    # the log of an ensemble's load holds its steps' reasons too
    codes = sorted(own | (at_load & set(matched)))
    return Comparison(answer, verdict_on(answer.model, findings), tuple(codes), matched)
