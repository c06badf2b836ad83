"""Put a pick into the spec's file: only what changes is touched, comments, order and layout stay as they are.

What is written is found by comparing: the configurations that the spec builds with those that were picked. Each
difference is one value, set in the text; then the text is read and built again, until nothing differs. So an ensemble
follows its steps by itself, unless it says otherwise, and what a shared anchor changed elsewhere is set back there.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tritonsmith.ensembles.pipelines import expand_pipeline, find_python_model, load_spec
from tritonsmith.generator.errors import SpecError, UsageError
from tritonsmith.generator.lower import lower
from tritonsmith.generator.spec import tree
from tritonsmith.generator.spec.data import message_data
from tritonsmith.generator.spec.document import Spec
from tritonsmith.generator.spec.edit.set_value import KeyPath, set_value
from tritonsmith.generator.spec.message import descriptor_of
from tritonsmith.generator.spec.read import read_spec
from tritonsmith.perf.files import write_by_rename
from tritonsmith.perf.tune.core import Candidate
from tritonsmith.perf.tune.space.variant_files import FILENAME, chosen_variant
from tritonsmith.perf.variants import changed_configs

ROUNDS = 4  # each settles what the one before changed elsewhere
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def write_pick(spec: Path, pick: Candidate, *, profile: str = "") -> bool:
    """Write a pick into a spec (into the profile, where one is given); return whether anything had to change.

    The file is exchanged by a rename. A pick that equals the spec leaves it as it is, byte for byte.

    Raises: SpecError where the spec cannot be read; UsageError where the pick cannot be written into it.
    """
    before = tree.read_text(spec)
    after = text_with_pick(spec, pick, profile=profile)
    if after == before:
        return False
    file = spec.resolve()  # a link stays one
    mark = BYTE_ORDER_MARK if file.read_bytes().startswith(BYTE_ORDER_MARK) else b""
    mode = file.stat().st_mode
    write_by_rename(file, mark + after.encode())
    file.chmod(mode)
    return True


def patch_of(spec: Path, pick: Candidate, *, profile: str = "") -> str:
    """Return what `write_pick` would change, as a unified diff; empty where it would change nothing.

    Raises: as `write_pick`.
    """
    before = tree.read_text(spec).splitlines(keepends=True)
    after = text_with_pick(spec, pick, profile=profile).splitlines(keepends=True)
    lines = difflib.unified_diff(before, after, f"a/{spec.name}", f"b/{spec.name}")
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)


def text_with_pick(spec: Path, pick: Candidate, *, profile: str = "") -> str:
    """Return the spec's text with a pick in it.

    Raises: SpecError where the spec cannot be read; UsageError where the pick cannot be written into it.
    """
    text = tree.read_text(spec)
    has_crlf = "\r\n" in text and "\n" not in text.replace("\r\n", "")
    if not pick.variant:
        return text
    after = _with_pick(spec, text.replace("\r\n", "\n") if has_crlf else text, pick, profile)
    return after.replace("\n", "\r\n") if has_crlf else after


def _with_pick(spec: Path, text: str, pick: Candidate, profile: str) -> str:
    read = load_spec(spec, profile)
    built = _configs(read)
    chosen = _chosen_files(read, pick)
    fields = {field: value for field, value in pick.variant.items() if field not in chosen}
    wanted = {**built, **changed_configs(fields, built)}
    prefix: tuple[str, ...] = ("profiles", profile, "models") if profile else ("models",)
    for field, file in chosen.items():
        name = field.removeprefix("models.").removesuffix(f".{FILENAME}")
        text = set_value(text, (*prefix, name, "file", *_version(read, name)), file)
    computing = {name for name, config in wanted.items() if not config.ensemble_scheduling.step}
    text = _changed(text, prefix, _built(spec, text, profile), wanted, computing)
    for _ in range(ROUNDS):
        try:
            now = _built(spec, text, profile)
        except SpecError:  # an ensemble that says its own max_batch_size contradicts its steps until it is changed too
            now = built
        if now == wanted:
            return text
        text = _changed(text, prefix, now, wanted, wanted)
    where = f"profile '{profile}' of the spec" if profile else "spec"
    raise UsageError(f"{pick.name} cannot be written into the {where}", where=str(spec), hint="write it by hand")


def _changed(
    text: str,
    prefix: tuple[str, ...],
    built: Mapping[str, ModelConfig],
    wanted: Mapping[str, ModelConfig],
    models: Collection[str],
) -> str:
    """Return the text with what differs in some models set to what is wanted."""
    for name in (name for name in wanted if name in models):
        for path, value, lacking in _differences(built[name], wanted[name]):
            text = set_value(text, (*prefix, name, *path), value, lacking=lacking)
    return text


def _differences(before: Message, after: Message) -> Iterator[tuple[KeyPath, Any, Any]]:
    """Yield (path, value, the whole value of the first list on the path) for every field that differs."""
    old, new = message_data(before), message_data(after)
    for member in descriptor_of(after).fields:
        name = member.name
        if old.get(name) == new.get(name):
            continue
        if name not in new:
            yield (name,), _nothing(member), None
        elif member.message_type is None or name not in old:
            yield (name,), new[name], None
        elif member.message_type.GetOptions().map_entry:
            yield from _entries(name, old[name], new[name])
        elif not member.is_repeated:
            for path, value, lacking in _differences(getattr(before, name), getattr(after, name)):
                yield (name, *path), value, lacking
        elif len(old[name]) != len(new[name]):
            yield (name,), new[name], None
        else:
            pairs = zip(getattr(before, name), getattr(after, name), strict=True)
            for index, (one, other) in enumerate(pairs):
                for path, value, _ in _differences(one, other):
                    yield (name, index, *path), value, new[name]


def _entries(name: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[tuple[KeyPath, Any, Any]]:
    for key in {**old, **new}:
        if old.get(key) != new.get(key):
            yield (name, key), new.get(key), None


def _nothing(member: FieldDescriptor) -> Any:
    """Return what stands for a field at its default: null for one with fields of its own."""
    if member.message_type is not None:
        return None
    return [] if member.is_repeated else member.default_value


def _configs(spec: Spec) -> dict[str, ModelConfig]:
    models = lower(spec).models
    return {name: model.config for name, model in models.items() if model.config is not None}


def _built(spec: Path, text: str, profile: str) -> dict[str, ModelConfig]:
    """Return the configurations that a text builds in the place of the spec's.

    Raises: SpecError.
    """
    return _configs(read_spec(spec, profile=profile, expand=expand_pipeline, locate=find_python_model, text=text))


def _chosen_files(spec: Spec, pick: Candidate) -> dict[str, str]:
    """Return by the pick's field the file that `file:` must name, for each variant of another file that was picked."""
    found = {}
    for field, value in pick.variant.items():
        model = spec.models.get(field.removeprefix("models.").removesuffix(f".{FILENAME}"))
        variant = chosen_variant(model, str(value)) if model and field.endswith(f".{FILENAME}") else ""
        if model and variant:
            found[field] = model.variants[variant].text
    return found


def _version(spec: Spec, model: str) -> tuple[str, ...]:
    """Return the version's key where `file:` is a mapping of versions."""
    versions = tuple(spec.models[model].file)
    return () if versions == (1,) else tuple(map(str, versions))
