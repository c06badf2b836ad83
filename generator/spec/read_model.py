"""Read one model of a spec: what is ours in it is taken out, the fields of ModelConfig stay a tree for `lower`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from tritonsmith.generator.findings import Place
from tritonsmith.generator.repository.names import CONFIG_FILE, NEWEST_VERSION, is_model_name, is_version_folder
from tritonsmith.generator.repository.walk import walk, whole
from tritonsmith.generator.spec import tree
from tritonsmith.generator.spec.document import Locator, ModelSpec, Step, Variant
from tritonsmith.generator.spec.paths import path_problem
from tritonsmith.generator.spec.values import Values

MODEL_KEYS = ("file", "files", "variants", "python", "ensemble", "calls", "expose")
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
        fields = {k: v for k, v in node.entries.items() if k not in MODEL_KEYS}  # a null deletes what a file says
        node = node.without_nulls()
        self._refuse_what_excludes(node, key)
        return ModelSpec(
            name=name,
            place=place,
            fields=tree.Mapping(fields, node.place, node.keys),
            file=self._file(node.entries.get("file"), f"{key}.file"),
            files=self._files(node, f"{key}.files"),
            texts=self._texts(node, f"{key}.files"),
            variants=self._variants(node, f"{key}.variants"),
            python=self._python(node.entries.get("python"), f"{key}.python"),
            ensemble=self._steps(node.entries.get("ensemble"), f"{key}.ensemble"),
            calls=self.values.names(node, "calls", f"{key}.calls"),
            expose=self.values.names(node, "expose", f"{key}.expose"),
            places={k: node.place_of(k) for k in node.entries},
        )

    def _refuse_what_excludes(self, node: tree.Mapping, key: str) -> None:
        given = [source for source in ("file", "python", "ensemble") if source in node.entries]
        if len(given) > 1:
            message = f"'{given[1]}' excludes '{given[0]}': a model is one of file, python, ensemble"
            self.values.error(message, node.place_of(given[1]), f"{key}.{given[1]}", "leave one out")
        if "expose" in node.entries and "ensemble" not in node.entries:
            message = "only an ensemble has tensors to expose"
            self.values.error(message, node.place_of("expose"), f"{key}.expose", "leave it out, or give ensemble")

    def _file(self, node: tree.Node | None, key: str) -> dict[int, Path]:
        if node is None:
            return {}
        if isinstance(node, tree.Scalar):
            path = self._source(node, key)
            return {1: path} if path else {}
        if not isinstance(node, tree.Mapping) or not node.entries:
            self.values.error(f"expected a path, or {{version: path}}, got {tree.kind_of(node)}", node.place, key)
            return {}
        versions: dict[int, Path] = {}
        for text, item in node.entries.items():
            if not is_version_folder(text):
                message = f"'{text}' is no version: a whole number without leading zeros, at most {NEWEST_VERSION}"
                self.values.error(message, node.place_of(text), f"{key}.{text}", "file: {1: model.onnx}")
            elif path := self._source(item, f"{key}.{text}"):
                versions[int(text)] = path
        return versions

    def _files(self, node: tree.Mapping, key: str) -> dict[str, Path]:
        """Return the files by their path in the model's folder, those of a folder one by one."""
        files: dict[str, Path] = {}
        given = self.values.mapping(node, "files", key)
        for target, item in given.entries.items():
            pure = PurePosixPath(target)
            if not _is_inside(pure):
                message = f"'{target}' is no path inside the model's folder"
                self.values.error(message, given.place_of(target), f"{key}.{target}", "e.g. labels.txt or 1/extra.bin")
                continue
            if isinstance(item, tree.Mapping):
                continue  # its text stands here
            path = self._path(item, f"{key}.{target}")
            if path is not None and path.is_dir():
                beneath = self._beneath(path, given.place_of(target), f"{key}.{target}")
                files.update({str(pure / file): path / file for file in beneath})
            elif path is not None:
                files[str(pure)] = path
        return files

    def _texts(self, node: tree.Mapping, key: str) -> dict[str, str]:
        """Return the files whose text stands in the spec: `model.yaml: {text: ...}`."""
        given = node.entries.get("files")
        if not isinstance(given, tree.Mapping):
            return {}
        texts = {}
        for target, item in given.entries.items():
            if isinstance(item, tree.Mapping) and _is_inside(PurePosixPath(target)):
                self.values.refuse_unknown(item, ("text",), f"{key}.{target}.")
                texts[str(PurePosixPath(target))] = self.values.text(item, "text", f"{key}.{target}.text")
        return texts

    def _variants(self, node: tree.Mapping, key: str) -> dict[str, Variant]:
        """Return the files that may stand in for the model's, by their names."""
        given = self.values.mapping(node, "variants", key)
        if given.entries and not isinstance(node.entries.get("file"), (tree.Scalar, tree.Mapping)):
            self.values.error("variants stand in for a file, and none is given", given.place, key, "file: model.onnx")
        file = node.entries.get("file")
        if given.entries and isinstance(file, tree.Mapping) and len(file.entries) > 1:
            message = f"variants stand in for one file, and there are {len(file.entries)} versions"
            self.values.error(message, given.place, key, "leave one version")
        variants = {}
        for name, item in given.without_nulls().entries.items():
            if not is_model_name(name):
                message = f"'{name}' cannot name a variant"
                self.values.error(message, given.place_of(name), f"{key}.{name}", "use letters, digits, '_', '.', '-'")
            elif path := self._source(item, f"{key}.{name}"):
                variants[name] = Variant(path, tree.to_data(item), given.place_of(name))
        return variants

    def _beneath(self, folder: Path, place: Place, key: str) -> list[str]:
        """Return the paths of the files in a folder, relative to it."""
        files, faults = whole(walk(folder))
        for path, fault in faults.items():
            self.values.error(f"'{folder.name}/{path}' is {fault}", place, key)
        if not files and not faults:
            self.values.error(f"the folder '{folder.name}' is empty", place, key)
        return sorted(files)

    def _python(self, node: tree.Node | None, key: str) -> Path | None:
        text = self.values.word(node, key) if node is not None else ""
        if node is None or not text:
            return None
        if text.startswith(BLUEPRINT_PREFIX):
            name = text.removeprefix(BLUEPRINT_PREFIX)
            folder = self.locate(name) if self.locate else None
            if folder is None:
                hint = "blueprint:image_classification/preprocessing, or a folder of your own"
                self.values.error(f"no blueprint has a Python model '{name}'", node.place, key, hint)
            return folder
        path = self._path(node, key)
        if path is not None and path.is_dir() and self.folder.is_relative_to(path.resolve()):
            message = f"'{text}' holds the spec too, and all that it holds would become the model's"
            self.values.error(message, node.place, key, "name the script (python: model.py), or give it its own folder")
            return None
        return path

    def _source(self, node: tree.Node, key: str) -> Path | None:
        """Return the path of a model's file; None where there is none."""
        path = self._path(node, key)
        if path is not None and path.is_dir():
            hint = "name the model's file; what lies beside it goes under files"
            self.values.error(f"'{path.name}' is a folder, not a file", node.place, key, hint)
            return None
        return path

    def _path(self, node: tree.Node, key: str) -> Path | None:
        """Return a path relative to the spec; None where nothing is there."""
        text = self.values.word(node, key)
        if not text:
            return None
        path = self.folder / text
        if problem := path_problem(path, text):
            self.values.error(problem, node.place, key, f"paths are relative to the spec, in {self.folder}")
            return None
        return path

    def _steps(self, node: tree.Node | None, key: str) -> tuple[Step, ...]:
        if node is None:
            return ()
        if not isinstance(node, tree.Sequence) or not node.items:
            what = "an empty one" if isinstance(node, tree.Sequence) else tree.kind_of(node)
            self.values.error(f"expected a list of steps, got {what}", node.place, key, "ensemble: [a, b]")
            return ()
        steps = (self._step(item, f"{key}[{index}]") for index, item in enumerate(node.items))
        return tuple(step for step in steps if step is not None)

    def _step(self, node: tree.Node, key: str) -> Step | None:
        if isinstance(node, tree.Scalar) and node.is_given:
            return Step(node.text, node.place)
        if not isinstance(node, tree.Mapping):
            shown = "nothing" if isinstance(node, tree.Scalar) else tree.kind_of(node)
            self.values.error(f"expected a model's name or a step, got {shown}", node.place, key)
            return None
        node = node.without_nulls()
        self.values.refuse_unknown(node, STEP_KEYS, f"{key}.")
        model = self.values.text(node, "model_name", f"{key}.model_name")
        if not model:
            if "model_name" not in node.entries:
                self.values.error("the step names no model", node.place, f"{key}.model_name", "model_name: NAME")
            return None
        return Step(
            model=model,
            place=node.place,
            version=self._version(node, f"{key}.model_version"),
            namespace=self.values.text(node, "model_namespace", f"{key}.model_namespace"),
            input_map=self._map(node, "input_map", key),
            output_map=self._map(node, "output_map", key),
            places=_places_in(node),
        )

    def _map(self, node: tree.Mapping, name: str, key: str) -> dict[str, str] | None:
        return self.values.texts(node, name, f"{key}.{name}") if name in node.entries else None

    def _version(self, node: tree.Mapping, key: str) -> int:
        # omitted means version 0 to Triton, not the latest (core: ensemble_utils.cc); so -1 is always written
        given = node.entries.get("model_version")
        if given is None:
            return -1
        version = given.whole_number if isinstance(given, tree.Scalar) else None
        if version is None or not -1 <= version <= NEWEST_VERSION:
            message = f"expected -1 (the latest) or a version, got {tree.kind_of(given)}"
            self.values.error(message, node.place_of("model_version"), key, "model_version: -1")
            return -1
        return version


def _places_in(step: tree.Mapping) -> dict[str, Place]:
    """Return where a step's fields were written, those of the tensors in its maps too."""
    places = {name: step.place_of(name) for name in step.entries}
    for name, node in step.entries.items():
        if isinstance(node, tree.Mapping):
            places |= {f"{name}.{tensor}": node.place_of(tensor) for tensor in node.entries}
    return places


def _is_inside(path: PurePosixPath) -> bool:
    """Whether a path leads into the model's folder, and not to its configuration."""
    return not path.is_absolute() and ".." not in path.parts and str(path) not in (".", CONFIG_FILE)
