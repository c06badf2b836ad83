"""A model made from a file: backend, inputs and outputs are read from it where its format says them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from tritonsmith.generator.catalog.backends import BACKENDS, Backend, backend_of_file
from tritonsmith.generator.catalog.datatypes import DATATYPES
from tritonsmith.generator.errors import SpecError
from tritonsmith.generator.findings import Finding, error
from tritonsmith.generator.inspect.onnx import OnnxFacts, OnnxTensor, read_onnx, shape_findings, triton_dims
from tritonsmith.generator.inspect.tensorrt import PlanTensor, read_plan
from tritonsmith.generator.lower.facts import Facts, batch_limit, named_items, scheduler_tensors, text_of
from tritonsmith.generator.repository.core import File, SourceFile
from tritonsmith.generator.spec import tree
from tritonsmith.generator.spec.document import ModelSpec
from tritonsmith.generator.suggest import did_you_mean


def facts_of_file(model: ModelSpec, findings: list[Finding]) -> Facts | None:
    """Return what the model's files say; None where a finding makes the model impossible."""
    backend = _backend(model, findings)
    if backend is None:
        return None
    count = len(findings)
    name = text_of(model.fields, "default_model_filename") or backend.model_file
    files: dict[str, File] = {}
    fields: dict[str, Any] = {"backend": backend.name}
    for version, path in sorted(model.file.items()):
        files[f"{version}/{name}"] = SourceFile(path)
        if path.is_file():
            read = _read(backend, model, path, findings)
            if read is not None:
                _refuse_other_tensors(model, fields, read, version, findings)
                fields.update(read.fields)
                files.update({f"{version}/{beside}": file for beside, file in read.files.items()})
    return Facts(fields, files) if len(findings) == count else None


def _backend(model: ModelSpec, findings: list[Finding]) -> Backend | None:
    """Return the backend that the spec names, or that the file's ending does."""
    key = f"models.{model.name}.file"
    named = text_of(model.fields, "backend")
    if named:
        return BACKENDS.get(named) or Backend(named, "model")
    path = next(iter(model.file.values()))
    backend = backend_of_file(path.name)
    if backend is None:
        endings = ", ".join(ending for row in BACKENDS.values() for ending in row.endings)
        message = f"the ending of '{path.name}' names no backend"
        findings.append(error(message, model.place_of("file"), key=key, remedy=f"give `backend:`; known are {endings}"))
    return backend


def _read(backend: Backend, model: ModelSpec, path: Path, findings: list[Finding]) -> Facts | None:
    if backend.name == "onnxruntime":
        return _read_onnx(model, path, findings)
    try:
        tensors = read_plan(path) if backend.name == "tensorrt" else None
    except SpecError as problem:
        findings.append(_unreadable(model, problem))
        return None
    if tensors is not None:
        return Facts(_plan_fields(tensors, batch_limit(model.fields)))
    for kind in ("input", "output"):
        if not named_items(model.fields, kind):
            why = "tensorrt is not installed here" if backend.name == "tensorrt" else "its format does not say them"
            message = f"the {kind}s of '{path.name}' cannot be read ({why})"
            hint = f"{kind}: [{{name: ..., data_type: TYPE_FP32, dims: [...]}}]"
            findings.append(error(message, model.place_of("file"), key=f"models.{model.name}.{kind}", remedy=hint))
    return Facts()


def _read_onnx(model: ModelSpec, path: Path, findings: list[Finding]) -> Facts | None:
    key = f"models.{model.name}.file"
    place = model.place_of("file")
    try:
        facts = read_onnx(path)
    except SpecError as problem:
        findings.append(_unreadable(model, problem))
        return None
    kept_inputs, kept_outputs = scheduler_tensors(model.fields)
    given_inputs = named_items(model.fields, "input")
    given_outputs = named_items(model.fields, "output")
    overridden = [tensor for tensor in facts.overridable if tensor.name in given_inputs]
    inputs = [tensor for tensor in (*facts.inputs, *overridden) if tensor.name not in kept_inputs]
    outputs = [tensor for tensor in facts.outputs if tensor.name not in kept_outputs]
    limit = batch_limit(model.fields)
    fed = replace(facts, inputs=(*facts.inputs, *overridden))
    with_dims = [name for name, item in {**given_inputs, **given_outputs}.items() if "dims" in item.entries]
    findings.extend(
        error(f"{path.name}: {found.message}", place, key=key, remedy=found.remedy)
        for found in (*facts.findings, *shape_findings(fed, limit, [*with_dims, *kept_inputs, *kept_outputs]))
    )
    _compare(model, "input", given_inputs, inputs, limit, findings)
    _compare(model, "output", given_outputs, outputs, limit, findings)
    _require(model, kept_inputs, facts, findings)
    optional = {tensor.name for tensor in overridden}
    fields = {
        "input": [_onnx_item(tensor, limit, tensor.name in optional) for tensor in inputs],
        "output": [_onnx_item(tensor, limit, is_optional=False) for tensor in outputs],
    }
    return Facts(fields, {name: SourceFile(path.parent / name) for name in facts.external})


