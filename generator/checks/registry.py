"""The checks by code, and the run over all of them."""

from __future__ import annotations

import enum
import gc
import importlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING

from tritonsmith.generator.checks.case import Case, ModelCase
from tritonsmith.generator.checks.patterns import message_pattern
from tritonsmith.generator.findings import Finding, Phase, Severity

if TYPE_CHECKING:
    from tritonsmith.generator.checks.ignores import Ignore
    from tritonsmith.generator.checks.manifests.case import Manifests

SUBJECTS = (
    "ignores",  # TS001
    "rules.parsing",  # TS100
    "rules.layout",  # TS200
    "rules.named_files",  # TS204, TS216
    "rules.runtime",  # TS230
    "rules.agents",  # TS237, TS241
    "rules.tensors",  # TS300
    "rules.ragged",  # TS330
    "rules.warmup",  # TS350
    "rules.strings",  # TS364
    "rules.batching",  # TS400
    "rules.sequences",  # TS420
    "rules.states",  # TS435
    "rules.responses",  # TS451
    "rules.instances",  # TS500
    "rules.rate_limiter",  # TS520
    "rules.sharing",  # TS540
    "rules.ensembles.configuration",  # TS600
    "rules.ensembles.graph",  # TS611
    "rules.ensembles.dependencies",  # TS620
    "rules.ensembles.steps",  # TS630
    "rules.ensembles.calls",  # TS650
    "rules.llm",  # TS700
    "rules.python.models",  # TS800
    "rules.python.imports",  # TS810
    "rules.python.execute",  # TS820
    "rules.python.completion",  # TS840
    "rules.python.parameters",  # TS870
    "rules.onnx.files",  # TS900
    "rules.onnx.tensors",  # TS905
    "rules.engines",  # TS930
)

MANIFEST_SUBJECTS = (
    "manifests.rules.reading",  # TK101
    "manifests.rules.objects",  # TK110
    "manifests.rules.references",  # TK130
    "manifests.rules.probes",  # TK200
    "manifests.rules.shutdown",  # TK220
    "manifests.rules.memory",  # TK240
    "manifests.rules.gpus",  # TK300
    "manifests.rules.sharing",  # TK310
    "manifests.rules.groups",  # TK330
    "manifests.rules.scaling",  # TK400
    "manifests.rules.metrics",  # TK450
    "manifests.rules.availability",  # TK500
    "manifests.rules.network",  # TK520
    "manifests.rules.security",  # TK600
    "manifests.rules.arguments",  # TK700
    "manifests.rules.images",  # TK730
)

CaseRule = Callable[[Case], Iterator[Finding]]
ModelRule = Callable[[ModelCase], Iterator[Finding]]
Consequence = Callable[[Case, list[Finding]], Iterator[Finding]]
CommentRule = Callable[["Sequence[Ignore]"], Iterator[Finding]]
ManifestRule = Callable[["Manifests"], Iterator[Finding]]


class Stage(enum.Enum):
    """Where in a load Triton looks (triton-config, Phases): it stops at the first stage that has something to say."""

    POLL = "poll"  # before any backend is touched; the load API answers "failed to poll from model repository"
    IO = "io"  # POLL where auto-complete is off, else LOAD
    STEPS = "steps"  # the loads of an ensemble's steps, which come before its own
    CREATE = "create"  # the versions, the backend's library, instance groups, what the Python backend reads first
    INIT = "init"  # a Python model's own code: where auto-complete is off, after CONFIG
    CONFIG = "config"  # what the whole configuration names: labels, a batch strategy
    LOAD = "load"  # instances, warm-up
    ENSEMBLE = "ensemble"  # once all steps are loaded


@dataclass(frozen=True)
class Check:
    """One rule: its stable code, what it holds, and the function that finds where it is broken.

    `triton` is the template of the message with which Triton refuses (`patterns`), empty where Triton says nothing.
    `phase` is what its errors lead to. A rule `on` fields of ModelConfig is asked about models that set one of them.
    """

    code: str
    title: str
    rule: CaseRule | ModelRule | Consequence | CommentRule | ManifestRule
    triton: str = ""
    stage: Stage = Stage.LOAD
    phase: Phase = Phase.LOAD
    on: tuple[str, ...] = ()

    @property
    def reason(self) -> str:
        """Why it matters: the rule's docstring."""
        return (self.rule.__doc__ or "").strip()

    @property
    def pattern(self) -> str:
        """Triton's message as a regular expression, empty where there is none."""
        return message_pattern(self.triton)

    def judged(self, finding: Finding) -> Finding:
        """Return one of the rule's findings with the code and the phase."""
        phase = finding.phase or self.phase if finding.severity is Severity.ERROR else None
        return replace(finding, code=finding.code or self.code, phase=phase)


_MODEL_CHECKS: dict[str, Check] = {}
_CASE_CHECKS: dict[str, Check] = {}
_CONSEQUENCES: dict[str, Check] = {}
_COMMENT_CHECKS: dict[str, Check] = {}
_MANIFEST_CHECKS: dict[str, Check] = {}


