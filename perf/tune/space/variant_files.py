"""The files of a model's variants: where they lie in the repository that is tuned, and how a candidate names one.

All variants lie beside the model's file in its version's folder, so that one live server changes from one to another
by `default_model_filename`. What is built in the end has the chosen one alone, under `file:`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from tritonsmith.generator.lower.model_file import facts_of_file
from tritonsmith.generator.repository.core import File, Repository, SourceFile
from tritonsmith.generator.repository.states import parent_folders
from tritonsmith.generator.spec.document import ModelSpec, Spec
from tritonsmith.generator.spec.tune import VARIANTS
from tritonsmith.perf.document import Scalar

FILENAME = "default_model_filename"
# By model and variant the file's name in the version's folder, empty for the variant that `file:` names.
VariantFiles = Mapping[str, Mapping[str, str]]


def variant_files(spec: Spec) -> VariantFiles:
    """Return how each variant of each model is called in the repository that `with_variants` makes."""
    return {
        name: {variant: "" if _is_placed(model, variant) else _filename(model, variant) for variant in model.variants}
        for name, model in spec.models.items()
        if model.variants
    }


def with_variants(spec: Spec, repository: Repository) -> Repository:
    """Return the repository of a spec with the files of all variants, for tuning alone."""
    models = dict(repository.models)
    for name, variants in variant_files(spec).items():
        added: dict[str, File] = {}
        for variant, filename in variants.items():
            added |= _files(spec.models[name], variant, filename) if filename else {}
        files = {**models[name].files, **added}
        models[name] = replace(models[name], files=files, folders=tuple(sorted(parent_folders(files))))
    return replace(repository, models=models)


def without_alias(variant: Mapping[str, Scalar], files: VariantFiles) -> dict[str, Scalar]:
    """Return a variant with a file's name for the name of a precision variant; that of `file:` is no change."""
    found: dict[str, Scalar] = {}
    for field, value in variant.items():
        model = field.removeprefix("models.").removesuffix(f".{VARIANTS}")
        if not field.endswith(f".{VARIANTS}") or model not in files:
            found[field] = value
        elif filename := files[model][str(value)]:
            found[field.removesuffix(VARIANTS) + FILENAME] = filename
    return found


def chosen_variant(model: ModelSpec, filename: str) -> str:
    """Return which variant a file's name in the version's folder is, empty where it is none."""
    return next((name for name in model.variants if _filename(model, name) == filename), "")


def _is_placed(model: ModelSpec, variant: str) -> bool:
    return model.variants[variant].path.resolve() in {path.resolve() for path in model.file.values()}


def _filename(model: ModelSpec, variant: str) -> str:
    return f"variant-{variant}{model.variants[variant].path.suffix}"


def _files(model: ModelSpec, variant: str, filename: str) -> dict[str, File]:
    """Return a variant's files; with others beside it it gets a folder: two graphs may call their weights alike.

    The folder bears the file's name and holds model.onnx. Source: onnxruntime_backend r24.10, ModelState::LoadModel.
    """
    version, path = next(iter(model.file), 1), model.variants[variant].path
    facts = facts_of_file(replace(model, file={version: path}, variants={}), [])
    beside = {name: file for name, file in facts.files.items() if file != SourceFile(path)} if facts else {}
    if not beside:
        return {f"{version}/{filename}": SourceFile(path)}
    folder = f"{version}/{filename}"
    moved = {f"{folder}/{name.partition('/')[2]}": file for name, file in beside.items()}
    return {f"{folder}/model.onnx": SourceFile(path), **moved}
