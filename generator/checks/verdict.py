"""What a server makes of each model, as the findings have it."""

from __future__ import annotations

import enum
from collections.abc import Iterable

from tritonsmith.generator.findings import Finding, Phase, Severity


class Verdict(enum.Enum):
    """How the load of a model ends."""

    LOADS = "loads"
    FAILS = "does not load"
    HANGS = "hangs"
    CRASHES = "crashes the server"


_VERDICTS = {Phase.LOAD: Verdict.FAILS, Phase.HANG: Verdict.HANGS, Phase.CRASH: Verdict.CRASHES}


def verdict_on(model: str, findings: Iterable[Finding]) -> Verdict:
    """Return how the load of a model ends.

    What fails to load is refused before it can hang or crash anything: a hang or a crash is one at run time.
    """
    phases = {finding.phase for finding in findings if finding.model == model and finding.severity is Severity.ERROR}
    return next((_VERDICTS[phase] for phase in (Phase.LOAD, Phase.HANG, Phase.CRASH) if phase in phases), Verdict.LOADS)
