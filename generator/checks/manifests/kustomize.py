"""A folder with a kustomization, built: resources, patches, labels, images, replicas and generated ConfigMaps.

What else a kustomization can do is not done; that it was not is said. Names keep their spelling: a prefix changes all
alike.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tritonsmith.generator.checks.manifests.find import KUSTOMIZATIONS
from tritonsmith.generator.checks.manifests.merge import UnresolvedError, json_patch, strategic_merge
from tritonsmith.generator.checks.manifests.nodes import at, entries_at, items_at, place_at, text_at, texts_at, words_at
from tritonsmith.generator.checks.manifests.objects import Object, Problem, is_object
from tritonsmith.generator.errors import SpecError
from tritonsmith.generator.findings import Place
from tritonsmith.generator.spec.tree import Mapping, Node, Scalar, Sequence, mapping_from_data

_BUILTIN_GROUPS = ("", "apps", "batch", "autoscaling", "policy", "networking.k8s.io", "rbac.authorization.k8s.io")
_REMOTE = re.compile(r"://|^git@|^github\.com/|\?ref=")
_IGNORED = (
    "vars",
    "replacements",
    "generators",
    "transformers",
    "validators",
    "helmCharts",
    "helmChartInflationGenerator",
)
Read = Callable[[Path], list[Node]]


@dataclass
class Built:
    """What a kustomization makes: its objects, the folders that it takes, and what was found on the way."""

    nodes: list[Mapping] = field(default_factory=list)
    folders: list[Path] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def kustomization_of(folder: Path) -> Path | None:
    """Return a folder's kustomization."""
    return next((folder / name for name in KUSTOMIZATIONS if (folder / name).is_file()), None)


def build(folder: Path, read: Read, around: tuple[Path, ...] = ()) -> Built:
    """Return what the kustomization of a folder makes; `read` returns a file's documents and keeps what is wrong."""
    built = Built(folders=[folder])
    path = kustomization_of(folder)
    assert path, "asked only of folders that have one"
    for node in read(path):
        if isinstance(node, Mapping):
            _take_resources(node, folder, built, read, around)
            _change(node, folder, built, read)
    built.files.append(path)
    return built


def _take_resources(node: Mapping, folder: Path, built: Built, read: Read, around: tuple[Path, ...]) -> None:
    for key in ("resources", "bases"):
        for position, name in enumerate(texts_at(node, key)):
            place = place_at(node, key, position)
            if _REMOTE.search(name):
                built.problems.append(_unresolved(place, f"{name} is elsewhere"))
                continue
            path = folder / name
            if path.is_dir() and kustomization_of(path):
                if path.resolve() in around:
                    built.problems.append(Problem("broken", place, f"{name} takes this folder again"))
                    continue
                inner = build(path, read, (*around, folder.resolve()))
                for target, source in ((built.nodes, inner.nodes), (built.folders, inner.folders)):
                    target.extend(source)  # type: ignore[arg-type]
                built.files += inner.files
                built.problems += inner.problems
            elif path.is_file():
                built.nodes += objects_in(read(path))
                built.files.append(path)
            else:
                built.problems.append(Problem("broken", place, f"there is no {name}"))


def objects_in(documents: list[Node]) -> list[Mapping]:
    """Return the objects of a file's documents, those of a List each by itself."""
    found = []
    for document in documents:
        if isinstance(document, Mapping) and is_object(document):
            items = items_at(document, "items") if text_at(document, "kind").endswith("List") else []
            found += [item for item in items if isinstance(item, Mapping)] or [document]
    return found


def _change(node: Mapping, folder: Path, built: Built, read: Read) -> None:
    """Make the changes that a kustomization, or a component of it, asks for."""
    for position, name in enumerate(texts_at(node, "components")):
        path = kustomization_of(folder / name)
        if path is None:
            built.problems.append(_unresolved(place_at(node, "components", position), f"{name} is no folder here"))
            continue
        built.files.append(path)
        for component in read(path):
            if isinstance(component, Mapping):
                _take_resources(component, path.parent, built, read, ())
                _change(component, path.parent, built, read)
    built.nodes += _generated(node, folder)
    for patch in _patches(node, folder, built, read):
        _apply(patch, built)
    _set_images(node, built)
    _set_replicas(node, built)
    _set_labels(node, built)
    if namespace := at(node, "namespace"):
        built.nodes = [_with(one, namespace, "metadata", "namespace") for one in built.nodes]
    for key in _IGNORED:
        if at(node, key):
            built.problems.append(_unresolved(place_at(node, key), f"{key} are not run"))


