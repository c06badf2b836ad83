"""Whether each version's ONNX graph agrees with its configuration, rule for rule as Triton compares them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from tritonclient.grpc.model_config_pb2 import ModelConfig

from tritonsmith.generator.checks.case import ModelCase
from tritonsmith.generator.checks.registry import ModelRule, check
from tritonsmith.generator.checks.rules.onnx.files import onnx_files
from tritonsmith.generator.errors import RepositoryError, SpecError
from tritonsmith.generator.findings import Finding
from tritonsmith.generator.repository.complete import complete_fields, complete_from_graph, wants_graph

if TYPE_CHECKING:
    from tritonsmith.generator.checks.rules.onnx.signature import Mismatch
    from tritonsmith.generator.inspect.onnx import OnnxFacts

_UNABLE = "unable to load model '{name}', "
_TENSOR = "model '{name}', tensor '{name}': "
_EXPECTS = _TENSOR + "the model expects {n} dimensions (shape {shape}) but the model configuration specifies {n} "
_TYPES = _UNABLE + "configuration expects datatype {name} for %s '{name}', model provides {name}"
# What differs: the kind of the mismatch, its code, what holds when all is well, Triton's message, what to do.
_RULES = (
    (
        "count",
        "TS906",
        "a configuration has the inputs of its ONNX graph",
        _UNABLE + "configuration expects {n} inputs, model provides {n}",
        "list every input of the graph, or none",
    ),
    (
        "input name",
        "TS907",
        "inputs are called as in the ONNX graph",
        "unexpected inference input '{name}', allowed inputs are: {names}",
        "use the graph's name",
    ),
    (
        "output name",
        "TS908",
        "outputs are called as in the ONNX graph",
        "unexpected inference output '{name}', allowed outputs are: {names}",
        "use the graph's name",
    ),
    (
        "input type",
        "TS909",
        "inputs have the types of the ONNX graph",
        _TYPES % "input",
        "write the graph's type",
    ),
    (
        "output type",
        "TS910",
        "outputs have the types of the ONNX graph",
        _TYPES % "output",
        "write the graph's type",
    ),
    (
        "batch",
        "TS911",
        "the tensors of an ONNX model that batches have a dynamic first axis",
        (
            _TENSOR + "for the model to support batching the shape should have at least 1 dimension and the first "
            "dimension must be -1; but shape expected by the model is {shape}"
        ),
        "leave max_batch_size out, or export the model with a dynamic first axis",
    ),
    (
        "batched dims",
        "TS912",
        "dims are those of the ONNX graph after its first axis",
        (
            _EXPECTS + "dimensions (an initial batch dimension because max_batch_size > 0 followed by the explicit "
            "tensor shape, making complete shape {shape})"
        ),
        "write the graph's shape without its first axis",
    ),
    (
        "dims",
        "TS913",
        "dims are those of the ONNX graph",
        _EXPECTS + "dimensions (shape {shape})",
        "write the graph's shape, the first axis too",
    ),
    (
        "scalar",
        "TS914",
        "a scalar of the ONNX graph has dims of 1",
        (
            _UNABLE + "scalar tensor '{name}', should only provide 1 in the model configuration when the model doesn't "
            "support batching. Model configuration provided: {shape}."
        ),
        "write dims: [1]",
    ),
    (
        "optional",
        "TS915",
        "an ONNX model that batches has no optional inputs",
        _UNABLE + "optional input '{name}' is not supported for models that support batching",
        "leave max_batch_size out, or make the input a required one",
    ),
    (
        "ragged optional",
        "TS916",
        "a ragged input of an ONNX model is not optional",
        (
            _UNABLE + "configuration expects model provides input with shape [-1] for ragged input '{name}', "
            "which is not supported for optional input"
        ),
        "leave out one of the two",
    ),
    (
        "ragged",
        "TS917",
        "a ragged input of an ONNX model has the shape [-1]",
        (
            _UNABLE + "configuration expects model provides input with shape [-1]  for ragged input '{name}', "
            "model provides {shape}"
        ),
        "export the model with that input as one dynamic axis, to which requests are joined",
    ),
    (
        "control",
        "TS918",
        "an ONNX graph has the inputs of its sequence controls",
        "configuration specified sequence control '{name}', but model does not provide that input",
        "name an input of the graph, or leave the control out",
    ),
    (
        "control dims",
        "TS919",
        "a sequence control has the shape [1] in the ONNX graph",
        _UNABLE + "sequence control '{name}' in model has dims {shape} but dims [1] is expected",
        "export the model with that input as one value for each request",
    ),
    (
        "control type",
        "TS920",
        "a sequence control has the type that the ONNX graph has",
        (
            _UNABLE + "sequence control '{name}', the model expects data-type {name} but the model configuration "
            "specifies data-type {name}"
        ),
        "write the control of the graph's type",
    ),
)


def _rule(kind: str, remedy: str) -> ModelRule:
    def differ(model: ModelCase) -> Iterator[Finding]:
        if model.config.backend == "onnxruntime":
            for path, mismatch in model.once(_mismatches):
                if mismatch.kind == kind:
                    yield model.error(mismatch.path, f"{path}: {mismatch.message}", remedy=remedy)

    differ.__doc__ = """The backend compares each version's graph with the configuration, and fails the load.

    Source: onnxruntime_backend: src/onnxruntime.cc (ValidateInputs, ValidateOutputs, Validate*SequenceControl),
    src/onnxruntime_utils.cc (CompareDimsSupported).
    """
    return differ


for _kind, _code, _title, _message, _remedy in _RULES:
    check(_code, _title, triton=_message)(_rule(_kind, _remedy))


@check(
    "TS905",
    "an ONNX graph that completes a configuration with max_batch_size can batch",
    triton=(
        "autofill failed for model '{name}': model does not support batching while non-zero max_batch_size is specified"
    ),
)
def graphs_batch_where_they_complete(model: ModelCase) -> Iterator[Finding]:
    """Where inputs or outputs are left to auto-complete, max_batch_size asks for a dynamic first axis in all of them.

    Source: onnxruntime_backend: src/onnxruntime.cc (ModelState::AutoCompleteMaxBatch).
    """
    if model.config.backend == "onnxruntime" and _is_left_to_graph(model):
        size = complete_fields(model.model).max_batch_size
        for path, facts in _whole_graphs(model):
            if size > 0 and not facts.is_batchable:
                message = f"max_batch_size is {size}, and not every tensor of {path} has a dynamic first axis"
                remedy = "leave max_batch_size out, or export the model with dynamic first axes"
                yield model.error("max_batch_size", message, remedy=remedy)


def _mismatches(model: ModelCase) -> list[tuple[str, Mismatch]]:
    """Return where each version's graph differs from the configuration, with the graph's path."""
    signatures = list(_signatures(model))
    if not signatures:
        return []
    from tritonsmith.generator.checks.rules.onnx.signature import (
        mismatches,  # imports onnx, which few repositories need
    )

    return [(path, found) for path, config, facts in signatures for found in mismatches(config, facts)]


def _signatures(model: ModelCase) -> Iterator[tuple[str, ModelConfig, OnnxFacts]]:
    """Yield path, configuration and graph of each version; what is left to the graph each version's own completes."""
    for path, facts in _whole_graphs(model):
        config = model.config
        if _is_left_to_graph(model):
            config = complete_fields(model.model)
            try:
                complete_from_graph(config, facts)
            except RepositoryError:
                continue
        yield path, config, facts


def _whole_graphs(model: ModelCase) -> Iterator[tuple[str, OnnxFacts]]:
    for path, found in onnx_files(model):
        if not isinstance(found, SpecError) and not found.findings:
            yield path, found


def _is_left_to_graph(model: ModelCase) -> bool:
    return model.target.is_auto_complete and wants_graph(complete_fields(model.model))
