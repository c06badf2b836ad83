"""A model made from a file: backend, inputs and outputs are read from it where its format says them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tritonsmith.generator.catalog.backends import BACKENDS, Backend, backend_of_file
from tritonsmith.generator.catalog.datatypes import DATATYPES
from tritonsmith.generator.errors import SpecError
from tritonsmith.generator.findings import Finding, Place, error
from tritonsmith.generator.inspect.onnx import OnnxFacts, OnnxTensor, read_onnx, shape_findings, triton_dims
from tritonsmith.generator.inspect.tensorrt import read_plan
from tritonsmith.generator.lower.facts import Facts, batch_limit, named_items, scheduler_tensors, text_of
from tritonsmith.generator.repository.core import File, SourceFile
from tritonsmith.generator.spec import tree
from tritonsmith.generator.spec.document import ModelSpec
from tritonsmith.generator.suggest import did_you_mean


def facts_of_file(model: ModelSpec, findings: list[Finding]) -> Facts | None:
    """Return what the model's files say; None where a finding makes the model impossible.

    A variant of the file must say the same; only the file itself is placed.
    """
    facts = _FileReader(model, findings).facts()
    if facts is not None:
        for name in model.variants:
            variant_facts(model, name, facts, findings)
    return facts


def variant_facts(model: ModelSpec, name: str, facts: Facts, findings: list[Finding]) -> Facts | None:
    """Return what a variant's file says, None where it cannot stand in for the model's, whose `facts` are given."""
    variant = model.variants[name]
    version = next(iter(model.file), 1)
    places = {**model.places, "file": variant.place}
    found: list[Finding] = []
    own = _FileReader(replace(model, file={version: variant.path}, variants={}, places=places), found).facts()
    key = f"models.{model.name}.variants.{name}"
    findings.extend(replace(finding, place=variant.place, key=key) for finding in found)
    if own is None:
        return None
    for what in ("backend", "input", "output"):
        if own.fields.get(what) != facts.fields.get(what):
            shown = "is for another backend" if what == "backend" else f"has other {what}s than the model's file"
            hint = "make another model of it"
            findings.append(error(f"'{variant.text}' {shown}", variant.place, key=key, remedy=hint))
            return None
    return own


@dataclass(frozen=True)
class _FileReader:
    """Reads the files of one model and compares them with what the spec says; every mistake becomes a finding."""

    model: ModelSpec
    findings: list[Finding]

    def facts(self) -> Facts | None:
        """Return what all the versions' files say together."""
        backend = self._backend()
        if backend is None:
            return None
        count = len(self.findings)
        name = text_of(self.model.fields, "default_model_filename") or backend.model_file
        files: dict[str, File] = {}
        fields: dict[str, Any] = {"backend": backend.name}
        for version, path in sorted(self.model.file.items()):
            files[f"{version}/{name}"] = SourceFile(path)
            read = self._read(backend, path)
            if read is not None:
                self._refuse_other_tensors(fields, read, version)
                fields.update(read.fields)
                files.update({f"{version}/{beside}": file for beside, file in read.files.items()})
        return Facts(fields, files) if len(self.findings) == count else None

    def _backend(self) -> Backend | None:
        """Return the backend that the spec names, or that the file's ending does."""
        named = text_of(self.model.fields, "backend")
        if named:
            return BACKENDS.get(named) or Backend(named, "model")
        path = next(iter(self.model.file.values()))
        backend = backend_of_file(path.name)
        if backend is None:
            endings = ", ".join(ending for row in BACKENDS.values() for ending in row.endings)
            self._error(f"the ending of '{path.name}' names no backend", hint=f"give `backend:`; known are {endings}")
        return backend

    def _read(self, backend: Backend, path: Path) -> Facts | None:
        try:
            if backend.name == "onnxruntime":
                return self._tensors(read_onnx(path))
            plan = read_plan(path) if backend.name == "tensorrt" else None
        except SpecError as problem:
            self._error(f"{problem.where}: {problem.message}", hint=problem.hint)
            return None
        if plan is not None:
            return self._tensors(plan.graph, plan.shape_tensors)
        for kind in ("input", "output"):
            if not named_items(self.model.fields, kind):
                why = "tensorrt is not installed here" if backend.name == "tensorrt" else "its format does not say them"
                hint = f"{kind}: [{{name: ..., data_type: TYPE_FP32, dims: [...]}}]"
                self._error(f"the {kind}s of '{path.name}' cannot be read ({why})", key=kind, hint=hint)
        return Facts()

    def _tensors(self, facts: OnnxFacts, shape_tensors: Collection[str] = ()) -> Facts:
        """Return inputs and outputs; those that the scheduler feeds and keeps are none of the configuration's."""
        kept_inputs, kept_outputs = scheduler_tensors(self.model.fields)
        given_inputs = named_items(self.model.fields, "input")
        given_outputs = named_items(self.model.fields, "output")
        overridden = [tensor for tensor in facts.overridable if tensor.name in given_inputs]
        inputs = [tensor for tensor in (*facts.inputs, *overridden) if tensor.name not in kept_inputs]
        outputs = [tensor for tensor in facts.outputs if tensor.name not in kept_outputs]
        with_dims = [name for name, item in {**given_inputs, **given_outputs}.items() if "dims" in item.entries]
        self._refuse_shapes(facts, overridden, [*with_dims, *kept_inputs, *kept_outputs], shape_tensors)
        self._compare("input", given_inputs, inputs)
        self._compare("output", given_outputs, outputs)
        self._require(kept_inputs, facts)
        optional = {tensor.name for tensor in overridden}  # they have a default in the graph
        fields = {
            "input": [self._item(tensor, shape_tensors, is_optional=tensor.name in optional) for tensor in inputs],
            "output": [self._item(tensor, shape_tensors) for tensor in outputs],
        }
        return Facts(fields, {name: SourceFile(facts.path.parent / name) for name in facts.external})

    def _refuse_shapes(
        self,
        facts: OnnxFacts,
        overridden: list[OnnxTensor],
        given: list[str],
        shape_tensors: Collection[str],
    ) -> None:
        judged = replace(
            facts,
            inputs=tuple(t for t in (*facts.inputs, *overridden) if t.name not in shape_tensors),
            outputs=tuple(t for t in facts.outputs if t.name not in shape_tensors),
        )
        for found in (*facts.findings, *shape_findings(judged, batch_limit(self.model.fields), given)):
            self._error(f"{facts.path.name}: {found.message}", hint=found.remedy)

    def _item(self, tensor: OnnxTensor, shape_tensors: Collection[str], *, is_optional: bool = False) -> dict[str, Any]:
        limit = batch_limit(self.model.fields)
        dims, is_scalar = triton_dims(tensor, limit)
        item: dict[str, Any] = {"name": tensor.name}
        if tensor.datatype is not None:
            item["data_type"] = tensor.datatype.name
        if tensor.shape is not None:
            item["dims"] = dims
        if is_scalar:
            item["reshape"] = {"shape": []}
        if is_optional:
            item["optional"] = True
        if tensor.name in shape_tensors:
            # its first value is the batch, so dims count one value less (server: model_configuration.md, Shape Tensors)
            item |= {"dims": [tensor.shape[0] - 1 if limit else tensor.shape[0]] if tensor.shape else [1]}
            item |= {"is_shape_tensor": True}
            item.pop("reshape", None)
        return item

    def _compare(self, kind: str, given: dict[str, tree.Mapping], tensors: list[OnnxTensor]) -> None:
        """Add a finding for what the spec says of a tensor and the file contradicts."""
        known = {tensor.name: tensor for tensor in tensors}
        for name, item in given.items():
            tensor = known.get(name)
            if tensor is None:
                message = f"the graph has no {kind} '{name}'.{did_you_mean(name, known)}"
                self._error(message, item.place, f"{kind}.{name}", f"it has {', '.join(known) or 'none'}")
                continue
            written = text_of(item, "data_type")
            if written in DATATYPES and tensor.datatype is not None and written != tensor.datatype.name:
                message = f"the graph says {tensor.datatype.name}, the spec {written}"
                self._error(message, item.place_of("data_type"), f"{kind}.{name}.data_type", "leave it out: it is read")
            dims, has_scalar = triton_dims(tensor, batch_limit(self.model.fields))
            if tensor.shape is not None and not has_scalar and not _is_narrower(_dims(item), dims):
                message = f"the graph says {dims}, the spec {_dims(item)}"
                hint = "leave it out: it is read; or give -1 a value"
                self._error(message, item.place_of("dims"), f"{kind}.{name}.dims", hint)

    def _require(self, kept: set[str], facts: OnnxFacts) -> None:
        known = [tensor.name for tensor in facts.inputs]
        place = self.model.fields.place_of("sequence_batching")
        for name in sorted(kept - set(known)):
            message = f"the scheduler feeds '{name}', which the graph has no input for.{did_you_mean(name, known)}"
            self._error(message, place, "sequence_batching", f"it has {', '.join(known) or 'none'}")

    def _refuse_other_tensors(self, before: dict[str, Any], read: Facts, version: int) -> None:
        """Add a finding where a version's inputs or outputs are not those of the versions before."""
        for kind in ("input", "output"):
            if kind in before and kind in read.fields and before[kind] != read.fields[kind]:
                message = f"version {version} has other {kind}s than the versions before"
                hint = "one configuration serves all versions: make another model of this one"
                self._error(message, key=f"file.{version}", hint=hint)

    def _error(self, message: str, place: Place | None = None, key: str = "file", hint: str = "") -> None:
        where = place or self.model.place_of("file")
        self.findings.append(error(message, where, key=f"models.{self.model.name}.{key}", remedy=hint))


def _dims(item: tree.Mapping) -> list[int] | None:
    """Return the shape that the model itself sees: reshape's, else dims; None where it is not given or no numbers."""
    reshape = item.entries.get("reshape")
    node = reshape.entries.get("shape") if isinstance(reshape, tree.Mapping) else item.entries.get("dims")
    if not isinstance(node, tree.Sequence):
        return None
    numbers = [part.whole_number for part in node.items if isinstance(part, tree.Scalar)]
    known = [number for number in numbers if number is not None]
    return known if len(known) == len(node.items) else None


def _is_narrower(given: list[int] | None, dims: list[int]) -> bool:
    """Whether the given dims are the graph's, or fix some of its dynamic axes."""
    if given is None:
        return True
    return len(given) == len(dims) and all(b in (-1, a) for a, b in zip(given, dims, strict=True))
