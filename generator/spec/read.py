"""Read a spec: the YAML tree, profile and pipelines merged in, our own keys validated, all mistakes collected."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from tritonsmith.generator.catalog.releases import EMBEDDED, NEWEST, RELEASES, Release
from tritonsmith.generator.errors import UsageError
from tritonsmith.generator.findings import Finding, Place, error
from tritonsmith.generator.spec import tree
from tritonsmith.generator.spec.document import Expander, Locator, ModelSpec, Pipeline, Spec, Step
from tritonsmith.generator.spec.merge import merge_models
from tritonsmith.generator.spec.settings import Hardware, Server, read_settings
from tritonsmith.generator.suggest import did_you_mean

TOP_KEYS = ("repository", "triton", "hardware", "server", "models", "pipelines", "profiles")
MODEL_KEYS = ("file", "files", "python", "ensemble", "calls", "expose")
PIPELINE_KEYS = ("use", "with", "names")
STEP_KEYS = ("model_name", "model_version", "model_namespace", "input_map", "output_map")
# Keys of the spec's closed list that the verbs of later versions will read.
LATER_KEYS = {
    "sharing": "top", "deploy": "top", "tune": "top",
    "variants": "model",
    "engine": "pipeline", "replicas": "pipeline", "nodes": "pipeline",
}  # fmt: skip
BLUEPRINT_PREFIX = "blueprint:"
NAME = re.compile(r"[A-Za-z0-9_.-]+")


def read_spec(path: Path, *, profile: str = "", expand: Expander | None = None, locate: Locator | None = None) -> Spec:
    """Return the spec at `path` with one profile applied; what is wrong with it is in its findings.

    Raises: SpecError where it cannot be read as YAML at all; UsageError for an unknown profile.
    """
    findings: list[Finding] = []
    root = tree.read_tree(path, findings)
    return _Reader(path, findings, expand, locate).spec(root, profile)


def is_name(text: str) -> bool:
    """Whether a text may name a model or a repository: what every release, URL and file system takes."""
    return bool(NAME.fullmatch(text)) and text not in (".", "..")


class _Reader:
    """Turns trees into the document; every mistake becomes a finding."""

    def __init__(self, path: Path, findings: list[Finding], expand: Expander | None, locate: Locator | None) -> None:
        self.path = path
        self.folder = path.resolve().parent
        self.findings = findings
        self.expand = expand
        self.locate = locate

    def spec(self, root: tree.Mapping, profile: str) -> Spec:
        """Return the whole spec."""
        self._known(root, TOP_KEYS, "top", "")
        layer = self._profile(root, profile)
        top = {key: node for key, node in root.entries.items() if key not in ("models", "pipelines", "profiles")}
        if layer is not None:
            top.update({key: node for key, node in layer.entries.items() if key != "models"})
        models = self._models(root, layer)
        if not models and not self.findings:
            self._error("the spec has no models", root.place, "models", "models: {NAME: {file: model.onnx}}")
        return Spec(
            path=self.path,
            name=self._name(top, root),
            release=self._release(top.get("triton")),
            hardware=self._hardware(top.get("hardware")),
            server=self._settings(Server, top.get("server"), "server") or Server(),
            models=models,
            digest=hashlib.sha256(self.path.read_bytes() + b"\0" + profile.encode()).hexdigest(),
            findings=tuple(self.findings),
        )

    def _profile(self, root: tree.Mapping, profile: str) -> tree.Mapping | None:
        profiles = self._mapping(root, "profiles", "profiles")
        if not profile:
            return None
        layer = profiles.entries.get(profile)
        if layer is None:
            raise UsageError(
                f"the spec has no profile '{profile}'.{did_you_mean(profile, profiles.entries)}",
                where=str(self.path),
                hint=f"it has {', '.join(profiles.entries)}" if profiles.entries else "it has no profiles at all",
            )
        if not isinstance(layer, tree.Mapping):
            self._error(f"expected a mapping, got {tree.kind_of(layer)}", layer.place, f"profiles.{profile}")
            return None
        self._known(layer, [key for key in TOP_KEYS if key != "profiles"], "top", f"profiles.{profile}.")
        return layer

    def _models(self, root: tree.Mapping, layer: tree.Mapping | None) -> Mapping[str, ModelSpec]:
        merged = tree.Mapping({}, root.place)
        for pipeline in self._pipelines(root, layer):
            if self.expand is not None:
                fragment = tree.from_data(self.expand(pipeline, self.findings), pipeline.place)
                assert isinstance(fragment, tree.Mapping)
                merged = merge_models(merged, self._without_clashes(fragment, merged, pipeline))
        merged = merge_models(merged, self._mapping(root, "models", "models"))
        if layer is not None:
            merged = merge_models(merged, self._mapping(layer, "models", "models"))
        models = (self._model(name, node, merged.place_of(name)) for name, node in merged.entries.items())
        return {model.name: model for model in models if model is not None}

    def _without_clashes(self, fragment: tree.Mapping, merged: tree.Mapping, pipeline: Pipeline) -> tree.Mapping:
        for name in fragment.entries.keys() & merged.entries.keys():
            message = f"two pipelines make a model '{name}'"
            hint = f"rename one: names: {{role: {pipeline.name}_{name}}}"
            self._error(message, pipeline.place, f"pipelines.{pipeline.name}", hint)
        return fragment

    def _pipelines(self, root: tree.Mapping, layer: tree.Mapping | None) -> list[Pipeline]:
        entries = dict(self._mapping(root, "pipelines", "pipelines").entries)
        if layer is not None:
            for name, upper in self._mapping(layer, "pipelines", "pipelines").entries.items():
                lower = entries.get(name)
                both = isinstance(lower, tree.Mapping) and isinstance(upper, tree.Mapping)
                entries[name] = _merged_pipeline(lower, upper) if both else upper  # type: ignore[arg-type]
        pipelines = (self._pipeline(name, node) for name, node in entries.items())
        return [pipeline for pipeline in pipelines if pipeline is not None]

    def _pipeline(self, name: str, node: tree.Node) -> Pipeline | None:
        key = f"pipelines.{name}"
        if not isinstance(node, tree.Mapping):
            self._error(f"expected a mapping, got {tree.kind_of(node)}", node.place, key, "{use: BLUEPRINT, with: {}}")
            return None
        self._known(node, PIPELINE_KEYS, "pipeline", f"{key}.")
        blueprint = self._text(node, "use", key)
        if not blueprint:
            self._error("no blueprint is given", node.place, f"{key}.use", "use: image_classification")
            return None
        settings = tree.to_data(self._mapping(node, "with", f"{key}.with"))
        return Pipeline(name, blueprint, settings, self._texts(node, "names", f"{key}.names"), node)

    def _model(self, name: str, node: tree.Node, place: Place) -> ModelSpec | None:
        key = f"models.{name}"
        if not is_name(name):
            self._error(f"'{name}' cannot name a model", place, key, "use letters, digits, '_', '.' and '-'")
            return None
        if not isinstance(node, tree.Mapping):
            self._error(f"expected a mapping, got {tree.kind_of(node)}", node.place, key, "{file: model.onnx}")
            return None
        self._later(node, "model", f"{key}.")
        ours = {k: v for k, v in node.entries.items() if k in MODEL_KEYS}
        fields = tree.Mapping({k: v for k, v in node.entries.items() if k not in ours}, node.place, node.keys)
        self._refuse_two_sources(node, key)
        return ModelSpec(
            name=name,
            place=place,
            fields=fields,
            file=self._file(node.entries.get("file"), f"{key}.file"),
            files=self._files(node, f"{key}.files"),
            python=self._python(node, key),
            ensemble=self._steps(node, f"{key}.ensemble"),
            calls=self._names(node, "calls", key),
            expose=self._names(node, "expose", key),
            places={k: node.place_of(k) for k in node.entries},
        )

    def _refuse_two_sources(self, node: tree.Mapping, key: str) -> None:
        given = [source for source in ("file", "python", "ensemble") if source in node.entries]
        if len(given) > 1:
            message = f"'{given[1]}' excludes '{given[0]}': a model is one of file, python, ensemble"
            self._error(message, node.place_of(given[1]), f"{key}.{given[1]}")

    def _file(self, node: tree.Node | None, key: str) -> dict[int, Path]:
        if node is None:
            return {}
        if isinstance(node, tree.Scalar):
            return {1: self._path(node, key)} if self._is_given(node, key) else {}
        if not isinstance(node, tree.Mapping) or not node.entries:
            self._error(f"expected a path, or {{version: path}}, got {tree.kind_of(node)}", node.place, key)
            return {}
        versions: dict[int, Path] = {}
        for version, item in node.entries.items():
            if not re.fullmatch(r"0|[1-9][0-9]*", version):
                message = f"'{version}' is no version: a whole number without leading zeros"
                self._error(message, node.place_of(version), f"{key}.{version}")
            elif self._is_given(item, f"{key}.{version}") and isinstance(item, tree.Scalar):
                versions[int(version)] = self._path(item, f"{key}.{version}")
        return versions

    def _files(self, node: tree.Mapping, key: str) -> dict[str, Path]:
        files: dict[str, Path] = {}
        given = self._mapping(node, "files", key)
        for target, item in given.entries.items():
            pure = PurePosixPath(target)
            if pure.is_absolute() or ".." in pure.parts or not pure.parts or target == "config.pbtxt":
                message = f"'{target}' is no path inside the model's folder"
                self._error(message, given.place_of(target), f"{key}.{target}", "e.g. labels.txt or 1/extra.bin")
            elif self._is_given(item, f"{key}.{target}") and isinstance(item, tree.Scalar):
                files[str(pure)] = self._path(item, f"{key}.{target}")
        return files

    def _python(self, node: tree.Mapping, key: str) -> Path | None:
        item = node.entries.get("python")
        if item is None or not self._is_given(item, f"{key}.python"):
            return None
        assert isinstance(item, tree.Scalar)
        if not item.text.startswith(BLUEPRINT_PREFIX):
            return self._path(item, f"{key}.python")
        name = item.text.removeprefix(BLUEPRINT_PREFIX)
        folder = self.locate(name) if self.locate else None
        if folder is None:
            hint = "blueprint:image_classification/preprocessing, or a folder of your own"
            self._error(f"no blueprint has a Python model '{name}'", item.place, f"{key}.python", hint)
        return folder

    def _path(self, node: tree.Scalar, key: str) -> Path:
        path = self.folder / node.text
        if not path.exists():
            near = did_you_mean(path.name, (p.name for p in path.parent.glob("*"))) if path.parent.is_dir() else ""
            self._error(
                f"there is no file '{node.text}'.{near}", node.place, key, f"paths are relative to {self.path.name}"
            )
        return path

    def _steps(self, node: tree.Mapping, key: str) -> tuple[Step, ...]:
        given = node.entries.get("ensemble")
        if given is None:
            return ()
        if not isinstance(given, tree.Sequence) or not given.items:
            self._error(f"expected a list of steps, got {tree.kind_of(given)}", given.place, key, "ensemble: [a, b]")
            return ()
        steps = (self._step(item, f"{key}[{index}]") for index, item in enumerate(given.items))
        return tuple(step for step in steps if step is not None)

    def _step(self, node: tree.Node, key: str) -> Step | None:
        if isinstance(node, tree.Scalar) and node.text:
            return Step(node.text, node.place)
        if not isinstance(node, tree.Mapping):
            self._error(f"expected a model's name or a step, got {tree.kind_of(node)}", node.place, key)
            return None
        self._known(node, STEP_KEYS, "step", f"{key}.")
        model = self._text(node, "model_name", key)
        if not model:
            self._error("the step names no model", node.place, f"{key}.model_name")
            return None
        return Step(
            model=model,
            place=node.place,
            version=self._version(node, key),
            namespace=self._text(node, "model_namespace", key),
            input_map=self._texts(node, "input_map", f"{key}.input_map") if "input_map" in node.entries else None,
            output_map=self._texts(node, "output_map", f"{key}.output_map") if "output_map" in node.entries else None,
        )

    def _version(self, node: tree.Mapping, key: str) -> int:
        # omitted means version 0 to Triton, not the latest (core: ensemble_utils.cc); so -1 is always written
        text = self._text(node, "model_version", key) or "-1"
        if not re.fullmatch(r"-1|[0-9]{1,18}", text):
            message = f"expected -1 (the latest) or a version, got '{text}'"
            self._error(message, node.place_of("model_version"), f"{key}.model_version")
            return -1
        return int(text)

    def _release(self, node: tree.Node | None) -> Release:
        if node is None:
            return RELEASES[EMBEDDED]
        text = node.text if isinstance(node, tree.Scalar) else ""
        release = RELEASES.get(text)
        if release is None:
            hint = f"known are {next(iter(RELEASES))} to {NEWEST}"
            self._error(
                f"unknown Triton release {tree.kind_of(node)}.{did_you_mean(text, RELEASES)}",
                node.place,
                "triton",
                hint,
            )
            return RELEASES[EMBEDDED]
        return release

    def _hardware(self, node: tree.Node | None) -> Hardware:
        if isinstance(node, tree.Scalar) and node.text == "none":
            return Hardware()
        return self._settings(Hardware, node, "hardware") or Hardware()

    def _settings(self, kind: type[Any], node: tree.Node | None, key: str) -> Any:
        return None if node is None else read_settings(kind, node, key, self.findings)

    def _name(self, top: Mapping[str, tree.Node], root: tree.Mapping) -> str:
        node = top.get("repository")
        if node is None:
            return self.folder.name if is_name(self.folder.name) else "model_repository"
        if not isinstance(node, tree.Scalar) or not is_name(node.text):
            hint = "use letters, digits, '_', '.' and '-'"
            self._error(f"{tree.kind_of(node)} cannot name a repository", node.place, "repository", hint)
            return "model_repository"
        return node.text

    # The kinds of value

    def _mapping(self, parent: tree.Mapping, name: str, key: str) -> tree.Mapping:
        node = parent.entries.get(name)
        if isinstance(node, tree.Mapping):
            return node
        if node is not None and not (isinstance(node, tree.Scalar) and (node.is_null or node.is_empty)):
            self._error(f"expected a mapping, got {tree.kind_of(node)}", node.place, key)
        return tree.Mapping({}, parent.place)

    def _texts(self, parent: tree.Mapping, name: str, key: str) -> dict[str, str]:
        texts: dict[str, str] = {}
        node = self._mapping(parent, name, key)
        for item in node.entries:
            texts[item] = self._text(node, item, key)
        return texts

    def _names(self, parent: tree.Mapping, name: str, key: str) -> tuple[str, ...]:
        node = parent.entries.get(name)
        if node is None:
            return ()
        if not isinstance(node, tree.Sequence) or not all(isinstance(item, tree.Scalar) for item in node.items):
            self._error(f"expected a list of names, got {tree.kind_of(node)}", node.place, f"{key}.{name}")
            return ()
        return tuple(item.text for item in node.items if isinstance(item, tree.Scalar))

    def _text(self, parent: tree.Mapping, name: str, key: str) -> str:
        node = parent.entries.get(name)
        if node is None or not self._is_given(node, f"{key}.{name}"):
            return ""
        assert isinstance(node, tree.Scalar)
        return node.text

    def _is_given(self, node: tree.Node, key: str) -> bool:
        if isinstance(node, tree.Scalar) and not node.is_empty and not node.is_null:
            return True
        shown = "nothing" if isinstance(node, tree.Scalar) else tree.kind_of(node)
        self._error(f"expected a value, got {shown}", node.place, key)
        return False

    def _known(self, node: tree.Mapping, known: Any, level: str, prefix: str) -> None:
        """Add a finding for every key of ours that does not exist."""
        self._later(node, level, prefix)
        for key in node.entries:
            if key not in known and LATER_KEYS.get(key) != level:
                suggestion = did_you_mean(key, known)
                self._error(f"unknown key '{key}'.{suggestion}", node.place_of(key), f"{prefix}{key}")

    def _later(self, node: tree.Mapping, level: str, prefix: str) -> None:
        for key in node.entries:
            if LATER_KEYS.get(key) == level:
                self._error(f"'{key}' is not read by this version of tritonsmith", node.place_of(key), f"{prefix}{key}")

    def _error(self, message: str, place: Place, key: str, remedy: str = "") -> None:
        self.findings.append(error(message, place, key=key, remedy=remedy))


def _merged_pipeline(lower: tree.Mapping, upper: tree.Mapping) -> tree.Mapping:
    from tritonsmith.generator.spec.merge import merge_message

    return merge_message(lower, upper, None)
