"""A check explained: what holds, why, what follows where it does not, and in which words Triton says so."""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass
from typing import Protocol

from tritonsmith.generator.checks.registry import Check, Stage, all_checks
from tritonsmith.generator.checks.rule_source import told_by
from tritonsmith.generator.findings import Severity

_SOURCE = re.compile(r"^Source:\s*(.*)", re.MULTILINE | re.DOTALL)
_STAGES = {
    Stage.POLL: "before any backend is touched",
    Stage.IO: "before any backend is touched where auto-complete is off, else by the backend",
    Stage.STEPS: "when its steps are loaded",
    Stage.CREATE: "before the model itself is looked at",
    Stage.INIT: "when the model's own code is run",
    Stage.CONFIG: "when the model's configuration is whole",
    Stage.LOAD: "when the backend loads it",
    Stage.ENSEMBLE: "once all steps are loaded",
}


class Reasoned(Protocol):
    """A rule that says why it matters."""

    @property
    def reason(self) -> str:
        """Its docstring."""


@dataclass(frozen=True)
class Explanation:
    """A rule's documentation: why it matters, and where the rule is from (empty where Triton says nothing of it)."""

    reason: str
    source: str


def explanation_of(check: Reasoned) -> Explanation:
    """Return a check's documentation, taken from its docstring."""
    text = inspect.cleandoc(check.reason)
    source = _SOURCE.search(text)
    reason = text[: source.start()] if source else text
    return Explanation(reason.strip(), " ".join(source[1].split()) if source else "")


def consequence_of(check: Check) -> str:
    """Return what follows where a check is broken: `error: will not load`, `warning`."""
    severities = told_by(check.rule).severities
    return ", ".join(
        f"error: {check.phase.in_words}" if severity is Severity.ERROR else severity.value for severity in severities
    )


def explain_check(check: Check) -> str:
    """Return what a check means, for a terminal."""
    told = explanation_of(check)
    example = told_by(check.rule).remedy
    facts = {
        "Where it is broken": consequence_of(check),
        f"Triton says {_STAGES[check.stage]}": check.triton,
        "What to do, for example": example,
        "Source": told.source,
        "To silence it": f"--ignore {check.code}, or in the file # tritonsmith: ignore[{check.code}]",
    }
    lines = [f"{name}: {fact}" for name, fact in facts.items() if fact]
    return "\n".join([f"{check.code}: {check.title}", *(["", told.reason] if told.reason else []), "", *lines])


def list_checks() -> str:
    """Return every check's code and title."""
    return "\n".join(f"{check.code}  {check.title}" for check in all_checks().values())
