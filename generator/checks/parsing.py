"""Whether each config.pbtxt is a configuration that the target's server can read."""

from __future__ import annotations

from collections.abc import Iterator

from tritonsmith.generator.catalog.releases import FIELDS_SINCE, fields_newer_than
from tritonsmith.generator.checks.case import Case
from tritonsmith.generator.checks.registry import Stage, check_case
from tritonsmith.generator.errors import RepositoryError
from tritonsmith.generator.findings import Finding, error


@check_case(
    "TS101",
    "every config.pbtxt is a model configuration of the target's release",
    triton="failed to read text proto from {path}",
    stage=Stage.POLL,
)
def configurations_parse(case: Case) -> Iterator[Finding]:
    """Triton answers only "failed to poll from model repository"; the reason stands in its log alone.

    A field that is younger than the server is a parse error there.

    Source: core: model_config_utils.cc (GetNormalizedModelConfig), triton-config A2 rule 18; common:
    protobuf/model_config.proto on the release branches.
    """
    release = case.target.release.name
    for model in case.repository.models.values():
        for finding in model.findings:
            yield case.about(model, finding)
        for path in fields_newer_than(release, model.config) if model.config else ():
            since = FIELDS_SINCE[path]
            message = f"'{path}' came with {since}; Triton {release} does not know it"
            yield case.about(model, error(message, remedy=f"serve it with {since} or newer"), path)


@check_case("TS103", "what a configuration leaves out can be completed")
def configurations_can_be_completed(case: Case) -> Iterator[Finding]:
    """Source: core: model_config_utils.cc (AutoCompleteBackendFields), the backends' auto-complete."""
    for name, found in case.completions.items():
        if isinstance(found, RepositoryError):
            yield case.about(case.repository.models[name], error(found.message, remedy=found.hint))
