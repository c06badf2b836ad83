"""Whether what a Python model's auto_complete_config does agrees with its configuration."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import replace

from tritonsmith.generator.checks.case import ModelCase
from tritonsmith.generator.checks.registry import ModelRule, check
from tritonsmith.generator.checks.rules.python.flow import (
    RAISE_SELDOM,
    Function,
    bound_arguments,
    certain_failure,
    in_short,
    missing_arguments,
    own_nodes,
)
from tritonsmith.generator.checks.rules.python.source import in_file, methods_named, place_in, python_sources
from tritonsmith.generator.findings import Finding
from tritonsmith.generator.repository.complete_python import FUNCTION

_SAYS = "in auto-complete-config function for model '{name}'"
_REMEDY = "let config.pbtxt and the model say the same, or leave it out of config.pbtxt"
# What the function's own calls are refused for: the rule, its code, what holds when all is well, Triton's message.
_REFUSALS = (
    (
        "batch",
        "TS843",
        "auto_complete_config does not lower max_batch_size",
        "ValueError: configuration specified max_batch_size {n}, but " + _SAYS + " specified max_batch_size {n}",
    ),
    (
        "scheduler",
        "TS844",
        "auto_complete_config sets no second scheduler",
        (
            "ValueError: Configuration specified scheduling_choice as '{name}', but auto-complete-config function for "
            "model '{name}' tries to set scheduling_choice as 'dynamic_batching'"
        ),
    ),
    (
        "input property",
        "TS845",
        "auto_complete_config gives inputs only the properties that they have",
        "ValueError: input '{name}' "
        + _SAYS
        + " contains property other than 'name', 'data_type', 'dims' and 'optional'.",
    ),
    (
        "output property",
        "TS846",
        "auto_complete_config gives outputs only the properties that they have",
        "ValueError: output '{name}' " + _SAYS + " contains property other than 'name', 'data_type' and 'dims'.",
    ),
    (
        "input name",
        "TS847",
        "auto_complete_config names its inputs",
        "ValueError: input " + _SAYS + " is missing 'name' property.",
    ),
    (
        "output name",
        "TS848",
        "auto_complete_config names its outputs",
        "ValueError: output " + _SAYS + " is missing 'name' property.",
    ),
    (
        "input lacks",
        "TS849",
        "auto_complete_config gives inputs a type and dims",
        "ValueError: input '{name}' " + _SAYS + " is missing '{name}' property.",
    ),
    (
        "output lacks",
        "TS850",
        "auto_complete_config gives outputs a type and dims",
        "ValueError: output '{name}' " + _SAYS + " is missing '{name}' property.",
    ),
    (
        "input type",
        "TS851",
        "auto_complete_config and the configuration agree on the types of inputs",
        (
            "ValueError: unable to load model '{name}', configuration expects datatype {name} for input '{name}', "
            "model provides {name}"
        ),
    ),
    (
        "output type",
        "TS852",
        "auto_complete_config and the configuration agree on the types of outputs",
        (
            "ValueError: unable to load model '{name}', configuration expects datatype {name} for output '{name}', "
            "model provides {name}"
        ),
    ),
    (
        "dims",
        "TS853",
        "auto_complete_config and the configuration agree on dims",
        (
            "ValueError: model '{name}', tensor '{name}': the model expects dims {name} but the model configuration "
            "specifies dims {name}"
        ),
    ),
    (
        "optional",
        "TS854",
        "auto_complete_config and the configuration agree on which inputs are optional",
        (
            "ValueError: model '{name}', tensor '{name}': the model expects optional {name} "
            "but the model configuration specifies optional {name}"
        ),
    ),
    (
        "policy",
        "TS855",
        "auto_complete_config sets only decoupled in the transaction policy",
        "ValueError: model transaction property " + _SAYS + " contains property other than 'decoupled'.",
    ),
    (
        "decoupled",
        "TS856",
        "auto_complete_config does not change decoupled",
        (
            "ValueError: trying to change decoupled property in auto-complete-config for model '{name}', "
            "which is already set to '{name}'."
        ),
    ),
)


def _rule(reason: str) -> ModelRule:
    def refused(model: ModelCase) -> Iterator[Finding]:
        refusal = model.completion.refusal
        if refusal is not None and refusal.rule == reason:
            path = python_sources(model)[-1][0]
            finding = model.error("", refusal.message, remedy=_REMEDY)
            yield replace(finding, place=place_in(model, path, refusal.line))

    refused.__doc__ = """The function is run when the model is loaded, and what it raises fails the load.

    It is followed here without being run, as far as its statements are literal.

    Source: python_backend: src/resources/triton_python_backend_utils.py (ModelConfig), triton-config B3.
    """
    return refused


for _reason, _code, _title, _message in _REFUSALS:
    check(_code, _title, triton=_message)(_rule(_reason))


@check(
    "TS840",
    "auto_complete_config returns the configuration",
    triton="auto_complete_config function in model '{name}' must return a valid pb.ModelConfig object.",
)
def the_configuration_is_returned(model: ModelCase) -> Iterator[Finding]:
    """A function that forgets its return statement fails the load.

    Source: python_backend: src/pb_stub.cc (AutoCompleteModelConfig).
    """
    for path, function in _functions(model):
        returns = [
            node for node in own_nodes(function.body) if isinstance(node, (ast.Return, ast.Yield, ast.YieldFrom))
        ]
        never = not any(isinstance(node, (ast.Yield, ast.YieldFrom)) or node.value for node in returns)
        refusal = model.completion.refusal
        if (never and not certain_failure(function.body)) or (refusal is not None and refusal.rule == "return"):
            message = f"{FUNCTION} does not return the configuration that it is given"
            yield in_file(model, path, function, model.error("", message, remedy="end it with: return config"))


@check(
    "TS841",
    "auto_complete_config takes one argument",
    triton="TypeError: TritonPythonModel.auto_complete_config() missing {n} required positional {text}",
)
def the_argument_is_taken(model: ModelCase) -> Iterator[Finding]:
    """It is called on the class, with the configuration alone: without @staticmethod, self takes its place.

    Source: python_backend: src/pb_stub.cc (AutoCompleteModelConfig).
    """
    for path, function in _functions(model):
        brought = bound_arguments(function, 1, is_on_class=True)
        if brought is not None and missing_arguments(function, brought) > 0:
            message = f"{FUNCTION} needs more than the configuration, which is all it is given"
            remedy = "write it as @staticmethod def auto_complete_config(config)"
            yield in_file(model, path, function, model.error("", message, remedy=remedy))


@check(
    "TS842",
    "auto_complete_config does not always raise",
    triton="{error}: {text}\\n\\nAt:\\n  {file}({n}): auto_complete_config...",
)
def completion_does_not_raise(model: ModelCase) -> Iterator[Finding]:
    """What it raises, the load fails with.

    Source: python_backend: src/pb_stub.cc (AutoCompleteModelConfig).
    """
    for path, function in _functions(model):
        if statement := certain_failure(function.body):
            message = f"{FUNCTION} always fails: {in_short(statement)}"
            yield in_file(model, path, statement, model.error("", message, remedy=RAISE_SELDOM))


@check("TS857", "the types that auto_complete_config gives are Triton's")
def types_are_tritons(model: ModelCase) -> Iterator[Finding]:
    """Where one is not (FP32 for TYPE_FP32), the server drops all that the function has set, and loads the model.

    It then has no inputs and outputs, and no request can be made. Tried on 2.51.

    Source: core: backend_model.cc (UpdateModelConfig), python_backend: src/python_be.cc (SetModelConfig).
    """
    refusal = model.completion.refusal
    if refusal is not None and refusal.rule == "data type":
        finding = model.warning("", f"{refusal.message}, so Triton drops all that it sets", remedy="as in TYPE_FP32")
        yield replace(finding, place=place_in(model, python_sources(model)[-1][0], refusal.line))


def _functions(model: ModelCase) -> Iterator[tuple[str, Function]]:
    """Yield auto_complete_config of each version that is loaded; none where the server does not ask."""
    if model.target.is_auto_complete:
        yield from methods_named(model, FUNCTION)
