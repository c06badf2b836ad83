"""The checks by code, and the run over all of them."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from tritonsmith.generator.checks.case import Case
from tritonsmith.generator.findings import Finding

SUBJECTS = ("parsing", "layout", "tensors", "batching", "instances", "ensembles", "llm")

Rule = Callable[[Case], Iterator[Finding]]


@dataclass(frozen=True)
class Check:
    """One rule: its stable code, what it holds, and the function that finds where it is broken."""

    code: str
    title: str
    rule: Rule

    @property
    def reason(self) -> str:
        """Why it matters: the rule's docstring."""
        return (self.rule.__doc__ or "").strip()


_CHECKS: dict[str, Check] = {}


def check(code: str, title: str) -> Callable[[Rule], Rule]:
    """Register a rule under its code."""

    def register(rule: Rule) -> Rule:
        assert code not in _CHECKS, f"two checks have the code {code}"
        _CHECKS[code] = Check(code, title, rule)
        return rule

    return register


def all_checks() -> list[Check]:
    """Return every check, by code."""
    for subject in SUBJECTS:
        importlib.import_module(f"tritonsmith.generator.checks.{subject}")
    return [_CHECKS[code] for code in sorted(_CHECKS)]


def check_repository(case: Case) -> list[Finding]:
    """Return everything that is wrong with a repository, in the order of its files."""
    found = [replace(finding, code=check.code) for check in all_checks() for finding in check.rule(case)]
    found.extend(case.repository.findings)
    return sorted(found, key=lambda finding: (finding.place, finding.code))