@dataclass(frozen=True)
class _Patch:
    nodes: list[Node]
    target: Node | None
    place: Place


def _patches(node: Mapping, folder: Path, built: Built, read: Read) -> Iterator[_Patch]:
    for key in ("patches", "patchesStrategicMerge", "patchesJson6902"):
        for position, item in enumerate(items_at(node, key)):
            place = place_at(node, key, position)
            path, inline = text_at(item, "path"), at(item, "patch")
            if isinstance(item, Scalar) and "\n" not in item.text:
                path = item.text
            elif isinstance(item, Scalar):
                inline = item
            try:
                if path and (folder / path).is_file():
                    built.files.append(folder / path)
                    yield _Patch(read(folder / path), at(item, "target"), place)
                elif isinstance(inline, Scalar):
                    yield _Patch(_moved(inline), at(item, "target"), place)
                else:
                    built.problems.append(Problem("broken", place, f"there is no patch {path}"))
            except SpecError as problem:
                built.problems.append(Problem("broken", place, problem.message))


def _moved(inline: Scalar) -> list[Node]:
    """Return the documents of a patch that is text within a kustomization, each value where that text begins."""
    from tritonsmith.generator.spec.tree import from_data, parse_documents, to_data

    documents = parse_documents(inline.text, inline.place.file, [])
    return [_unquoted(from_data(to_data(document), inline.place)) for document in documents]


def _unquoted(node: Node) -> Node:
    """Return a tree whose words are read as plain ones: true, 3."""
    if isinstance(node, Mapping):
        return Mapping({key: _unquoted(one) for key, one in node.entries.items()}, node.place, node.keys)
    if isinstance(node, Sequence):
        return Sequence([_unquoted(one) for one in node.items], node.place)
    return Scalar(node.text, node.place, is_quoted=False)


def _apply(patch: _Patch, built: Built) -> None:
    for node in patch.nodes:
        matched = False
        nodes: list[Mapping] = []
        for one in built.nodes:
            changed: Mapping | None = one
            if _is_meant(one, patch.target, node):
                matched = True
                try:
                    changed = _patched(one, node)
                except UnresolvedError as problem:
                    built.problems.append(_unresolved(patch.place, f"{problem} is not understood"))
            nodes += [changed] if changed is not None else []
        built.nodes = nodes
        if not matched:
            built.problems.append(
                Problem("idle", patch.place, f"no object here is {_target_words(patch.target, node)}")
            )


def _patched(node: Mapping, patch: Node) -> Mapping | None:
    if isinstance(patch, Sequence):
        return json_patch(node, patch)
    if isinstance(patch, Mapping):
        return strategic_merge(node, patch, is_builtin=Object(node).group in _BUILTIN_GROUPS)
    raise UnresolvedError("a patch that is neither a mapping nor a list")


def _is_meant(node: Mapping, target: Node | None, patch: Node) -> bool:
    one = Object(node)
    if target is None:
        named = Object(patch) if isinstance(patch, Mapping) else None
        return named is not None and (named.kind, named.name, named.api) == (one.kind, one.name, one.api)
    wanted = words_at(target)
    has = {"kind": one.kind, "name": one.name, "namespace": one.namespace, "group": one.group}
    has["version"] = one.api.rpartition("/")[2]
    if any(not re.fullmatch(value, has[key]) for key, value in wanted.items() if key in has):
        return False
    labels = words_at(node, "metadata", "labels")
    return all(
        labels.get(key) == value for key, _, value in map(_split, wanted.get("labelSelector", "").split(",")) if key
    )


def _split(part: str) -> tuple[str, str, str]:
    key, equals, value = part.partition("=")
    return key.strip(), equals, value.strip("= ")


def _target_words(target: Node | None, patch: Node) -> str:
    if target is not None:
        return " ".join(f"{key} {value}" for key, value in words_at(target).items())
    return Object(patch).label if isinstance(patch, Mapping) else "named"


