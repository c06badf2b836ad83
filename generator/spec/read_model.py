"""Read one model of a spec: what is ours in it is taken out, the fields of ModelConfig stay a tree for `lower`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from tritonsmith.generator.findings import Place
from tritonsmith.generator.repository.names import is_model_name
from tritonsmith.generator.spec import tree
from tritonsmith.generator.spec.document import Locator, ModelSpec, Step
from tritonsmith.generator.spec.values import Values
from tritonsmith.generator.suggest import did_you_mean

MODEL_KEYS = ("file", "files", "python", "ensemble", "calls", "expose")
STEP_KEYS = ("model_name", "model_version", "model_namespace", "input_map", "output_map")
BLUEPRINT_PREFIX = "blueprint:"


@dataclass(frozen=True)
class ModelReader:
    """Reads models; paths in them are relative to `folder`, the spec's."""

    values: Values
    folder: Path
    locate: Locator | None

    def model(self, name: str, node: tree.Node, place: Place) -> ModelSpec | None:
        """Return one model, None where it is no model at all."""
        key = f"models.{name}"
        if not is_model_name(name):
            self.values.error(f"'{name}' cannot name a model", place, key, "use letters, digits, '_', '.' and '-'")
            return None
        if not isinstance(node, tree.Mapping):
            self.values.error(f"expected a mapping, got {tree.kind_of(node)}", node.place, key, "{file: model.onnx}")
            return None
        self.values.refuse_later(node, "model", f"{key}.")
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
            calls=self.values.names(node, "calls", key),
            expose=self.values.names(node, "expose", key),
            places={k: node.place_of(k) for k in node.entries},
        )

    def _refuse_two_sources(self, node: tree.Mapping, key: str) -> None:
        given = [source for source in ("file", "python", "ensemble") if source in node.entries]
        if len(given) > 1:
            message = f"'{given[1]}' excludes '{given[0]}': a model is one of file, python, ensemble"
            self.values.error(message, node.place_of(given[1]), f"{key}.{given[1]}")

    def _file(self, node: tree.Node | None, key: str) -> dict[int, Path]:
        if node is None:
            return {}
        if isinstance(node, tree.Scalar):
            return {1: self._path(node, key)} if self.values.is_given(node, key) else {}
        if not isinstance(node, tree.Mapping) or not node.entries:
            self.values.error(f"expected a path, or {{version: path}}, got {tree.kind_of(node)}", node.place, key)
            return {}
        versions: dict[int, Path] = {}
        for version, item in node.entries.items():
            if not re.fullmatch(r"0|[1-9][0-9]*", version):
                message = f"'{version}' is no version: a whole number without leading zeros"
                self.values.error(message, node.place_of(version), f"{key}.{version}")
            elif self.values.is_given(item, f"{key}.{version}") and isinstance(item, tree.Scalar):
                versions[int(version)] = self._path(item, f"{key}.{version}")
        return versions

    def _files(self, node: tree.Mapping, key: str) -> dict[str, Path]:
        files: dict[str, Path] = {}
        given = self.values.mapping(node, "files", key)
        for target, item in given.entries.items():
            pure = PurePosixPath(target)
            if pure.is_absolute() or ".." in pure.parts or not pure.parts or target == "config.pbtxt":
                message = f"'{target}' is no path inside the model's folder"
                self.values.error(message, given.place_of(target), f"{key}.{target}", "e.g. labels.txt or 1/extra.bin")
            elif self.values.is_given(item, f"{key}.{target}") and isinstance(item, tree.Scalar):
                files[str(pure)] = self._path(item, f"{key}.{target}")
        return files

    def _python(self, node: tree.Mapping, key: str) -> Path | None:
        item = node.entries.get("python")
        if item is None or not self.values.is_given(item, f"{key}.python"):
            return None
        assert isinstance(item, tree.Scalar)
        if not item.text.startswith(BLUEPRINT_PREFIX):
            return self._path(item, f"{key}.python")
        name = item.text.removeprefix(BLUEPRINT_PREFIX)
        folder = self.locate(name) if self.locate else None
        if folder is None:
            hint = "blueprint:image_classification/preprocessing, or a folder of your own"
            self.values.error(f"no blueprint has a Python model '{name}'", item.place, f"{key}.python", hint)
        return folder

    def _path(self, node: tree.Scalar, key: str) -> Path:
        path = self.folder / node.text
        if not path.exists():
            near = did_you_mean(path.name, (p.name for p in path.parent.glob("*"))) if path.parent.is_dir() else ""
            self.values.error(
                f"there is no file '{node.text}'.{near}",
                node.place,
                key,
                f"paths are relative to the spec, in {self.folder}",
            )
        return path

    def _steps(self, node: tree.Mapping, key: str) -> tuple[Step, ...]:
        given = node.entries.get("ensemble")
        if given is None:
            return ()
        if not isinstance(given, tree.Sequence) or not given.items:
            self.values.error(
                f"expected a list of steps, got {tree.kind_of(given)}", given.place, key, "ensemble: [a, b]"
            )
            return ()
        steps = (self._step(item, f"{key}[{index}]") for index, item in enumerate(given.items))
        return tuple(step for step in steps if step is not None)

    def _step(self, node: tree.Node, key: str) -> Step | None:
        if isinstance(node, tree.Scalar) and node.text:
            return Step(node.text, node.place)
        if not isinstance(node, tree.Mapping):
            self.values.error(f"expected a model's name or a step, got {tree.kind_of(node)}", node.place, key)
            return None
        self.values.refuse_unknown(node, STEP_KEYS, "step", f"{key}.")
        model = self.values.text(node, "model_name", key)
        if not model:
            self.values.error("the step names no model", node.place, f"{key}.model_name")
            return None
        return Step(
            model=model,
            place=node.place,
            version=self._version(node, key),
            namespace=self.values.text(node, "model_namespace", key),
            input_map=self.values.texts(node, "input_map", f"{key}.input_map") if "input_map" in node.entries else None,
            output_map=self.values.texts(node, "output_map", f"{key}.output_map")
            if "output_map" in node.entries
            else None,
        )

    def _version(self, node: tree.Mapping, key: str) -> int:
        # omitted means version 0 to Triton, not the latest (core: ensemble_utils.cc); so -1 is always written
        text = self.values.text(node, "model_version", key) or "-1"
        if not re.fullmatch(r"-1|[0-9]{1,18}", text):
            message = f"expected -1 (the latest) or a version, got '{text}'"
            self.values.error(message, node.place_of("model_version"), f"{key}.model_version")
            return -1
        return int(text)
