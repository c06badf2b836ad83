"""Whether each config.pbtxt is a configuration that the target's server can read."""

from __future__ import annotations

from collections.abc import Iterator

from tritonsmith.generator.catalog.releases import FIELDS_SINCE, fields_newer_than
from tritonsmith.generator.checks.case import Case
from tritonsmith.generator.checks.registry import check
from tritonsmith.generator.errors import RepositoryError
from tritonsmith.generator.findings import Finding, error


@check("TS101", "every config.pbtxt is a model configuration")
def configurations_parse(case: Case) -> Iterator[Finding]:
    """Triton answers only "failed to poll from model repository"; the reason stands in its log alone.

    Source: core: model_config_utils.cc (GetNormalizedModelConfig), triton-config A2 rule 18.
    """
    for model in case.repository.models.values():
        yield from model.findings


@check("TS102", "every field is known to the target's release")
def fields_are_known(case: Case) -> Iterator[Finding]:
    """A field that is younger than the server is a parse error there.

    Source: common: protobuf/model_config.proto on the release branches.
    """
    for model, _ in case.models():
        for path in fields_newer_than(case.target.release.name, model.config) if model.config else ():
            since = FIELDS_SINCE[path]
            message = f"'{path}' came with {since}; Triton {case.target.release.name} does not know it"
            yield error(message, case.origin(model, path), key=model.name, remedy=f"serve it with {since} or newer")


@check("TS103", "what a configuration leaves out can be completed")
def configurations_can_be_completed(case: Case) -> Iterator[Finding]:
    """Source: core: model_config_utils.cc (AutoCompleteBackendFields), the backends' auto-complete."""
    for name, found in case.completions.items():
        if isinstance(found, RepositoryError):
            yield error(found.message, case.origin(case.repository.models[name]), key=name, remedy=found.hint)
