"""What lowering knows of a model before the spec's fields are laid over it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tritonsmith.generator.findings import Place
from tritonsmith.generator.repository.core import File
from tritonsmith.generator.spec import tree
from tritonsmith.generator.wiring import Tensor


@dataclass(frozen=True)
class Facts:
    """The lowest layer of a model: ModelConfig fields as plain data, and its files by path in the model's folder.

    `tensors` are an ensemble's, as its steps have them; `origins` say where what was made of other keys was written.
    """

    fields: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, File] = field(default_factory=dict)
    tensors: Mapping[str, Tensor] = field(default_factory=dict)
    origins: Mapping[str, Place] = field(default_factory=dict)


def text_of(fields: tree.Mapping, name: str) -> str:
    """Return a scalar field's text, empty where it is not given."""
    node = fields.entries.get(name)
    return node.text if isinstance(node, tree.Scalar) and not node.is_null else ""


def batch_limit(fields: tree.Mapping) -> int:
    """Return max_batch_size as the spec gives it; absent or not a number is 0, as in Triton."""
    node = fields.entries.get("max_batch_size")
    return (node.whole_number if isinstance(node, tree.Scalar) else None) or 0


def named_items(fields: tree.Mapping, name: str, key: str = "name") -> dict[str, tree.Mapping]:
    """Return the items of a list field by their name."""
    node = fields.entries.get(name)
    items = node.items if isinstance(node, tree.Sequence) else []
    return {text_of(item, key): item for item in items if isinstance(item, tree.Mapping) and text_of(item, key)}


def scheduler_tensors(fields: tree.Mapping) -> tuple[set[str], set[str]]:
    """Return the inputs and outputs of a model that its scheduler feeds and keeps: controls and states."""
    sequence = fields.entries.get("sequence_batching")
    inputs: set[str] = set()
    outputs: set[str] = set()
    if isinstance(sequence, tree.Mapping):
        states = named_items(sequence, "state", "input_name")
        inputs |= set(named_items(sequence, "control_input")) | set(states)
        outputs |= {text_of(state, "output_name") for state in states.values()}
    batch = fields.entries.get("batch_input")
    for item in batch.items if isinstance(batch, tree.Sequence) else []:
        targets = item.entries.get("target_name") if isinstance(item, tree.Mapping) else None
        if isinstance(targets, tree.Sequence):
            inputs |= {target.text for target in targets.items if isinstance(target, tree.Scalar)}
    return inputs, outputs
