"""Complete a Python model's configuration as its `auto_complete_config` will, as far as its file tells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from google.protobuf import json_format
from tritonclient.grpc.model_config_pb2 import DataType, ModelConfig

from tritonsmith.generator.inspect.python_config import PythonConfig

if TYPE_CHECKING:
    import ast

    from tritonsmith.generator.inspect.auto_complete import Refusal

CLASS = "TritonPythonModel"
FUNCTION = "auto_complete_config"


class OpenCompletionError(Exception):
    """Raised where only the server can tell what a model will add to its configuration."""


def complete_python(config: ModelConfig, tree: ast.Module) -> Refusal | None:
    """Complete `config` in place; return why the function's own calls are refused, if they are.

    Raises: OpenCompletionError.

    Source: core: backend_model.cc (UpdateModelConfig): max_batch_size, tensors, a scheduler where there is none, and
    whether it is decoupled are taken over.
    """
    from tritonsmith.generator.inspect.auto_complete import OpenError, constants_of, follow

    function = _function(tree)
    if function is None:
        return None
    said = PythonConfig(_as_triton_says(config))
    try:
        refusal = follow(function, constants_of(tree), said)
        if refusal is None:
            refusal = _unknown_type(said.fields, function.lineno)
        if refusal is None:
            _take_over(config, said.fields)
    except (OpenError, KeyError, TypeError, ValueError) as problem:
        raise OpenCompletionError from problem
    return refusal


def model_class(tree: ast.Module) -> ast.ClassDef | None:
    """Return the class that Triton makes its instances of, where the module's own statements define it whole.

    None where it is imported, made in a condition, derived, decorated, or there is none.
    """
    import ast

    found = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == CLASS]
    if not found or found[-1].decorator_list or found[-1].keywords:
        return None
    bases = [base for base in found[-1].bases if not (isinstance(base, ast.Name) and base.id == "object")]
    return None if bases else found[-1]


def method(owner: ast.ClassDef, name: str) -> ast.FunctionDef | ast.AsyncFunctionDef | None:
    """Return the method of a class that its last definition gives it."""
    import ast

    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    found = [node for node in owner.body if isinstance(node, functions) and node.name == name]
    return found[-1] if found else None


def _function(tree: ast.Module) -> ast.FunctionDef | None:
    """Return auto_complete_config, None where the model has none.

    Raises: OpenCompletionError where it cannot be told, or is no plain static method of one argument.
    """
    import ast

    owner = model_class(tree)
    if owner is None:
        raise OpenCompletionError
    function = method(owner, FUNCTION)
    if function is None:
        if any(FUNCTION in ast.dump(node) for node in owner.body if not isinstance(node, ast.FunctionDef)):
            raise OpenCompletionError
        return None
    plain = [ast.unparse(decorator) for decorator in function.decorator_list]
    arguments = function.args
    others = arguments.posonlyargs or arguments.kwonlyargs or arguments.vararg or arguments.kwarg
    if not isinstance(function, ast.FunctionDef) or others or plain not in ([], ["staticmethod"], ["classmethod"]):
        raise OpenCompletionError
    if len(arguments.args) != (2 if plain == ["classmethod"] else 1):
        raise OpenCompletionError
    return function


def _as_triton_says(config: ModelConfig) -> dict[str, Any]:
    """Return the configuration as the function sees it: every field, absent messages left out."""
    fields: dict[str, Any] = json_format.MessageToDict(
        config, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    for tensor in (*fields["input"], *fields["output"]):
        tensor["dims"] = [int(dim) for dim in tensor["dims"]]
    return fields


def _unknown_type(fields: dict[str, Any], line: int) -> Refusal | None:
    """Return what makes the server drop, without a word, all that the function has set."""
    from tritonsmith.generator.inspect.auto_complete import Refusal

    for kind in ("input", "output"):
        for tensor in fields[kind]:
            if tensor["data_type"] not in DataType.keys():  # noqa: SIM118 - an enum wrapper, no dict
                message = f"auto_complete_config gives {kind} '{tensor['name']}' the data_type {tensor['data_type']!r}"
                return Refusal("data type", message, line)
    return None


def _take_over(config: ModelConfig, fields: dict[str, Any]) -> None:
    config.max_batch_size = fields["max_batch_size"]
    for kind in ("input", "output"):
        items = getattr(config, kind)
        known = {item.name: item for item in items}
        for tensor in fields[kind]:
            item = known.get(tensor["name"]) or items.add(name=tensor["name"])
            item.data_type = DataType.Value(tensor["data_type"])
            item.dims[:] = tensor["dims"]
            if tensor.get("optional"):
                item.optional = True
    if config.WhichOneof("scheduling_choice") is None and "dynamic_batching" in fields:
        config.dynamic_batching.SetInParent()
    if "model_transaction_policy" in fields:
        config.model_transaction_policy.decoupled = fields["model_transaction_policy"].get("decoupled", False)
