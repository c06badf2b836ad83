"""Whether a Python model's execute can answer requests: what Triton looks at when the first one comes."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import replace

from tritonsmith.generator.checks.case import ModelCase
from tritonsmith.generator.checks.registry import check
from tritonsmith.generator.checks.rules.python.flow import (
    RAISE_SELDOM,
    Function,
    bound_arguments,
    certain_failure,
    in_short,
    is_plain,
    missing_arguments,
    own_nodes,
)
from tritonsmith.generator.checks.rules.python.source import in_file, methods_named, python_trees
from tritonsmith.generator.findings import Finding, Phase
from tritonsmith.generator.repository.complete_python import CLASS, method, model_class

_ASYNC_SINCE = "24.04"
_RAISE_FOR_ALL = f"{RAISE_SELDOM}; an error of one request goes into its response"


@check(
    "TS820",
    "a Python model has execute",
    triton="Python model {path} does not implement `execute` method.",
    phase=Phase.REQUEST,
)
def execute_exists(model: ModelCase) -> Iterator[Finding]:
    """It loads without, and every request fails.

    Source: python_backend: src/pb_stub.cc (ProcessRequests), triton-config rule 100.
    """
    for path, tree in python_trees(model):
        owner = model_class(tree)
        if owner and method(owner, "execute") is None and not _is_named(tree, "execute"):
            remedy = "def execute(self, requests), which returns one response for each request"
            yield in_file(model, path, owner, model.error("", f"{CLASS} has no execute", remedy=remedy))


@check("TS821", "execute returns the responses", phase=Phase.REQUEST)
def execute_returns(model: ModelCase) -> Iterator[Finding]:
    """Where a model that is not decoupled returns nothing, the request is never answered: its client waits for ever.

    With a warm-up the load itself never ends. Tried on 2.51.

    Source: python_backend: src/pb_stub.cc (ProcessRequests), README.md (execute).
    """
    if model.config.model_transaction_policy.decoupled:
        return
    for path, function in methods_named(model, "execute"):
        if not _returns(function) and is_plain(function) and not certain_failure(function.body):
            message = "execute returns nothing, so no request is ever answered"
            finding = model.error("", message, remedy="return a list with one InferenceResponse for each request")
            yield in_file(model, path, function, replace(finding, phase=Phase.HANG if _warms_up(model) else None))


@check("TS822", "execute takes one argument", phase=Phase.REQUEST)
def execute_takes_its_argument(model: ModelCase) -> Iterator[Finding]:
    """It is called as execute(requests); another signature fails each request.

    Source: python_backend: src/pb_stub.cc (ProcessRequests).
    """
    for path, function in methods_named(model, "execute"):
        brought = bound_arguments(function, 1)
        if brought is not None and missing_arguments(function, brought):
            finding = model.error("", "execute does not take one argument", remedy="def execute(self, requests)")
            yield in_file(model, path, function, finding)


@check(
    "TS823",
    "execute does not always raise",
    triton=(
        "Failed to process the request(s) for model '{name}', message: "
        "{error}: {text}\\n\\nAt:\\n  {file}({n}): execute..."
    ),
    phase=Phase.REQUEST,
)
def execute_does_not_raise(model: ModelCase) -> Iterator[Finding]:
    """Every request fails.

    Source: python_backend: src/pb_stub.cc (ProcessRequests).
    """
    for path, function in methods_named(model, "execute"):
        if (statement := certain_failure(function.body)) and is_plain(function):
            message = f"execute always fails: {in_short(statement)}"
            yield in_file(model, path, statement, model.error("", message, remedy=_RAISE_FOR_ALL))


@check(
    "TS826",
    "execute can answer the warm-up",
    triton="failed to run warmup sample '{name}': Failed to process the request(s) for model '{name}', message: ...",
    on=("model_warmup",),
)
def the_warm_up_is_answered(model: ModelCase) -> Iterator[Finding]:
    """The warm-up's requests are sent while the model is loaded: where execute fails, the load does.

    Where execute raises, the whole server may crash: tried on 2.51, it ended with signal 11 in one load of ten.

    Source: core: backend_model_instance.cc (WarmUp), triton-config rule 64.
    """
    findings = [*execute_exists(model), *execute_takes_its_argument(model)] if _warms_up(model) else []
    for finding in findings:
        yield replace(finding, message=f"{finding.message}, which the warm-up calls")
    for finding in execute_does_not_raise(model) if _warms_up(model) else ():
        yield replace(finding, message=f"{finding.message}, in the warm-up too", phase=Phase.CRASH)


@check("TS824", f"execute is a coroutine from {_ASYNC_SINCE} on only", phase=Phase.REQUEST)
def coroutines_are_awaited(model: ModelCase) -> Iterator[Finding]:
    """Before 24.04 nothing awaits what `async def execute` returns.

    Source: python_backend: README.md (Async Execute), release notes of 24.04.
    """
    if model.target.release.name < _ASYNC_SINCE:
        for path, function in methods_named(model, "execute"):
            if isinstance(function, ast.AsyncFunctionDef):
                message = f"Triton {model.target.release.name} does not await execute"
                remedy = f"write it as def execute, or serve it with {_ASYNC_SINCE} or newer"
                yield in_file(model, path, function, model.error("", message, remedy=remedy))


@check("TS825", "a decoupled model's execute returns nothing", phase=Phase.REQUEST)
def decoupled_models_return_nothing(model: ModelCase) -> Iterator[Finding]:
    """A decoupled model answers through each request's response sender; a returned list is an error.

    Triton's message: "is using the decoupled mode and the execute function must return None".

    Source: python_backend: src/pb_stub.cc (ProcessRequestsDecoupled).
    """
    if not model.config.model_transaction_policy.decoupled:
        return
    for path, function in methods_named(model, "execute"):
        last = function.body[-1]
        if is_plain(function) and isinstance(last, ast.Return) and isinstance(last.value, (ast.List, ast.ListComp)):
            remedy = "send what it returns with request.get_response_sender().send(...), and return None"
            finding = model.error("", "execute returns a list, and the model is decoupled", remedy=remedy)
            yield in_file(model, path, last, finding)


def _returns(function: Function) -> bool:
    return any(isinstance(node, ast.Return) and node.value is not None for node in own_nodes(function.body))


def _warms_up(model: ModelCase) -> bool:
    """Whether the load itself sends a request; Triton skips samples of no batch, and passive instances."""
    samples = any(sample.batch_size > 0 for sample in model.config.model_warmup)
    groups = model.config.instance_group
    return samples and (not groups or any(not group.passive for group in groups))


def _is_named(tree: ast.Module, name: str) -> bool:
    """Whether a module speaks of a name anywhere: it may give the class what its body lacks."""
    for node in ast.walk(tree):
        said = getattr(node, "attr", None), getattr(node, "id", None), getattr(node, "value", None)
        if name in [word for word in said if isinstance(word, str)] or "setattr" in said:
            return True
    return False
