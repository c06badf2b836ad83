"""Whether each config.pbtxt is a configuration that the target's server can read, with nothing of a template left."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tritonsmith.generator.catalog.releases import FIELDS_SINCE, fields_newer_than
from tritonsmith.generator.checks.case import Case
from tritonsmith.generator.checks.registry import Stage, check_case
from tritonsmith.generator.findings import Finding, Phase, Place, error, warning
from tritonsmith.generator.repository.contents import small_bytes
from tritonsmith.generator.repository.core import File, Model, SourceFile
from tritonsmith.generator.repository.tokens import Tokens

_INDEX = re.compile(r"\[[0-9]+\]")
_PLACEHOLDER = re.compile(r"\$\{[A-Za-z_][A-Za-z0-9_]*\}")
# A string that never ends is passed over as one: looking for its end from each quote in it takes too long.
_STRING_OR_COMMENT = re.compile(r"#[^\n]*|\"[^\"\\\n]*(?:\\.[^\"\\\n]*)*\"?|'[^'\\\n]*(?:\\.[^'\\\n]*)*'?")
# Files that templates of models are filled in; of tokenizers and of Python `${` may be what is meant.
_FILLED = (".pbtxt", ".yaml", ".yml", ".json")
_NOT_FILLED = ("tokenizer", "vocab", "added_tokens", "special_tokens", "merges", "chat_template", "preprocessor")
_LARGEST_BYTES = 1 << 20


@check_case(
    "TS101",
    "every config.pbtxt is a model configuration of the target's release",
    triton="failed to read text proto from {path}",
    stage=Stage.POLL,
)
def configurations_parse(case: Case) -> Iterator[Finding]:
    """Triton answers only "failed to poll from model repository"; the reason stands in its log alone.

    A field that is younger than the server is a parse error there.

    Source: core: model_config_utils.cc (GetNormalizedModelConfig), triton-config A2 rule 18; common:
    protobuf/model_config.proto on the release branches.
    """
    release = case.target.release.name
    newer = [path for path, since in FIELDS_SINCE.items() if since > release]
    for model in case.repository.models.values():
        if model.findings and "" not in model.faults:
            for finding in model.findings:
                yield case.about(model, finding)
        if newer and model.config is not None:
            for path, since_path in _newer_fields(model, release, newer):
                its_release = FIELDS_SINCE[since_path]
                message = f"'{since_path}' came with {its_release}; Triton {release} does not know it"
                yield case.about(model, error(message, remedy=f"serve it with {its_release} or newer"), path)


def _newer_fields(model: Model, release: str, newer: list[str]) -> Iterator[tuple[str, str]]:
    """Yield the fields that are written and came after the release: where, and how the table calls them.

    One that is written with the value that it has anyway (0, false) is refused as well.
    """
    if not model.text:
        assert model.config is not None
        yield from ((path, path) for path in fields_newer_than(release, model.config))
        return
    if not any(path.rpartition(".")[2] in model.text for path in newer):
        return
    for path in model.origins:
        if (since_path := _INDEX.sub("", path)) in newer and not path.endswith("]"):
            yield path, since_path


@check_case("TS104", "no placeholder of a template is left", phase=Phase.REQUEST)
def placeholders_are_filled(case: Case) -> Iterator[Finding]:
    """A `${...}` that is left in a string is text to the backend: a path that does not exist, a default in silence.

    Elsewhere in config.pbtxt it is a parse error. In the YAML and JSON files of a model it may be meant.

    Source: tensorrtllm_backend: tools/fill_template.py (safe_substitute); server #6813, #8592.
    """
    for model in case.repository.models.values():
        if "${" in model.text:
            yield from _in_configuration(case, model)
        for path in model.files:
            if path.endswith(_FILLED) and not path.rpartition("/")[2].startswith(_NOT_FILLED):
                yield from _in_file(case, model, path)


def _in_configuration(case: Case, model: Model) -> Iterator[Finding]:
    file = case.origin(model).file
    tokens = Tokens(model.text)
    told = {(finding.place.line, finding.place.column) for finding in model.findings}
    for found in _STRING_OR_COMMENT.finditer(model.text):
        for match in _PLACEHOLDER.finditer(model.text, *found.span()) if found[0][0] != "#" else ():
            place = Place(file, *tokens.place_at(match.start()))
            if (place.line, place.column) not in told:
                message = f"{match[0]} is a placeholder that was never filled"
                yield case.about(model, error(message, place, remedy="fill it, or leave the setting out"))


def _in_file(case: Case, model: Model, path: str) -> Iterator[Finding]:
    text = _small_text(model.files[path])
    file = str(found.path) if isinstance(found := model.files[path], SourceFile) else f"{model.name}/{path}"
    tokens = Tokens(text)
    for match in _PLACEHOLDER.finditer(text):
        message = f"{match[0]} is a placeholder that was never filled"
        yield case.about(model, warning(message, Place(file, *tokens.place_at(match.start())), remedy="fill it"), "")


def _small_text(file: File) -> str:
    """Return a small file's text, empty where it is none."""
    try:
        return (small_bytes(file, _LARGEST_BYTES) or b"").decode()
    except UnicodeDecodeError:
        return ""
