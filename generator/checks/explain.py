"""A check explained: what holds, why, what follows where it does not, and in which words Triton says so."""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass

from tritonsmith.generator.checks.registry import Check, Stage, all_checks

_SOURCE = re.compile(r"^Source:\s*(.*)", re.MULTILINE | re.DOTALL)
_STAGES = {
    Stage.POLL: "before any backend is touched",
    Stage.IO: "before any backend is touched where auto-complete is off, else by the backend",
    Stage.LOAD: "when the backend loads it",
    Stage.ENSEMBLE: "once all steps are loaded",
}


@dataclass(frozen=True)
class Explanation:
    """A rule's documentation: why it matters, and where the rule is from (empty where Triton says nothing of it)."""

    reason: str
    source: str


def explanation_of(check: Check) -> Explanation:
    """Return a check's documentation, taken from its docstring."""
    text = inspect.cleandoc(check.reason)
    source = _SOURCE.search(text)
    reason = text[: source.start()] if source else text
    return Explanation(reason.strip(), " ".join(source[1].split()) if source else "")


def explain_check(check: Check) -> str:
    """Return what a check means, for a terminal."""
    told = explanation_of(check)
    lines = [f"{check.code}: {check.title}", "", told.reason, "", f"Broken: {check.phase.in_words}."]
    if check.triton:
        lines += [f'Triton says ({_STAGES[check.stage]}): "{check.triton}"']
    if check.on:
        lines += [f"Asked of models that set: {', '.join(check.on)}"]
    if told.source:
        lines += [f"Source: {told.source}"]
    lines += ["", f"To silence it: # tritonsmith: ignore[{check.code}]   or --ignore {check.code}"]
    return "\n".join(line for index, line in enumerate(lines) if line or lines[index - 1])


def list_checks() -> str:
    """Return every check's code and title."""
    return "\n".join(f"{check.code}  {check.title}" for check in all_checks().values())
