"""The model repository as data: models, their configurations, and their files as bytes or as links to big files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from tritonclient.grpc.model_config_pb2 import ModelConfig

from tritonsmith.generator.findings import Finding, Place


@dataclass(frozen=True)
class Content:
    """A file whose bytes we hold."""

    data: bytes


@dataclass(frozen=True)
class SourceFile:
    """A file that lies elsewhere and may be too big to read into memory."""

    path: Path
    place: Literal["copy", "link"] = "copy"  # link: a symbolic link to the file instead of a copy


File = Content | SourceFile


@dataclass(frozen=True)
class FolderFiles(Mapping[str, File]):
    """The files in a folder, by path relative to it: a `SourceFile` is made where one is asked for."""

    folder: str
    paths: tuple[str, ...]

    @cached_property
    def _known(self) -> frozenset[str]:
        return frozenset(self.paths)

    def __getitem__(self, path: str) -> File:
        if path not in self._known:
            raise KeyError(path)
        return SourceFile(Path(self.folder, path))

    def __contains__(self, path: object) -> bool:
        return path in self._known

    def __iter__(self) -> Iterator[str]:
        return iter(self.paths)

    def __len__(self) -> int:
        return len(self.paths)


@dataclass(frozen=True)
class Model:
    """One model folder.

    `config` is the configuration as written, None where there is no config.pbtxt or where it does not parse; then
    `findings` says why. `text` is what config.pbtxt holds, empty where the configuration was not read from one.
    `files` are all files of the folder but config.pbtxt, by path relative to it.
    `origins` maps dotted field paths (`dynamic_batching.preferred_batch_size`) to where they were written.
    `faults` says of what lies in the folder and can be neither read nor entered what it is, such as a link to nothing.
    """

    name: str
    config: ModelConfig | None
    files: Mapping[str, File] = field(default_factory=dict)
    folders: tuple[str, ...] = ()  # every folder below the model's, also empty ones
    findings: tuple[Finding, ...] = ()
    origins: Mapping[str, Place] = field(default_factory=dict)
    faults: Mapping[str, str] = field(default_factory=dict)
    text: str = ""


@dataclass(frozen=True)
class Repository:
    """A model repository: its models by name, in the order in which they were written.

    `settings` is what a server of it must know beside the models, as JSON: release, hardware, server arguments, BLS
    calls; the lock keeps it. `findings` are warnings about no single model. `files` lie at the root, where Triton does
    not look: scripts. `loose` names what else was seen there.
    """

    name: str
    models: Mapping[str, Model]
    spec_digest: str = ""  # sha256 of the spec's text and profile, empty where there is no spec
    settings: Mapping[str, Any] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    files: Mapping[str, File] = field(default_factory=dict)
    loose: frozenset[str] = frozenset()
