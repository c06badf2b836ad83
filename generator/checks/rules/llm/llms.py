"""The language models of a repository: what TensorRT-LLM runs, what calls it, and the engines that lie beside them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from tritonsmith.generator.catalog.tensorrtllm.engines import WHOLE_FRACTION
from tritonsmith.generator.catalog.tensorrtllm.parameters import PLACEHOLDER, TENSORRT_LLM, Parameter, parameters_of
from tritonsmith.generator.catalog.tensorrtllm.versions import OLDEST, Version, parse_version
from tritonsmith.generator.checks.case import Case, ModelCase
from tritonsmith.generator.errors import SpecError
from tritonsmith.generator.findings import Finding, error
from tritonsmith.generator.repository.contents import small_bytes
from tritonsmith.generator.repository.core import File, Model

if TYPE_CHECKING:
    from tritonsmith.generator.inspect.engine import EngineFacts

BACKEND = "tensorrtllm"
LARGEST_FILE_BYTES = 1 << 22  # config.json of an engine has some kilobytes
_MOST_PARTS = 64  # of a path
# C++ reads these and no others; a Python model reads "1" and "true" in any case, all else is false.
_TRUE, _FALSE = ("True", "true", "TRUE", "1"), ("False", "false", "FALSE", "0")
_WHOLE = re.compile(r"\s*([+-]?\d{1,18})")  # std::stoi: what follows the digits is not looked at
_NUMBER = re.compile(r"\s*([+-]?(?:\d{1,18}(?:\.\d{0,18})?|\.\d{1,18})(?:[eE][+-]?\d{1,2})?)")


@dataclass(frozen=True)
class Folder:
    """A folder within a model's, by its path relative to it; files are those that the repository holds."""

    model: Model
    path: str

    def __str__(self) -> str:
        return f"{self.model.name}/{self.path}"

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The names of the files in it and below, relative to it."""
        prefix = f"{self.path}/"
        return tuple(path.removeprefix(prefix) for path in self.model.files if path.startswith(prefix))

    def read(self, name: str) -> bytes | None:
        """Return a file's bytes; None where there is none, or none that can be read."""
        file = self.model.files.get(f"{self.path}/{name}")
        return read_file(file) if file is not None else None


def read_file(file: File) -> bytes | None:
    """Return a file's bytes; None where it cannot be read, or is far larger than a file of settings."""
    return small_bytes(file, LARGEST_FILE_BYTES)


def folder_in(case: Case, model: Model, path: str) -> Folder | None:
    """Return the folder of the repository that a parameter names, None where it may lie elsewhere.

    A server sees the repository anywhere: `/models/tensorrt_llm/1/engine` is 1/engine of the model tensorrt_llm. A
    relative path counts from the model's version folder where the folder is there; else nobody knows from where.
    """
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if ".." in parts or not 0 < len(parts) <= _MOST_PARTS:
        return None
    if not path.startswith("/"):
        candidates = (Folder(model, f"{version}/{'/'.join(parts)}") for version in _versions(model))
        return next((folder for folder in candidates if folder.names), None)
    for at in range(len(parts) - 2, -1, -1):
        named = case.repository.models.get(parts[at])
        if named is not None and parts[at + 1] in _versions(named):
            return Folder(named, "/".join(parts[at + 1 :]))
    return None


def _versions(model: Model) -> list[str]:
    tops = {path.partition("/")[0] for path in (*model.folders, *model.files)}
    return sorted(top for top in tops if top.isdecimal())


class Texts:
    """A model's parameters: what is set, placeholders and empty texts left out."""

    model: ModelCase

    @cached_property
    def texts(self) -> Mapping[str, str]:
        """The parameters that are set, as text."""
        found = {name: value.string_value for name, value in self.model.config.parameters.items()}
        return {name: text for name, text in found.items() if text and PLACEHOLDER not in text}

    def text(self, name: str) -> str:
        """Return a parameter, empty where it is not set."""
        return self.texts.get(name, "")

    def whole(self, name: str) -> int | None:
        """Return a parameter as C++ reads a whole number; None where it is not set, or none."""
        found = _WHOLE.match(self.text(name))
        return int(found[1]) if found else None

    def number(self, name: str) -> float | None:
        """Return a parameter as C++ reads a number; None where it is not set, or none."""
        found = _NUMBER.match(self.text(name))
        return float(found[1]) if found else None

    def error(self, name: str, message: str, remedy: str) -> Finding:
        """Return an error at a parameter."""
        return self.model.error(f"parameters.{name}", message, remedy=remedy)

    def warning(self, name: str, message: str, remedy: str) -> Finding:
        """Return a warning at a parameter."""
        return self.model.warning(f"parameters.{name}", message, remedy=remedy)


