"""Patches of a kustomization, applied to a tree: strategic merges and JSON patches. Every value keeps its own place.

Source: kubernetes: staging/src/k8s.io/api (patchMergeKey), RFC 6902; kustomize merges lists of unknown kinds whole.
"""

from __future__ import annotations

from tritonsmith.generator.checks.manifests.nodes import at, items_at, text_at
from tritonsmith.generator.spec.tree import Mapping, Node, Scalar, Sequence

# Lists whose items are told apart by a key, in the kinds that are Kubernetes' own.
_KEYS = {
    "containers": ("name",),
    "initContainers": ("name",),
    "env": ("name",),
    "volumes": ("name",),
    "imagePullSecrets": ("name",),
    "volumeMounts": ("mountPath",),
    "ports": ("containerPort", "port"),
    "topologySpreadConstraints": ("topologyKey",),
    "hostAliases": ("ip",),
}
_DIRECTIVE = "$patch"


class UnresolvedError(Exception):
    """Raised for a patch that is not understood; the message says which part."""


def strategic_merge(base: Mapping, patch: Mapping, *, is_builtin: bool) -> Mapping | None:
    """Return an object as a patch makes it; None where the patch deletes it.

    Raises: UnresolvedError for a directive that is not known.
    """
    if text_at(patch, _DIRECTIVE) == "delete":
        return None
    return _merged(base, patch, is_builtin=is_builtin)


def json_patch(base: Mapping, operations: Sequence) -> Mapping:
    """Return an object as the operations of a JSON patch make it.

    Raises: UnresolvedError for what is not add, replace, remove or test, and for a path that leads nowhere.
    """
    result: Node = base
    for operation in operations.items:
        path = text_at(operation, "path")
        steps = [step.replace("~1", "/").replace("~0", "~") for step in path.split("/")[1:]]
        word = text_at(operation, "op")
        if word == "test":
            continue
        if word not in ("add", "replace", "remove") or not steps:
            raise UnresolvedError(f"a JSON patch's operation '{word}'")
        result = _edited(result, steps, word, at(operation, "value"), path)
    assert isinstance(result, Mapping), "an edit keeps a mapping a mapping"
    return result


def _merged(base: Mapping, patch: Mapping, *, is_builtin: bool) -> Mapping:
    directive = text_at(patch, _DIRECTIVE)
    if directive == "replace":
        return Mapping({key: node for key, node in patch.entries.items() if key != _DIRECTIVE}, patch.place, patch.keys)
    if directive not in ("", "merge"):
        raise UnresolvedError(f"{_DIRECTIVE}: {directive}")
    entries, keys = dict(base.entries), dict(base.keys)
    for key, node in patch.entries.items():
        if key == _DIRECTIVE:
            continue
        if key.startswith("$"):
            raise UnresolvedError(key)
        if isinstance(node, Scalar) and node.is_null:
            entries.pop(key, None)
            continue
        old = entries.get(key)
        if isinstance(old, Mapping) and isinstance(node, Mapping):
            entries[key] = _merged(old, node, is_builtin=is_builtin)
            continue
        by = _KEYS.get(key) if is_builtin else None
        is_list = isinstance(old, Sequence) and isinstance(node, Sequence)
        entries[key] = _merged_lists(old, node, by) if is_list and by else node  # type: ignore[arg-type]
        keys[key] = patch.place_of(key)
    return Mapping(entries, base.place, keys)


def _merged_lists(base: Sequence, patch: Sequence, names: tuple[str, ...]) -> Sequence:
    items = list(base.items)
    for item in patch.items:
        if not isinstance(item, Mapping):
            raise UnresolvedError("a list of words, which is merged by directives")
        key = next((name for name in names if name in item.entries), "")
        place = next((n for n, one in enumerate(items) if key and text_at(one, key) == text_at(item, key)), None)
        if text_at(item, _DIRECTIVE) == "delete":
            if place is not None:
                del items[place]
        elif place is None:
            items.append(item)
        else:
            old = items[place]
            items[place] = _merged(old, item, is_builtin=True) if isinstance(old, Mapping) else item
    return Sequence(items, base.place)


def _edited(node: Node, steps: list[str], word: str, value: Node | None, path: str) -> Node:
    """Return a tree with one edit below it."""
    step, rest = steps[0], steps[1:]
    if isinstance(node, Sequence):
        return _edited_list(node, step, rest, word, value, path)
    if not isinstance(node, Mapping) or (step not in node.entries and (rest or word != "add")):
        raise UnresolvedError(f"the path {path}, which leads nowhere")
    entries, keys = dict(node.entries), dict(node.keys)
    if rest:
        entries[step] = _edited(entries[step], rest, word, value, path)
    elif word == "remove":
        del entries[step]
    else:
        if value is None:
            raise UnresolvedError(f"{word} {path} without a value")
        entries[step], keys[step] = value, value.place
    return Mapping(entries, node.place, keys)


def _edited_list(node: Sequence, step: str, rest: list[str], word: str, value: Node | None, path: str) -> Node:
    items = list(node.items)
    if step == "-":
        position = len(items)
    elif step.isdecimal() and int(step) < len(items) + (word == "add" and not rest):
        position = int(step)
    else:
        raise UnresolvedError(f"the path {path}, which leads nowhere")
    if rest:
        items[position] = _edited(items_at(node)[position], rest, word, value, path)
    elif word == "remove":
        del items[position]
    elif value is not None:
        items[position : position + (word == "replace")] = [value]
    return Sequence(items, node.place)
