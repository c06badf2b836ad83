"""Rules on what is read: files, kustomizations, templates."""

from __future__ import annotations

from collections.abc import Iterator

from tritonsmith.generator.checks.manifests.case import Manifests
from tritonsmith.generator.checks.registry import check_manifests
from tritonsmith.generator.findings import Finding, Phase, error, note, warning


@check_manifests("TK101", "what a set names can be read", phase=Phase.APPLY)
def files_can_be_read(case: Manifests) -> Iterator[Finding]:
    """A file that is no YAML, a key that is given twice, or a resource of a kustomization that is not there: kubectl
    stops at it, or takes one of two values.

    Source: kubectl: apply (strict decoding); kustomize: build.
    """
    for problem in case.problems:
        if problem.kind == "broken":
            yield error(problem.message, problem.place, remedy="mend the file, or leave it out")


@check_manifests("TK102", "an overlay is judged as it is built")
def overlays_are_resolved(case: Manifests) -> Iterator[Finding]:
    """Resources, components, patches, labels, images, replicas and generated ConfigMaps are built here; what else a
    kustomization does is not, and remote resources are not fetched.
    """
    for problem in case.problems:
        if problem.kind == "unresolved":
            message = f"not resolved: {problem.message}; the rest is judged without it"
            yield note(message, problem.place, remedy="check what `kubectl kustomize` makes of it")


@check_manifests("TK103", "a patch changes something")
def patches_have_targets(case: Manifests) -> Iterator[Finding]:
    """A patch whose target is spelled otherwise is passed over, or stops the build, by kustomize's version."""
    for problem in case.problems:
        if problem.kind == "idle":
            message = f"the patch changes nothing: {problem.message}"
            yield warning(message, problem.place, remedy="name an object of the resources")


@check_manifests("TK104", "a template is rendered before it is judged")
def templates_are_rendered(case: Manifests) -> Iterator[Finding]:
    """A file with {{ }} is a chart's template and no YAML yet."""
    for problem in case.problems:
        if problem.kind == "template":
            message = f"a template of manifests, which is not judged: {problem.message}"
            yield note(message, problem.place, remedy="check the output of `helm template`")
