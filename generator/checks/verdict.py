"""What a server makes of each model, as the findings have it."""

from __future__ import annotations

import enum
from collections.abc import Iterable

from tritonsmith.generator.checks.registry import Stage, all_checks
from tritonsmith.generator.findings import Finding, Phase, Severity


class Verdict(enum.Enum):
    """How the load of a model ends."""

    LOADS = "loads"
    FAILS = "does not load"
    HANGS = "hangs"
    CRASHES = "crashes the server"


def verdict_on(model: str, findings: Iterable[Finding]) -> Verdict:
    """Return how the load of a model ends.

    What fails to load is refused before it can hang or crash anything: a hang or a crash is one at run time. But an
    ensemble is compared with its steps once they are loaded: one that hangs or crashes comes before.
    """
    errors = [finding for finding in findings if finding.model == model and finding.severity is Severity.ERROR]
    phases = {finding.phase for finding in errors}
    late = {finding.code for finding in errors if finding.phase is Phase.LOAD and _is_late(finding.code)}
    if any(finding.phase is Phase.LOAD and finding.code not in late for finding in errors):
        return Verdict.FAILS
    if Phase.HANG in phases or Phase.CRASH in phases:
        return Verdict.CRASHES if Phase.CRASH in phases and Phase.HANG not in phases else Verdict.HANGS
    return Verdict.FAILS if late else Verdict.LOADS


def _is_late(code: str) -> bool:
    check = all_checks().get(code)
    return check is not None and check.stage is Stage.ENSEMBLE