@dataclass(frozen=True)
class Llm(Texts):
    """A model that runs an engine: by the C++ backend, or by NVIDIA's Python model of the same parameters."""

    model: ModelCase
    is_python: bool = False

    @property
    def name(self) -> str:
        """The model's name."""
        return self.model.name

    @property
    def version(self) -> Version:
        """The release's TensorRT-LLM, (0, 0) where it has none or none that is known."""
        return parse_version(self.model.target.release.tensorrt_llm)

    @cached_property
    def known(self) -> Mapping[str, Parameter]:
        """The parameters that the release's TensorRT-LLM has; none where they are not known."""
        return parameters_of(TENSORRT_LLM, self.version) if self.version >= OLDEST else {}

    def is_true(self, name: str) -> bool | None:
        """Return a boolean parameter as it is read; None where it is not set, or not read."""
        text = self.text(name)
        if self.is_python:
            return text.lower() in ("1", "true") if text else None
        return True if text in _TRUE else False if text in _FALSE else None

    def is_on(self, name: str) -> bool:
        """Whether a boolean parameter is on, by itself or as the release's default."""
        said = self.is_true(name)
        return said if said is not None else name in self.known and self.known[name].default == "true"

    def fraction(self) -> float:
        """Return the part of the free GPU memory that the KV cache takes."""
        said = self.number("kv_cache_free_gpu_mem_fraction")
        return WHOLE_FRACTION if said is None else said

    def groups(self, name: str) -> list[list[int]]:
        """Return `0,1;2,3` as [[0, 1], [2, 3]]; none where it is not set, or not written so."""
        text = re.sub(r"\s", "", self.text(name))
        if not re.fullmatch(r"\d{1,9}(,\d{1,9})*(;\d{1,9}(,\d{1,9})*)*", text):
            return []
        return [[int(member) for member in group.split(",")] for group in text.split(";")]

    @cached_property
    def folder(self) -> Folder | None:
        """The folder of the repository that its engine lies in; None where it lies elsewhere."""
        path = self.text("gpt_model_path")
        return folder_in(self.model.case, self.model.model, path) if path else None

    @cached_property
    def _read(self) -> EngineFacts | SpecError | None:
        from tritonsmith.generator.inspect.engine import engine_of, is_engine
        from tritonsmith.generator.inspect.json_file import parse_json

        data = self.folder.read("config.json") if self.folder is not None else None
        if data is None:
            return None
        path = Path(f"{self.folder}/config.json")
        try:
            found = parse_json(data, path, "config.json of the engine")
            # A Hugging Face folder or a checkpoint is run by another backend than NVIDIA's, such as ours.
            return engine_of(found, path.parent, self.folder.names) if is_engine(found) and self.folder else None
        except SpecError as problem:
            return problem

    @property
    def engine(self) -> EngineFacts | None:
        """What its engine was built for; None where the repository does not hold it, or something is wrong with it."""
        return None if isinstance(self._read, SpecError) or (self._read and self._read.findings) else self._read

    @property
    def faults(self) -> tuple[Finding, ...]:
        """What is wrong with its engine."""
        if isinstance(self._read, SpecError):
            return self._read.findings or (error(self._read.message, remedy=self._read.hint or ""),)
        return self._read.findings if self._read is not None else ()

    def says(self, key: str) -> str:
        """Return where something of the engine was read: `engine/config.json: build_config.max_beam_width`."""
        return f"{self.folder}/config.json: {key}"


@dataclass(frozen=True)
class Caller(Texts):
    """A Python model that asks LLMs: tensorrt_llm_bls. `is_ours`: it names preprocessing, and detokenises itself."""

    model: ModelCase

    @property
    def name(self) -> str:
        """The model's name."""
        return self.model.name

    @property
    def is_ours(self) -> bool:
        """Whether it is the blueprint's and not NVIDIA's."""
        return "preprocessing_model_name" in self.model.config.parameters

    @property
    def asked(self) -> str:
        """The name of the LLM that it asks."""
        return self.text("tensorrt_llm_model_name") or "tensorrt_llm"

    @property
    def draft(self) -> str:
        """The name of the draft model, empty where there is none."""
        return self.text("tensorrt_llm_draft_model_name")


def llms_of(case: Case) -> tuple[Llm, ...]:
    """Return the models that run an engine of TensorRT-LLM."""
    return tuple(llm for model in case.models() if (llm := llm_of(model)) is not None)


def callers_of(case: Case) -> tuple[Caller, ...]:
    """Return the Python models that ask such models."""
    return tuple(caller for model in case.models() if (caller := caller_of(model)) is not None)


def llm_of(model: ModelCase) -> Llm | None:
    """Return a model as one that runs an engine, None where it is another."""
    config = model.config
    if config.backend == BACKEND:
        return Llm(model)
    is_variant = config.backend == "python" and "gpt_model_type" in config.parameters
    return Llm(model, is_python=True) if is_variant else None


def caller_of(model: ModelCase) -> Caller | None:
    """Return a model as one that asks LLMs, None where it is another."""
    names = ("tensorrt_llm_model_name", "tensorrt_llm_draft_model_name", "accumulate_tokens")
    parameters = model.config.parameters
    is_caller = model.config.backend == "python" and any(name in parameters for name in names)
    return Caller(model) if is_caller else None