def _generated(node: Mapping, folder: Path) -> Iterator[Mapping]:
    """Yield the ConfigMaps and Secrets that are generated: their names, and the text of their files."""
    for key, kind in (("configMapGenerator", "ConfigMap"), ("secretGenerator", "Secret")):
        for item in items_at(node, key):
            data = dict(literal.partition("=")[::2] for literal in texts_at(item, "literals"))
            for given in texts_at(item, "files"):
                name, _, path = given.rpartition("=")
                data[name or Path(path).name] = _text(folder / path)
            metadata = {"name": text_at(item, "name")}
            yield mapping_from_data({"apiVersion": "v1", "kind": kind, "metadata": metadata, "data": data}, item.place)


def _text(path: Path) -> str:
    from tritonsmith.generator.spec.tree import read_text

    try:
        return read_text(path)
    except SpecError:
        return ""


def _set_images(node: Mapping, built: Built) -> None:
    changes = {text_at(item, "name"): item for item in items_at(node, "images")}
    if changes:
        built.nodes = [one for node in built.nodes if isinstance(one := _reimaged(node, changes), Mapping)]


def _reimaged(node: Node, changes: dict[str, Node]) -> Node:
    if isinstance(node, Sequence):
        return Sequence([_reimaged(item, changes) for item in node.items], node.place)
    if not isinstance(node, Mapping):
        return node
    entries = {key: _reimaged(value, changes) for key, value in node.entries.items()}
    image = text_at(node, "image")
    name, tag, digest = split_image(image)
    if image and (change := changes.get(name)) is not None:
        tag, digest = text_at(change, "newTag") or tag, text_at(change, "digest") or digest
        text = (text_at(change, "newName") or name) + (f":{tag}" if tag else "") + (f"@{digest}" if digest else "")
        entries["image"] = Scalar(text, change.place)
    return Mapping(entries, node.place, node.keys)


def split_image(image: str) -> tuple[str, str, str]:
    """Return an image's name, tag and digest; the last two are empty where they are not given."""
    rest, _, digest = image.partition("@")
    name, colon, tag = rest.rpartition(":")
    return (name, tag, digest) if colon and "/" not in tag else (rest, "", digest)


def _set_replicas(node: Mapping, built: Built) -> None:
    counts = {text_at(item, "name"): count for item in items_at(node, "replicas") if (count := at(item, "count"))}
    scalable = ("Deployment", "StatefulSet", "ReplicaSet")
    built.nodes = [
        _with(one, counts[name], "spec", "replicas")
        if (name := text_at(one, "metadata", "name")) in counts and text_at(one, "kind") in scalable
        else one
        for one in built.nodes
    ]


def _set_labels(node: Mapping, built: Built) -> None:
    changes = [(entries_at(node, "commonLabels"), True, True)]
    for item in items_at(node, "labels"):
        in_selectors = text_at(item, "includeSelectors") == "true"
        changes.append(
            (entries_at(item, "pairs"), in_selectors, in_selectors or text_at(item, "includeTemplates") == "true")
        )
    for pairs, in_selectors, in_templates in changes:
        if pairs:
            built.nodes = [
                _labelled(one, pairs, in_selectors=in_selectors, in_templates=in_templates) for one in built.nodes
            ]


def _labelled(node: Mapping, pairs: dict[str, Node], *, in_selectors: bool, in_templates: bool) -> Mapping:
    paths: list[tuple[str, ...]] = [("metadata", "labels")]
    if in_templates and at(node, "spec", "template"):
        paths.append(("spec", "template", "metadata", "labels"))
    if in_selectors and at(node, "spec", "selector"):
        is_plain = text_at(node, "kind") in ("Service", "ReplicationController")
        paths.append(("spec", "selector") if is_plain else ("spec", "selector", "matchLabels"))
    for path in paths:
        for key, value in pairs.items():
            node = _with(node, value, *path, key)
    return node


def _with(node: Mapping, value: Node, *path: str) -> Mapping:
    """Return a tree with a value at a path of keys."""
    step, rest = path[0], path[1:]
    inner = node.entries.get(step)
    below = inner if isinstance(inner, Mapping) else Mapping({}, value.place)
    changed = _with(below, value, *rest) if rest else value
    keys = node.keys if step in node.entries and rest else {**node.keys, step: value.place}
    return Mapping({**node.entries, step: changed}, node.place, keys)


def _unresolved(place: Place, reason: str) -> Problem:
    return Problem("unresolved", place, reason)
