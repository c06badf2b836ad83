"""Read one pipeline of a spec: which blueprint it uses, with what settings, names and engine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tritonsmith.generator.spec import tree
from tritonsmith.generator.spec.document import Engine, Pipeline
from tritonsmith.generator.spec.paths import folder_problem
from tritonsmith.generator.spec.settings import EngineSettings, read_settings
from tritonsmith.generator.spec.values import Values

PIPELINE_KEYS = ("use", "with", "names", "engine", "replicas", "nodes")


@dataclass(frozen=True)
class PipelineReader:
    """Reads pipelines; paths in them are relative to `folder`, the spec's."""

    values: Values
    folder: Path

    def pipeline(self, name: str, node: tree.Node) -> Pipeline | None:
        """Return one pipeline, None where it uses no blueprint."""
        key = f"pipelines.{name}"
        if not isinstance(node, tree.Mapping):
            hint = "{use: BLUEPRINT, with: {}}"
            self.values.error(f"expected a mapping, got {tree.kind_of(node)}", node.place, key, hint)
            return None
        self.values.refuse_unknown(node, PIPELINE_KEYS, f"{key}.")
        node = node.without_nulls()
        blueprint = self.values.text(node, "use", f"{key}.use")
        if not blueprint:
            if "use" not in node.entries:
                self.values.error("no blueprint is given", node.place, f"{key}.use", "use: image_classification")
            return None
        return Pipeline(
            name=name,
            blueprint=blueprint,
            settings=tree.to_data(self.values.mapping(node, "with", f"{key}.with")),
            names=self.values.texts(node, "names", f"{key}.names"),
            tree=node,
            engine=self._engine(node, f"{key}.engine"),
            replicas=self._count(node, "replicas", f"{key}.replicas"),
            nodes=self._count(node, "nodes", f"{key}.nodes"),
        )

    def _engine(self, node: tree.Mapping, key: str) -> Engine | None:
        given = node.entries.get("engine")
        if given is None:
            return None
        if isinstance(given, tree.Scalar):  # `engine: demo` is short for {from: demo, place: copy}
            path = self._folder(given, self.values.word(given, key), key, "copy")
            return Engine(path) if path else None
        settings = read_settings(EngineSettings, given, key, self.values.findings)
        if settings is None or not isinstance(given, tree.Mapping):
            return None
        source = given.entries.get("from")
        path = self._folder(source, settings.source, f"{key}.from", settings.place) if source is not None else None
        return Engine(path, settings.place, settings.at) if path or source is None else None

    def _folder(self, node: tree.Node, text: str, key: str, place: str) -> Path | None:
        """Return a folder relative to the spec; None where there is none, or where it cannot be copied."""
        path = self.folder / text
        hint = f"the folder of an engine or a model; paths are relative to the spec, in {self.folder}"
        problem = folder_problem(path, text) if text else ""
        if not problem and place == "copy" and self.folder.is_relative_to(path.resolve()):
            problem = f"'{text}' holds the spec too, and all that it holds would be copied"
            hint = "give the engine a folder of its own, or name it where it lies: {from: ., place: link}"
        if problem:
            self.values.error(problem, node.place, key, hint)
        return path if text and not problem else None

    def _count(self, node: tree.Mapping, name: str, key: str) -> int:
        given = node.entries.get(name)
        if given is None:
            return 1
        count = given.whole_number if isinstance(given, tree.Scalar) else None
        if count is None or count < 1:
            message = f"expected a whole number from 1, got {tree.kind_of(given)}"
            self.values.error(message, given.place, key, f"{name}: 1")
            return 1
        return count
