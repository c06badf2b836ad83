"""Read a spec: the YAML tree, profile and pipelines merged in, our own keys validated, all mistakes collected."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tritonsmith.generator.catalog.releases import EMBEDDED, NEWEST, RELEASES, Release
from tritonsmith.generator.errors import UsageError
from tritonsmith.generator.findings import Finding
from tritonsmith.generator.repository.names import is_model_name
from tritonsmith.generator.spec import tree
from tritonsmith.generator.spec.copied import with_places_of
from tritonsmith.generator.spec.deploy import Deploy
from tritonsmith.generator.spec.document import Expander, Locator, ModelSpec, Pipeline, Spec, Surroundings
from tritonsmith.generator.spec.merge import merge_message, merge_models
from tritonsmith.generator.spec.read_model import ModelReader
from tritonsmith.generator.spec.read_pipeline import PipelineReader
from tritonsmith.generator.spec.settings import Hardware, Server, read_settings
from tritonsmith.generator.spec.sharing import Sharing, read_sharing
from tritonsmith.generator.spec.tune import read_tune
from tritonsmith.generator.spec.values import Values
from tritonsmith.generator.suggest import did_you_mean

TOP_KEYS = (
    *("repository", "triton", "hardware", "sharing", "server", "models", "pipelines", "tune", "deploy"),
    "profiles",
)


def read_spec(
    path: Path,
    *,
    profile: str = "",
    expand: Expander | None = None,
    locate: Locator | None = None,
    text: str | None = None,
) -> Spec:
    """Return the spec at `path` with one profile applied; what is wrong with it is in its findings.

    A `text` is read instead of what the file holds now; paths in it count from the file's folder.

    Raises: SpecError where it cannot be read as YAML at all; UsageError for an unknown profile.
    """
    findings: list[Finding] = []
    text = tree.read_text(path) if text is None else text
    root = tree.parse_tree(text, str(path), findings).without_nulls()
    digest = hashlib.sha256(text.encode() + b"\0" + profile.encode()).hexdigest()
    return _Reader(path, findings, expand, locate).spec(root, profile, digest)


class _Reader:
    """Turns trees into the document; every mistake becomes a finding."""

    def __init__(self, path: Path, findings: list[Finding], expand: Expander | None, locate: Locator | None) -> None:
        self.path = path
        self.findings = findings
        self.values = Values(findings)
        self.folder = path.resolve().parent
        self.models = ModelReader(self.values, self.folder, locate)
        self.pipelines = PipelineReader(self.values, self.folder)
        self.expand = expand

    def spec(self, root: tree.Mapping, profile: str, digest: str) -> Spec:
        """Return the whole spec."""
        self.values.refuse_unknown(root, TOP_KEYS, "")
        layer = self._profile(root, profile)
        top = _with_layer(root, layer).entries if layer is not None else root.entries
        release, hardware = self._release(top.get("triton")), self._hardware(top.get("hardware"))
        server = self._settings(Server, top.get("server"), "server") or Server()
        models = self._models(root, layer, Surroundings(release, hardware, self.folder, server))
        deploy = self._settings(Deploy, top.get("deploy"), "deploy") or Deploy()
        tune = read_tune(top["tune"], models, self.findings) if "tune" in top else None
        if not models and not self.findings:
            self.values.error("the spec has no models", root.place, "models", "models: {NAME: {file: model.onnx}}")
        return Spec(
            path=self.path,
            name=self._name(top, root),
            release=release,
            hardware=hardware,
            server=server,
            models=models,
            digest=digest,
            tune=tune,
            deploy=deploy,
            sharing=self._sharing(top.get("sharing")),
            findings=tuple(self.findings),
        )

    def _profile(self, root: tree.Mapping, profile: str) -> tree.Mapping | None:
        profiles = self.values.mapping(root, "profiles", "profiles")
        for name, node in profiles.entries.items():
            self._judge_profile(name, node)
        if not profile:
            return None
        layer = profiles.entries.get(profile)
        if layer is None:
            raise UsageError(
                f"the spec has no profile '{profile}'.{did_you_mean(profile, profiles.entries)}",
                where=str(self.path),
                hint=f"it has {', '.join(profiles.entries)}" if profiles.entries else "it has no profiles at all",
            )
        return layer if isinstance(layer, tree.Mapping) else None

    def _judge_profile(self, name: str, layer: tree.Node) -> None:
        key = f"profiles.{name}"
        if isinstance(layer, tree.Mapping):
            self.values.refuse_unknown(layer, [key for key in TOP_KEYS if key != "profiles"], f"{key}.")
        else:
            self.values.error(f"expected a mapping, got {tree.kind_of(layer)}", layer.place, key, "{hardware: ...}")

    def _models(self, root: tree.Mapping, layer: tree.Mapping | None, around: Surroundings) -> Mapping[str, ModelSpec]:
        merged = tree.Mapping({}, root.place)
        for pipeline in self._pipelines(root, layer):
            if self.expand is not None:
                made = tree.mapping_from_data(self.expand(pipeline, around, self.findings), pipeline.place)
                fragment = with_places_of(made, pipeline.tree)
                self._refuse_clashes(fragment, merged, pipeline)
                merged = merge_models(merged, fragment)
        merged = merge_models(merged, self.values.mapping(root, "models", "models"))
        if layer is not None:
            merged = merge_models(merged, self.values.mapping(layer, "models", "models"))
        models = (self.models.model(name, node, merged.place_of(name)) for name, node in merged.entries.items())
        return {model.name: model for model in models if model is not None}

    def _refuse_clashes(self, fragment: tree.Mapping, merged: tree.Mapping, pipeline: Pipeline) -> None:
        for name in (name for name in fragment.entries if name in merged.entries):
            message = f"two pipelines make a model '{name}'"
            hint = f"rename the model in one of them: names: {{ROLE: {pipeline.name}_{name}}}"
            self.values.error(message, pipeline.place, f"pipelines.{pipeline.name}", hint)

    def _pipelines(self, root: tree.Mapping, layer: tree.Mapping | None) -> list[Pipeline]:
        entries = dict(self.values.mapping(root, "pipelines", "pipelines").entries)
        if layer is not None:
            for name, upper in self.values.mapping(layer, "pipelines", "pipelines").entries.items():
                lower = entries.get(name)
                if isinstance(lower, tree.Mapping) and isinstance(upper, tree.Mapping):
                    entries[name] = merge_message(lower, upper, None)
                else:
                    entries[name] = upper
        given = tree.Mapping(entries, root.place).without_nulls().entries
        pipelines = (self.pipelines.pipeline(name, node) for name, node in given.items())
        return [pipeline for pipeline in pipelines if pipeline is not None]

    def _release(self, node: tree.Node | None) -> Release:
        if node is None:
            return RELEASES[EMBEDDED]
        text = node.text if isinstance(node, tree.Scalar) else ""
        release = RELEASES.get(text)
        if release is None:
            hint = f"known are {next(iter(RELEASES))} to {NEWEST}"
            # a YAML tool makes 24.1 of 24.10
            meant = f" Did you mean '{text}0'?" if f"{text}0" in RELEASES else did_you_mean(text, RELEASES)
            self.values.error(f"unknown Triton release {tree.kind_of(node)}.{meant}", node.place, "triton", hint)
            return RELEASES[EMBEDDED]
        return release

    def _hardware(self, node: tree.Node | None) -> Hardware:
        if isinstance(node, tree.Scalar) and node.text == "none":
            return Hardware()
        return self._settings(Hardware, node, "hardware") or Hardware()

    def _sharing(self, node: tree.Node | None) -> Sharing:
        return (read_sharing(node, "sharing", self.findings) if node is not None else None) or Sharing()

    def _settings(self, kind: type[Any], node: tree.Node | None, key: str) -> Any:
        return None if node is None else read_settings(kind, node, key, self.findings)

    def _name(self, top: Mapping[str, tree.Node], root: tree.Mapping) -> str:
        node = top.get("repository")
        if node is None:
            folder = self.path.resolve().parent.name
            return folder if is_model_name(folder) else "model_repository"
        if not isinstance(node, tree.Scalar) or not is_model_name(node.text):
            hint = "use letters, digits, '_', '.' and '-'"
            self.values.error(f"{tree.kind_of(node)} cannot name a repository", node.place, "repository", hint)
            return "model_repository"
        return node.text


def _with_layer(root: tree.Mapping, layer: tree.Mapping) -> tree.Mapping:
    """Return the spec's top with a profile's over it: `server`, `tune` and `deploy` are merged, others replaced."""
    merged = {**root.entries, **layer.entries}  # a null of the profile's deletes
    for name in ("server", "tune", "deploy"):
        lower, upper = root.entries.get(name), layer.entries.get(name)
        if isinstance(lower, tree.Mapping) and isinstance(upper, tree.Mapping):
            merged[name] = merge_message(lower, upper, None)
    return tree.Mapping(merged, root.place, {**root.keys, **layer.keys}).without_nulls()
