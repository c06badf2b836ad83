"""Mend what can be mended without a choice: fixes are applied in memory, one by one, and each must help.

A fix is kept if its finding is gone and its model has no error that it had not; a configuration is kept if it parses.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from tritonclient.grpc.model_config_pb2 import ModelConfig

from tritonsmith.generator.checks.case import Case
from tritonsmith.generator.checks.registry import check_repository
from tritonsmith.generator.checks.select import Selection
from tritonsmith.generator.findings import Finding, Severity
from tritonsmith.generator.fixes import AddFile
from tritonsmith.generator.repository.core import Content, Model, Repository
from tritonsmith.generator.repository.edit import edited
from tritonsmith.generator.repository.names import CONFIG_FILE, is_plain_name
from tritonsmith.generator.repository.origins import Origins
from tritonsmith.generator.repository.pbtxt import parse_config

_MOST_ROUNDS = 50  # of one fix for each model; a fix that another one undoes would go on for ever


@dataclass(frozen=True)
class Mended:
    """A repository after its fixes: the findings that are gone by them."""

    repository: Repository
    fixed: tuple[Finding, ...]


def mend(case: Case, told: Sequence[Finding], selection: Selection) -> Mended:
    """Apply the fixes of the findings that are told, and of those that come to light by them."""
    repository, hopeless = case.repository, set[tuple[str, str]]()
    fixed: list[Finding] = []
    ignored = {_identity(finding) for finding in check_repository(case)} - {_identity(finding) for finding in told}
    for _ in range(_MOST_ROUNDS):
        found = check_repository(Case(repository, case.target))
        wanted = [one for one in found if selection.takes(one) and _identity(one) not in hopeless | ignored]
        chosen = _one_for_each_model(wanted)
        tried = _applied(repository, chosen)
        if not chosen:
            break
        after = check_repository(Case(tried, case.target))
        kept = {name: one for name, one in chosen.items() if _helps(one, repository, tried, found, after)}
        hopeless |= {_identity(one) for name, one in chosen.items() if name not in kept}
        repository = _with_models(repository, {name: tried.models[name] for name in kept})
        fixed += kept.values()
    unread = {name for name, model in repository.models.items() if model.text and model.config is None}
    original = {name: case.repository.models[name] for name in unread}
    return Mended(_with_models(repository, original), tuple(one for one in fixed if one.model not in unread))


def _one_for_each_model(findings: Sequence[Finding]) -> dict[str, Finding]:
    chosen: dict[str, Finding] = {}
    for finding in findings:
        if finding.fix is not None and finding.model:
            chosen.setdefault(finding.model, finding)
    return chosen


def _applied(repository: Repository, chosen: Mapping[str, Finding]) -> Repository:
    return _with_models(repository, {name: _fixed(repository.models[name], one) for name, one in chosen.items()})


def _fixed(model: Model, finding: Finding) -> Model:
    """Return a model with a fix applied; the same where the fix does not fit."""
    fix = finding.fix
    if isinstance(fix, AddFile):
        parts = fix.path.split("/")
        if not all(map(is_plain_name, parts)) or fix.path in model.files:
            return model
        folders = {"/".join(parts[:count]) for count in range(1, len(parts))}
        files = {**model.files, fix.path: Content(b"")}
        return replace(model, files=files, folders=tuple(sorted({*model.folders, *folders})))
    file = finding.place.file
    text = edited(model.text, fix, finding.place) if fix and model.text else None
    if text is None or text == model.text or not file.endswith(CONFIG_FILE):
        return model
    parsed = parse_config(text, file)
    if isinstance(parsed, ModelConfig):
        return replace(model, text=text, config=parsed, origins=Origins(text, file), findings=())
    return replace(model, text=text, config=None, findings=parsed)


def _helps(
    finding: Finding, before: Repository, after: Repository, found: Sequence[Finding], left: Sequence[Finding]
) -> bool:
    model = before.models[finding.model]
    if model is after.models[finding.model]:
        return False
    is_gone = sum(map(_same_as(finding), left)) < sum(map(_same_as(finding), found))
    # what does not parse has one error, and behind it may be several others
    new = _errors(left, finding.model) - _errors(found, finding.model)
    return is_gone and (not new or model.config is None)


def _errors(findings: Sequence[Finding], model: str) -> set[tuple[str, str]]:
    return {_identity(one) for one in findings if one.model == model and one.severity is Severity.ERROR}


def _same_as(finding: Finding) -> Callable[[Finding], bool]:
    return lambda other: _identity(other) == _identity(finding)


def _identity(finding: Finding) -> tuple[str, str]:
    return finding.code, f"{finding.model}\0{finding.key}\0{finding.message}"


def _with_models(repository: Repository, models: Mapping[str, Model]) -> Repository:
    return replace(repository, models={**repository.models, **models})
