"""Reading manifests: a YAML file, a folder of them, or one with kustomizations, of which each is built."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Literal

from tritonsmith.generator.checks.manifests.case import Manifests
from tritonsmith.generator.checks.manifests.find import KUSTOMIZATIONS, yaml_files
from tritonsmith.generator.checks.manifests.kustomize import build, kustomization_of, objects_in
from tritonsmith.generator.checks.manifests.objects import Object, Problem
from tritonsmith.generator.errors import SpecError
from tritonsmith.generator.findings import Finding, Place
from tritonsmith.generator.spec.tree import Mapping, Node, parse_documents, read_text

_CUSTOMIZES = "Kustomization"


def read_sets(path: Path) -> list[Manifests]:
    """Return the sets of objects that a path holds: one for each kustomization that no other takes, else one of all.

    Raises: SpecError for a lone file that cannot be read.
    """
    reading = _Reading()
    if path.is_file():
        return [reading.manifests_of([path], (path.absolute().parent,))]
    files = list(yaml_files(path))
    roots = [file.parent for file in files if file.name in KUSTOMIZATIONS and kustomization_of(file.parent) == file]
    built = {folder: build(folder, reading.documents) for folder in roots}
    taken = {inner.resolve() for folder, made in built.items() for inner in made.folders if inner != folder}
    sets = []
    for folder, made in built.items():
        if folder.resolve() in taken:
            continue
        values = [node for file in files for node in reading.documents(file) if _is_values(node)]
        problems = (*made.problems, *reading.problems_of(made.files))
        objects = tuple(Object(node) for node in made.nodes)
        sets.append(Manifests(objects, tuple(values), problems, (path, *made.folders)))
    listed = {file.resolve() for made in built.values() for file in made.files}
    loose = [file for file in files if file.resolve() not in listed and file.name not in KUSTOMIZATIONS]
    if not sets or any(objects_in(reading.documents(file)) for file in loose if not _is_below(file, roots)):
        sets.append(reading.manifests_of(loose if not sets else [f for f in loose if not _is_below(f, roots)], (path,)))
    return sets


class _Reading:
    """The files that were read, each once, and what could not be."""

    def __init__(self) -> None:
        self._documents: dict[Path, list[Node]] = {}
        self._problems: dict[Path, list[Problem]] = {}

    def documents(self, path: Path) -> list[Node]:
        """Return the documents of a file, none where it cannot be read."""
        key = path.resolve()
        if key not in self._documents:
            self._documents[key] = []
            self._problems[key] = []
            self._documents[key] = self._read(path, self._problems[key])
        return self._documents[key]

    def problems_of(self, paths: list[Path]) -> list[Problem]:
        """Return what was met in reading some files."""
        return [
            problem
            for path in dict.fromkeys(one.resolve() for one in paths)
            for problem in self._problems.get(path, [])
        ]

    def manifests_of(self, paths: list[Path], folders: tuple[Path, ...]) -> Manifests:
        """Return all objects of some files as one set."""
        documents = [node for path in paths for node in self.documents(path)]
        objects = tuple(Object(node) for node in objects_in(documents) if Object(node).kind != _CUSTOMIZES)
        values = tuple(node for node in documents if _is_values(node))
        return Manifests(objects, values, tuple(self.problems_of(paths)), folders)

    def _read(self, path: Path, problems: list[Problem]) -> list[Node]:
        name = os.path.relpath(path) if ".." in path.parts else str(path)
        found: list[Finding] = []
        text = ""
        try:
            text = read_text(path)
            documents = parse_documents(text, name, found)
        except SpecError as problem:
            kind: Literal["template", "broken"] = "template" if "{{" in text else "broken"
            problems.append(Problem(kind, _place(problem.where, name), problem.message))
            return []
        if found and "{{" in text:
            problems.append(Problem("template", found[0].place, found[0].message))
            return []
        problems += [Problem("broken", one.place, one.message) for one in found]
        return documents


def _is_below(file: Path, folders: list[Path]) -> bool:
    return any(folder in file.parents for folder in folders)


def _is_values(node: Node) -> bool:
    return isinstance(node, Mapping) and not objects_in([node])


def _place(where: str, name: str) -> Place:
    match = re.fullmatch(r"(.*?)(?::([0-9]+))?(?::([0-9]+))?", where, re.DOTALL)
    assert match, "everything in it is optional"
    return Place(match[1] or name, int(match[2] or 0), int(match[3] or 0))
