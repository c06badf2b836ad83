"""What a Python model's `auto_complete_config` may do to its configuration, with Triton's own refusals.

Source: python_backend: src/resources/triton_python_backend_utils.py (class ModelConfig).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

# A tensor as a model adds it, or as the configuration has it.
Tensor = dict[str, Any]

_MUST_HAVE = ("name", "data_type", "dims")


class RefusalError(Exception):
    """Raised where Triton's method raises; `rule` says which of its messages it is."""

    def __init__(self, rule: str, message: str) -> None:
        super().__init__(message)
        self.rule = rule
        self.message = message


class PythonConfig:
    """The object that `auto_complete_config` is given; `as_dict` is what it may look at and what it changes."""

    def __init__(self, fields: dict[str, Any]) -> None:
        self.fields = fields

    def methods(self) -> Mapping[str, Callable[[Any], None]]:
        """Return the methods that take one argument, by name."""
        return {
            "set_max_batch_size": self.set_max_batch_size,
            "add_input": self.add_input,
            "add_output": self.add_output,
            "set_model_transaction_policy": self.set_model_transaction_policy,
        }

    def set_max_batch_size(self, size: Any) -> None:
        """Raise max_batch_size; a larger one that was written is a conflict."""
        written = self.fields["max_batch_size"]
        if not isinstance(size, int):
            raise TypeError
        if written > size:
            raise RefusalError("batch", f"max_batch_size is {written}; auto_complete_config sets {size}")
        self.fields["max_batch_size"] = size

    def set_dynamic_batching(self) -> None:
        """Set a dynamic batcher where there is no scheduler."""
        if "sequence_batching" in self.fields:
            raise RefusalError("scheduler", "sequence_batching is written; auto_complete_config sets dynamic_batching")
        self.fields.setdefault("dynamic_batching", {})

    def add_input(self, tensor: Any) -> None:
        """Add an input, or complete the one of its name."""
        self._add("input", tensor, (*_MUST_HAVE, "optional"))

    def add_output(self, tensor: Any) -> None:
        """Add an output, or complete the one of its name."""
        self._add("output", tensor, _MUST_HAVE)

    def set_model_transaction_policy(self, policy: Any) -> None:
        """Set whether the model is decoupled; another value that was written is a conflict."""
        if others := [key for key in policy.keys() if key != "decoupled"]:  # noqa: SIM118 - a list has no keys, and raises
            raise RefusalError("policy", f"'{others[0]}' is no property of the model transaction policy")
        if "decoupled" in policy:
            written = self.fields.setdefault("model_transaction_policy", {})
            if written.get("decoupled", policy["decoupled"]) != policy["decoupled"]:
                raise RefusalError("decoupled", f"decoupled is {written['decoupled']}; auto_complete_config changes it")
            written["decoupled"] = policy["decoupled"]

    def _add(self, kind: str, tensor: Tensor, properties: tuple[str, ...]) -> None:
        _require(kind, tensor, properties)
        for written in self.fields[kind]:
            if written["name"] == tensor["name"]:
                _agree(kind, written, tensor)
                written.update(tensor)
                return
        self.fields[kind].append(tensor)


def _require(kind: str, tensor: Tensor, properties: tuple[str, ...]) -> None:
    for key in tensor:
        if key not in properties:
            raise RefusalError(f"{kind} property", f"{kind} '{tensor['name']}' has a '{key}', which none has")
    if "name" not in tensor:
        raise RefusalError(f"{kind} name", f"an {kind} is added without a name")
    for key in _MUST_HAVE:
        if key not in tensor:
            raise RefusalError(f"{kind} lacks", f"{kind} '{tensor['name']}' is added without '{key}'")


def _agree(kind: str, written: Tensor, tensor: Tensor) -> None:
    name = tensor["name"]
    if written["data_type"] not in ("TYPE_INVALID", tensor["data_type"]):
        said = f"config.pbtxt says {written['data_type']} for {kind} '{name}', the model {tensor['data_type']}"
        raise RefusalError(f"{kind} type", said)
    if written["dims"] and written["dims"] != tensor["dims"]:
        raise RefusalError("dims", f"config.pbtxt says dims {written['dims']} for '{name}', the model {tensor['dims']}")
    if tensor.get("optional", written.get("optional")) != written.get("optional"):
        raise RefusalError("optional", f"config.pbtxt and the model differ on whether {kind} '{name}' is optional")
