"""The server's verdict on each model beside ours: where they differ, ours is wrong."""

from __future__ import annotations

import functools
import re
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, replace

from tritonsmith.backends.live_check.answer import Answer
from tritonsmith.backends.live_check.stage import STOOD_IN_FOR
from tritonsmith.generator.checks.case import Case, ModelCase
from tritonsmith.generator.checks.registry import Stage, all_checks, check_repository
from tritonsmith.generator.checks.rules.completion import is_completed_later
from tritonsmith.generator.checks.verdict import Verdict, verdict_on
from tritonsmith.generator.findings import Finding, Phase
from tritonsmith.generator.repository.complete import backend_of
from tritonsmith.generator.repository.core import Model

# TensorRT-LLM's settings, and model files: a C++ backend reads them, a null backend does not.
READ_BY_BACKENDS = ("TS7", "TS9")
_ABOUT_TENSORS = (Stage.IO, Stage.ENSEMBLE)


@dataclass(frozen=True)
class Comparison:
    """One model: our verdict on it for the server that was asked, and the server's.

    `findings` are ours that say how its load ends (for an ensemble also of its steps, where the server's reason is
    theirs), `matched` the checks whose pattern of Triton's message the server's reason matches. `is_incomplete`: the
    server misses what a C++ backend completes from a file that we cannot read, and a null backend does not.
    `is_left_out`: something of its folder, which would bring any server down, was kept from the server.
    """

    answer: Answer
    ours: Verdict
    findings: tuple[Finding, ...] = ()
    matched: tuple[str, ...] = ()
    is_incomplete: bool = False
    is_left_out: bool = False

    @property
    def codes(self) -> tuple[str, ...]:
        """The codes of our findings."""
        return tuple(sorted({finding.code for finding in self.findings}))

    @property
    def model(self) -> str:
        """The model's name."""
        return self.answer.model

    @property
    def is_race(self) -> bool:
        """Whether the load was refused this time and can crash the server at another, or the other way round.

        Which comes first is a race in the server. A warm-up that fails in a model's process can always end either way.
        """
        if {self.ours, self.answer.verdict} != {Verdict.CRASHES, Verdict.FAILS}:
            return False
        return self.ours is Verdict.CRASHES or any(code in _fails_the_warm_up() for code in self.codes)

    @property
    def excuse(self) -> str:
        """Why no check can say what the server says, empty where one should."""
        if self.is_left_out:
            return "something of its folder was kept from the server"
        if self.ours is not Verdict.LOADS:
            return ""
        if self.is_incomplete:
            return "it waits to be completed from its file, which a null backend does not read"
        return "its own code decides, which no check runs" if self.answer.is_own_code else ""

    @property
    def disagreement(self) -> str:
        """What is wrong with our judgement; empty where nothing is."""
        if self.excuse or self.is_race:
            return ""
        if self.ours is not self.answer.verdict:
            return f"it says '{self.ours.value}', the server '{self.answer.verdict.value}'"
        if self.ours is not Verdict.FAILS or self.answer.is_own_code or set(self.matched) & set(self.codes):
            return ""
        if self.matched:
            return f"the server's reason is {', '.join(self.matched)}, which is not among its findings"
        return f"no finding ({', '.join(self.codes)}) is the server's reason"


def compare(case: Case, answers: Mapping[str, Answer], left_out: Container[str] = ()) -> list[Comparison]:
    """Return the comparison for each model that the server was asked about; `case` has that server as its target.

    Of the models in `left_out` the server was not given everything.
    """
    findings, incomplete = judged_by_core(case), _incomplete(case)
    compared = [_compared(answer, case, findings, incomplete) for answer in answers.values()]
    return [replace(found, is_left_out=found.model in left_out) for found in compared]


@functools.cache
def _fails_the_warm_up() -> frozenset[str]:
    """Return the checks on requests of a warm-up that a model's process refuses (rule 64)."""
    checks = all_checks().values()
    return frozenset(check.code for check in checks if check.triton.startswith("failed to run warmup sample"))


def judged_by_core(case: Case) -> list[Finding]:
    """Return the findings without those on which a null backend has no say: what a C++ backend reads and requires."""
    checks = all_checks()
    stood_in = _stood_in(case)

    def is_judged(finding: Finding) -> bool:
        if finding.model not in stood_in or finding.code not in checks:
            return True
        # core's own rules all have a message; what crashes a server does so with any backend
        is_of_core = bool(checks[finding.code].triton) or finding.phase is Phase.CRASH
        return is_of_core and not finding.code.startswith(READ_BY_BACKENDS)

    return check_repository(case, is_judged)


def _stood_in(case: Case) -> set[str]:
    """Return the models on a null backend."""
    return {model.name for model in case.repository.models.values() if _backend(case, model) in STOOD_IN_FOR}


def _incomplete(case: Case) -> set[str]:
    """Return the models that a C++ backend would complete and a null backend does not, and the ensembles of them."""
    stood_in = _stood_in(case)
    found = {model.name for model in case.models() if model.name in stood_in and is_completed_later(model)}
    while more := {model.name for model in case.models() if model.name not in found and _steps(model) & found}:
        found |= more
    return found


def _steps(model: ModelCase) -> set[str]:
    return {step.model_name for step in model.config.ensemble_scheduling.step}


def _backend(case: Case, model: Model) -> str:
    config = case.configs.get(model.name)
    return config.backend if config is not None else backend_of(model)


def matching_codes(lines: Iterable[str]) -> tuple[str, ...]:
    """Return the checks whose pattern of Triton's message one of the lines matches."""
    said = list(lines)
    patterns = {code: check.pattern for code, check in all_checks().items() if check.pattern}
    return tuple(code for code, pattern in patterns.items() if any(re.search(pattern, line) for line in said))


def _compared(answer: Answer, case: Case, findings: list[Finding], incomplete: Container[str]) -> Comparison:
    matched, members = matching_codes(answer.lines), _members(case, answer.model)
    at_load = [finding for finding in findings if finding.phase and finding.phase.is_at_load]
    about = [
        finding
        for finding in at_load
        if finding.model == answer.model or (finding.model in members and finding.code in matched)
    ]
    if answer.verdict is Verdict.CRASHES and _warms_up_python(case, answer.model):
        answer = replace(answer, is_own_code=True)  # an execute() that fails in it can crash this release (rule 64)
    is_incomplete = answer.model in incomplete and any(all_checks()[code].stage in _ABOUT_TENSORS for code in matched)
    verdict = verdict_on(answer.model, findings, is_auto_complete=case.target.is_auto_complete)
    return Comparison(answer, verdict, tuple(about), matched, is_incomplete)


def _members(case: Case, name: str) -> set[str]:
    """Return the models of an ensemble, those of ensembles in it too."""
    found: set[str] = set()
    waiting = [name]
    while waiting:
        model = case.by_name.get(waiting.pop())
        steps = _steps(model) - found if model else set()
        found |= steps
        waiting += steps
    return found


def _warms_up_python(case: Case, name: str) -> bool:
    config = case.configs.get(name)
    return config is not None and config.backend == "python" and bool(config.model_warmup)
