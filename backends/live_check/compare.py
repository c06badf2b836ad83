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
from tritonsmith.generator.repository.complete import backend_of
from tritonsmith.generator.repository.core import Model

# What these subjects look at, a C++ backend reads and a null backend does not.
READ_BY_BACKENDS = ("onnx_files", "engines", "llm")


@dataclass(frozen=True)
class Comparison:
    """One model: our verdict on it for the server that was asked, and the server's.

    `findings` are ours that say how its load ends (for an ensemble also of its steps, where the server's reason is
    theirs), `matched` the checks whose pattern of Triton's message the server's reason matches.
    """

    answer: Answer
    ours: Verdict
    findings: tuple[Finding, ...] = ()
    matched: tuple[str, ...] = ()

    @property
    def codes(self) -> tuple[str, ...]:
        """The codes of our findings."""
        return tuple(sorted({finding.code for finding in self.findings}))

    @property
    def model(self) -> str:
        """The model's name."""
        return self.answer.model

    @property
    def is_refused_crash(self) -> bool:
        """Whether a load that can crash the server was refused this time: which comes first is a race in it."""
        return self.ours is Verdict.CRASHES and self.answer.verdict is Verdict.FAILS

    @property
    def is_beyond_checks(self) -> bool:
        """Whether the model's own code decided, which no check runs."""
        return self.answer.is_own_code and self.ours is Verdict.LOADS

    @property
    def disagreement(self) -> str:
        """What is wrong with our judgement; empty where nothing is."""
        if self.is_beyond_checks or self.is_refused_crash:
            return ""
        if self.ours is not self.answer.verdict:
            return f"it says '{self.ours.value}', the server '{self.answer.verdict.value}'"
        if self.ours is not Verdict.FAILS or self.answer.is_own_code or set(self.matched) & set(self.codes):
            return ""
        if self.matched:
            return f"the server's reason is {', '.join(self.matched)}, which is not among its findings"
        return f"no finding ({', '.join(self.codes)}) is the server's reason"


def compare(case: Case, answers: Mapping[str, Answer]) -> list[Comparison]:
    """Return the comparison for each model that the server was asked about; `case` has that server as its target."""
    findings = judged_by_core(case)
    return [_compared(answer, findings) for answer in answers.values()]


def judged_by_core(case: Case) -> list[Finding]:
    """Return the findings without those on which a null backend has no say: what a C++ backend reads and requires."""
    checks = all_checks()
    stood_in = {model.name for model in case.repository.models.values() if _backend(case, model) in STOOD_IN_FOR}

    def is_judged(finding: Finding) -> bool:
        check = checks.get(finding.code)
        if finding.model not in stood_in or check is None:
            return True
        is_of_core = not any(f".{subject}" in check.rule.__module__ for subject in READ_BY_BACKENDS)
        return bool(check.triton) and is_of_core  # core's own rules all have a message

    return [finding for finding in check_repository(case) if is_judged(finding)]


def _backend(case: Case, model: Model) -> str:
    config = case.configs.get(model.name)
    return config.backend if config is not None else backend_of(model)


def matching_codes(lines: Iterable[str]) -> tuple[str, ...]:
    """Return the checks whose pattern of Triton's message one of the lines matches."""
    said = list(lines)
    patterns = {code: check.pattern for code, check in all_checks().items() if check.pattern}
    return tuple(code for code, pattern in patterns.items() if any(re.search(pattern, line) for line in said))


def _compared(answer: Answer, findings: list[Finding]) -> Comparison:
    matched = matching_codes(answer.lines)
    about = [
        finding
        for finding in findings
        if finding.phase and finding.phase.is_at_load and (finding.model == answer.model or finding.code in matched)
    ]
    return Comparison(answer, verdict_on(answer.model, findings), tuple(about), matched)
