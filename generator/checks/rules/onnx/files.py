"""Whether each version's ONNX file can be loaded, and agrees with its configuration."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from tritonsmith.generator.catalog.onnxruntime import onnxruntime_of
from tritonsmith.generator.checks.case import ModelCase
from tritonsmith.generator.checks.registry import check
from tritonsmith.generator.errors import SpecError
from tritonsmith.generator.findings import Finding, Phase, Place
from tritonsmith.generator.repository.complete import graph_path

if TYPE_CHECKING:
    from tritonsmith.generator.inspect.onnx import OnnxFacts


@check(
    "TS900",
    "an ONNX model's file is a graph",
    triton="onnx runtime error {n}: Load model from {path} failed:Protobuf parsing failed.",
)
def files_are_graphs(model: ModelCase) -> Iterator[Finding]:
    """ONNX Runtime parses the file when an instance is made, and refuses what is none, or only a part of one.

    On the embedded server a stand-in of the backend may load the model without a look at the file; requests fail then.

    Source: onnxruntime_backend: src/onnxruntime.cc (ModelState::LoadModel).
    """
    for path, found in onnx_files(model):
        if isinstance(found, SpecError):
            remedy = "export or copy it again; `git lfs pull` where it is a Git LFS pointer"
            finding = model.error("", f"{path}: {found.message}", remedy=found.hint or remedy)
            phase = Phase.REQUEST if model.target.is_embedded else Phase.LOAD
            yield replace(finding, place=Place(found.where), phase=phase)


@check("TS901", "the external data of an ONNX file lies beside it")
def external_data_is_there(model: ModelCase) -> Iterator[Finding]:
    """ONNX Runtime looks for it beside the graph, and nowhere else.

    Source: ONNX: docs/ExternalData.md; onnxruntime: core/framework/tensorprotoutils.cc.
    """
    remedy = "save the model again with its external data beside it"
    for _, facts in _graphs(model):
        for found in (finding for finding in facts.findings if finding.code == "TS901"):
            yield _at(facts, model.error("", found.message, remedy=found.remedy or remedy))


@check(
    "TS902",
    "an ONNX file's inputs and outputs are tensors that Triton has",
    triton="Unsupported ONNX Type {text} for I/O {text}, expected 'ONNX_TYPE_TENSOR'.",
)
def tensors_can_be_served(model: ModelCase) -> Iterator[Finding]:
    """Sequences and maps, and some element types, have no counterpart in Triton.

    Source: onnxruntime_backend: src/onnxruntime_utils.cc (InputOutputInfos).
    """
    remedy = "export the model again"
    for _, facts in _graphs(model):
        for found in (finding for finding in facts.findings if finding.code == "TS902"):
            yield _at(facts, model.error("", found.message, remedy=found.remedy or remedy))


@check(
    "TS903",
    "an ONNX file is not newer than the server's ONNX Runtime",
    triton="onnx runtime error {n}: Load model from {path} failed:{text}Unsupported model IR version: {n}...",
)
def files_are_not_too_new(model: ModelCase) -> Iterator[Finding]:
    """Each ONNX Runtime reads IR versions up to its own, and fails the load of a newer one.

    Source: onnxruntime: core/graph/model.cc; versions from build.py on the server's release branches.
    """
    runtime = None if model.target.is_embedded else onnxruntime_of(model.target.release.name)
    for path, facts in _graphs(model) if runtime else ():
        if runtime and facts.ir_version > runtime.ir_version:
            said = f"{path} has IR version {facts.ir_version}; ONNX Runtime {runtime.version} of Triton"
            message = f"{said} {model.target.release.name} reads up to {runtime.ir_version}"
            remedy = f"export it with ir_version {runtime.ir_version}, or serve it with a newer release"
            yield _at(facts, model.error("", message, remedy=remedy))


@check("TS904", "an ONNX file's opset is one that the server's ONNX Runtime knows")
def opsets_are_known(model: ModelCase) -> Iterator[Finding]:
    """A newer opset is refused, or its newer operators are.

    Source: onnxruntime: docs/Versioning.md; versions from build.py on the server's release branches.
    """
    runtime = None if model.target.is_embedded else onnxruntime_of(model.target.release.name)
    for path, facts in _graphs(model) if runtime else ():
        if runtime and facts.opset > runtime.opset:
            message = f"{path} has opset {facts.opset}; ONNX Runtime {runtime.version} knows up to {runtime.opset}"
            remedy = f"export it with opset {runtime.opset}, or serve it with a newer release"
            yield _at(facts, model.warning("", message, remedy=remedy))


def onnx_files(model: ModelCase) -> Iterator[tuple[str, OnnxFacts | SpecError]]:
    """Yield path and content of the graph in each version that is loaded; a missing one is another rule's."""
    if model.config.backend == "onnxruntime":
        for version in model.versions:
            path = graph_path(model.model, model.config, version)
            found = model.case.onnx_file(model.model, path)
            if found is not None:
                yield path, found


def _graphs(model: ModelCase) -> Iterator[tuple[str, OnnxFacts]]:
    for path, found in onnx_files(model):
        if not isinstance(found, SpecError):
            yield path, found


def _at(facts: OnnxFacts, finding: Finding) -> Finding:
    return replace(finding, place=Place(str(facts.path)))