def check(
    code: str,
    title: str,
    *,
    triton: str = "",
    stage: Stage = Stage.LOAD,
    phase: Phase = Phase.LOAD,
    on: tuple[str, ...] = (),
) -> Callable[[ModelRule], ModelRule]:
    """Register a rule about one model, asked for each model whose configuration parses and can be completed."""

    def register(rule: ModelRule) -> ModelRule:
        _MODEL_CHECKS[_free(code)] = Check(code, title, rule, triton, stage, phase, on)
        return rule

    return register


def check_case(
    code: str, title: str, *, triton: str = "", stage: Stage = Stage.LOAD, phase: Phase = Phase.LOAD
) -> Callable[[CaseRule], CaseRule]:
    """Register a rule about a repository as a whole, also about models that do not parse."""

    def register(rule: CaseRule) -> CaseRule:
        _CASE_CHECKS[_free(code)] = Check(code, title, rule, triton, stage, phase)
        return rule

    return register


def consequence(
    code: str, title: str, *, triton: str = "", stage: Stage = Stage.ENSEMBLE, phase: Phase = Phase.LOAD
) -> Callable[[Consequence], Consequence]:
    """Register a rule about what follows from the findings of all the others."""

    def register(rule: Consequence) -> Consequence:
        _CONSEQUENCES[_free(code)] = Check(code, title, rule, triton, stage, phase)
        return rule

    return register


def check_comments(code: str, title: str) -> Callable[[CommentRule], CommentRule]:
    """Register a rule about the ignore comments of a file that has findings; `report` asks it."""

    def register(rule: CommentRule) -> CommentRule:
        _COMMENT_CHECKS[_free(code)] = Check(code, title, rule)
        return rule

    return register


def check_manifests(code: str, title: str, *, phase: Phase = Phase.OPERATION) -> Callable[[ManifestRule], ManifestRule]:
    """Register a rule about a set of Kubernetes manifests."""

    def register(rule: ManifestRule) -> ManifestRule:
        _MANIFEST_CHECKS[_free(code)] = Check(code, title, rule, phase=phase)
        return rule

    return register


def _free(code: str) -> str:
    taken = {*_MODEL_CHECKS, *_CASE_CHECKS, *_CONSEQUENCES, *_COMMENT_CHECKS, *_MANIFEST_CHECKS}
    assert code not in taken, f"two checks have the code {code}"
    return code


@cache
def _load() -> None:
    for subject in SUBJECTS:
        importlib.import_module(f"tritonsmith.generator.checks.{subject}")


@cache
def _load_manifest_checks() -> None:
    for subject in MANIFEST_SUBJECTS:
        importlib.import_module(f"tritonsmith.generator.checks.{subject}")


def all_checks() -> dict[str, Check]:
    """Return every check, by code."""
    _load()
    _load_manifest_checks()
    checks = {**_MODEL_CHECKS, **_CASE_CHECKS, **_CONSEQUENCES, **_COMMENT_CHECKS, **_MANIFEST_CHECKS}
    return dict(sorted(checks.items()))


def check_ignores(ignores: Sequence[Ignore]) -> list[Finding]:
    """Return everything that is wrong with the ignore comments of a file."""
    _load()
    rules = _COMMENT_CHECKS.values()
    return [check.judged(finding) for check in rules for finding in check.rule(ignores)]  # type: ignore[call-arg,arg-type]


@contextmanager
def _collecting_later() -> Iterator[None]:
    """Put off the search for garbage in cycles: a check makes none, but keeps trees of source that it would walk.

    For a thousand models that took three quarters of the time. What was made counts as old afterwards (frozen and
    thawed, which looks at nothing), for else the next object made would have all of it walked.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            if not gc.get_freeze_count():  # else it is somebody's, and thawing is for all
                gc.freeze()
                gc.unfreeze()
            gc.enable()


@_collecting_later()
def check_repository(case: Case, counts: Callable[[Finding], bool] | None = None) -> list[Finding]:
    """Return everything that is wrong with a repository, in the order of its files.

    With `counts` only the findings for which it is true are followed up, and returned.
    """
    _load()
    found = [*case.repository.findings, *_about_models(case)]
    for check in _CASE_CHECKS.values():
        found += [check.judged(finding) for finding in check.rule(case)]  # type: ignore[call-arg,arg-type]
    if counts is not None:
        found = [finding for finding in found if counts(finding)]
    for check in _CONSEQUENCES.values():
        found += [check.judged(finding) for finding in check.rule(case, found)]  # type: ignore[call-arg,arg-type]
    return sorted(found, key=lambda finding: (finding.place, finding.code))


def check_sets(sets: Sequence[Manifests]) -> list[Finding]:
    """Return everything that is wrong with sets of manifests; what several overlays take is told once."""
    _load_manifest_checks()
    checks = _MANIFEST_CHECKS.values()
    found = [check.judged(finding) for case in sets for check in checks for finding in check.rule(case)]  # type: ignore[call-arg,arg-type]
    return sorted(dict.fromkeys(found), key=lambda finding: (finding.place, finding.code))


def _about_models(case: Case) -> Iterator[Finding]:
    checks = list(_MODEL_CHECKS.values())
    for model in case.models():
        for check in checks:
            if not check.on or not model.fields.isdisjoint(check.on):
                for finding in check.rule(model):  # type: ignore[call-arg,arg-type]
                    yield check.judged(finding)