def _unreadable(model: ModelSpec, problem: SpecError) -> Finding:
    message = f"{problem.where}: {problem.message}"
    return error(message, model.place_of("file"), key=f"models.{model.name}.file", remedy=problem.hint)


def _onnx_item(tensor: OnnxTensor, limit: int, is_optional: bool) -> dict[str, Any]:
    dims, is_scalar = triton_dims(tensor, limit)
    item: dict[str, Any] = {"name": tensor.name}
    if tensor.datatype is not None:
        item["data_type"] = tensor.datatype.name
    if tensor.shape is not None:
        item["dims"] = dims
    if is_scalar:
        item["reshape"] = {"shape": []}
    if is_optional:  # it has a default in the graph
        item["optional"] = True
    return item


def _compare(
    model: ModelSpec,
    kind: str,
    given: dict[str, tree.Mapping],
    tensors: Iterable[OnnxTensor],
    limit: int,
    findings: list[Finding],
) -> None:
    """Add a finding for what the spec says of a tensor and the graph contradicts."""
    known = {tensor.name: tensor for tensor in tensors}
    for name, item in given.items():
        key = f"models.{model.name}.{kind}.{name}"
        tensor = known.get(name)
        if tensor is None:
            message = f"the graph has no {kind} '{name}'.{did_you_mean(name, known)}"
            findings.append(error(message, item.place, key=key, remedy=f"it has {', '.join(known) or 'none'}"))
            continue
        written = text_of(item, "data_type")
        if written in DATATYPES and tensor.datatype is not None and written != tensor.datatype.name:
            message = f"the graph says {tensor.datatype.name}, the spec {written}"
            findings.append(error(message, item.place_of("data_type"), key=f"{key}.data_type"))
        dims, has_scalar = triton_dims(tensor, limit)
        if tensor.shape is not None and not has_scalar and not _is_narrower(_dims(item), dims):
            message = f"the graph says {dims}, the spec {_dims(item)}"
            findings.append(error(message, item.place_of("dims"), key=f"{key}.dims"))


def _dims(item: tree.Mapping) -> list[int] | None:
    """Return the shape that the model itself sees: reshape's, else dims; None where it is not given or no numbers."""
    reshape = item.entries.get("reshape")
    node = reshape.entries.get("shape") if isinstance(reshape, tree.Mapping) else item.entries.get("dims")
    texts = [n.text for n in node.items if isinstance(n, tree.Scalar)] if isinstance(node, tree.Sequence) else None
    if texts is None or not all(text.lstrip("-").isdecimal() for text in texts):
        return None
    return [int(text) for text in texts]


def _is_narrower(given: list[int] | None, dims: list[int]) -> bool:
    """Whether the given dims are the graph's, or fix some of its dynamic axes."""
    if given is None:
        return True
    return len(given) == len(dims) and all(b in (-1, a) for a, b in zip(given, dims, strict=True))


def _require(model: ModelSpec, kept: set[str], facts: OnnxFacts, findings: list[Finding]) -> None:
    known = [tensor.name for tensor in facts.inputs]
    for name in sorted(kept - set(known)):
        message = f"the scheduler feeds '{name}', which the graph has no input for.{did_you_mean(name, known)}"
        findings.append(error(message, model.place, key=f"models.{model.name}.sequence_batching"))


def _refuse_other_tensors(
    model: ModelSpec, before: dict[str, Any], read: Facts, version: int, findings: list[Finding]
) -> None:
    """Add a finding where a version's inputs or outputs are not those of the versions before."""
    for kind in ("input", "output"):
        if kind in before and kind in read.fields and before[kind] != read.fields[kind]:
            message = f"version {version} has other {kind}s than the versions before; one configuration serves them all"
            findings.append(error(message, model.place_of("file"), key=f"models.{model.name}.file.{version}"))


def _plan_fields(tensors: list[PlanTensor], limit: int) -> dict[str, Any]:
    fields: dict[str, Any] = {"input": [], "output": []}
    for tensor in tensors:
        dims = list(tensor.shape)[1 if limit > 0 else 0 :]
        item = {"name": tensor.name, "data_type": tensor.data_type, "dims": dims}
        fields["input" if tensor.is_input else "output"].append(item)
    return fields
