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


def verdict_on(model: str, findings: Iterable[Finding], *, is_auto_complete: bool = True) -> Verdict:
    """Return how the load of a model ends: at the first stage of a load that has something to say.

    Within a stage, what fails is refused before it can hang or crash anything: a hang or a crash is one at run time.
    """
    ends = [
        (_rank(finding.code, is_auto_complete=is_auto_complete), _ORDER.index(finding.phase))
        for finding in findings
        if finding.model == model and finding.severity is Severity.ERROR and finding.phase in _ORDER
    ]
    return _VERDICTS[min(ends)[1]] if ends else Verdict.LOADS


_ORDER: list[Phase | None] = [Phase.LOAD, Phase.HANG, Phase.CRASH]
_VERDICTS = [Verdict.FAILS, Verdict.HANGS, Verdict.CRASHES]


def _rank(code: str, *, is_auto_complete: bool) -> int:
    """Return when a check's message comes: an ensemble is compared with its steps after all else.

    Source: core: backend_model.cc (TritonModel::Create), model.cc (Model::Init); each pair tried on 2.51.
    """
    check = all_checks().get(code)
    stage = check.stage if check is not None else Stage.LOAD
    order = _AUTO_COMPLETE if is_auto_complete else _STRICT
    return order.index(stage)


_AUTO_COMPLETE = [Stage.POLL, Stage.STEPS, Stage.CREATE, Stage.INIT, Stage.IO, Stage.CONFIG, Stage.LOAD, Stage.ENSEMBLE]
_STRICT = [Stage.POLL, Stage.IO, Stage.STEPS, Stage.CREATE, Stage.CONFIG, Stage.INIT, Stage.LOAD, Stage.ENSEMBLE]
