"""Whether models that call others (BLS) find them and come to an end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from typing import TYPE_CHECKING

from tritonsmith.generator.checks.case import Case, ModelCase
from tritonsmith.generator.checks.registry import check, check_case
from tritonsmith.generator.checks.rules.ensembles.configuration import steps_of
from tritonsmith.generator.checks.rules.python.source import in_file, python_sources
from tritonsmith.generator.findings import Finding
from tritonsmith.generator.suggest import did_you_mean

if TYPE_CHECKING:
    import ast

_REQUEST = "InferenceRequest"
_ON = ("backend",)


@dataclass(frozen=True)
class Call:
    """A request to another model in a Python model's file, which says the model's name there or as a constant."""

    callee: str
    path: str
    node: ast.Call


@check("TS651", "a model that is called is in the repository", on=_ON)
def callees_exist(model: ModelCase) -> Iterator[Finding]:
    """Nothing looks at this when a model is loaded: the first request that gets there fails.

    Source: python_backend: README.md (Business Logic Scripting).
    """
    models = model.case.repository.models
    for call in calls_in(model):
        if call.callee not in models:
            message = f"the model calls '{call.callee}', which the repository does not hold."
            found = model.warning("", f"{message}{did_you_mean(call.callee, models)}", remedy=f"add {call.callee}/")
            yield in_file(model, call.path, call.node, found)


@check_case("TS652", "models do not call one another in a circle")
def calls_end(case: Case) -> Iterator[Finding]:
    """A model that waits for its own instance, though through others, waits for ever.

    Source: python_backend: README.md (Limitation of BLS).
    """
    calls = calls_of(case)
    if not calls:
        return
    steps = {
        model.name: [step.model_name for _, step in steps_of(model)] for model in case.models() if model.is_ensemble
    }
    try:
        TopologicalSorter({**steps, **calls}).prepare()
    except CycleError as problem:
        cycle: list[str] = problem.args[1][::-1]
        caller = next((name for name, callee in pairwise(cycle) if callee in calls.get(name, ())), None)
        if caller is None or caller not in case.repository.models:
            return  # a circle of ensembles alone is refused by Triton itself
        start = cycle.index(caller)
        way = " -> ".join([*cycle[start:-1], *cycle[: start + 1]])
        message = f"models call one another in a circle: {way}"
        hint = "break the circle, or make sure that no call of it waits for an instance that waits for it"
        model = case.by_name.get(caller)
        if model is not None:
            yield model.warning("", message, remedy=hint)


@check("TS653", "a decoupled model is called as one", on=_ON)
def streams_are_asked_for(model: ModelCase) -> Iterator[Finding]:
    """exec() gives one response; of a decoupled model exec(decoupled=True) gives them one after another.

    Source: python_backend: request_executor.cc (RequestExecutor::Infer).
    """
    for call in calls_in(model):
        if call.callee in model.case.decoupled:
            if b"decoupled" in b"".join(source.source for _, source in python_sources(model)):
                return
            message = f"the model calls '{call.callee}', which is decoupled, without saying decoupled=True"
            found = model.warning("", message, remedy="exec(decoupled=True), and go through the responses")
            yield in_file(model, call.path, call.node, found)


def calls_in(model: ModelCase) -> Iterator[Call]:
    """Yield the calls that a Python model's files write where the callee's name is known; no other model has any."""
    yield from model.once(_calls_in) if model.config.backend == "python" else ()


def _calls_in(model: ModelCase) -> list[Call]:
    sources = [(path, source) for path, source in python_sources(model) if _REQUEST.encode() in source.source]
    return [call for path, source in sources if source.tree is not None for call in _requests(path, source.tree)]


def _requests(path: str, tree: ast.Module) -> Iterator[Call]:
    import ast

    constants: dict[str, str] | None = None
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        for given in node.keywords if name == _REQUEST else ():
            if given.arg != "model_name":
                continue
            if isinstance(given.value, ast.Name):
                constants = _constants(tree) if constants is None else constants
                callee: object = constants.get(given.value.id)
            else:
                callee = given.value.value if isinstance(given.value, ast.Constant) else None
            if isinstance(callee, str):
                yield Call(callee, path, node)


def _constants(tree: ast.Module) -> dict[str, str]:
    """Return the texts that a module gives to names of its own, where nothing else in it is called so."""
    import ast

    texts: dict[str, str] = {}
    for node in tree.body:
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        value = node.value if isinstance(node, (ast.Assign, ast.AnnAssign)) else None
        if isinstance(value, ast.Constant) and isinstance(value.value, str):
            texts |= {target.id: value.value for target in targets if isinstance(target, ast.Name)}
    made = Counter(name for node in ast.walk(tree) for name in _names_made(node)) if texts else Counter[str]()
    return {name: text for name, text in texts.items() if made[name] == 1}


def _names_made(node: ast.AST) -> Iterator[str]:
    """Yield the names that a node gives something to, in whatever scope."""
    import ast

    if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
        yield node.id
    elif isinstance(node, ast.arg):
        yield node.arg
    elif isinstance(node, ast.alias):
        yield node.asname or node.name
    elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        yield node.name


def calls_of(case: Case) -> dict[str, list[str]]:
    """Return which models each model calls: as the spec says, and as the files of Python models do."""
    said = case.repository.settings.get("calls", {})
    given = said.items() if isinstance(said, dict) else ()  # of a lock, which anybody may have edited
    calls = {name: [str(one) for one in callees] for name, callees in given if isinstance(callees, list)}
    for model in case.models():
        for call in calls_in(model) if model.config.backend == "python" else ():
            calls.setdefault(model.name, []).append(call.callee)
    return calls
