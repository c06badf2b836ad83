"""Telling Kubernetes manifests from what else a path can hold; nothing here parses YAML, which most checks need not."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from tritonsmith.generator.files import open_regular
from tritonsmith.generator.repository.names import CONFIG_FILE

KUSTOMIZATIONS = ("kustomization.yaml", "kustomization.yml", "Kustomization")
_SPEC = "tritonsmith.yaml"
YAML = (".yaml", ".yml")
MOST_FILES = 5_000  # in a folder; a folder of manifests has dozens
_DEEPEST = 6
_MOST_BYTES = 1 << 20  # of a file, in which its first document says what it is
_KIND = re.compile(rb"^[\"']?kind[\"']?\s*:\s*\S", re.MULTILINE)
_API = re.compile(rb"^[\"']?apiVersion[\"']?\s*:\s*\S", re.MULTILINE)


def is_manifests(path: Path) -> bool:
    """Whether a path holds Kubernetes manifests: YAML files whose documents say apiVersion and kind.

    A folder in which one folder has a config.pbtxt is a model repository, and one with a spec in it is a project.
    """
    if path.is_dir():
        if (path / _SPEC).exists() or any(path.glob(f"*/{CONFIG_FILE}")):
            return False
        return any(file.name in KUSTOMIZATIONS or _holds_objects(file) for file in yaml_files(path))
    return path.suffix in YAML and _holds_objects(path)


def yaml_files(folder: Path) -> Iterator[Path]:
    """Yield the YAML files and kustomizations below a folder; hidden folders and what is far down are left out."""
    count = 0
    for parent, folders, files in os.walk(folder):
        depth = len(Path(parent).relative_to(folder).parts)
        folders[:] = sorted(name for name in folders if not name.startswith(".") and depth < _DEEPEST)
        for name in sorted(files):
            if name.endswith(YAML) or name in KUSTOMIZATIONS:
                count += 1
                if count > MOST_FILES:
                    return
                yield Path(parent) / name


def _holds_objects(path: Path) -> bool:
    try:
        with open_regular(path) as file:
            text = file.read(_MOST_BYTES)
    except OSError:
        return False
    return bool(_KIND.search(text) and _API.search(text))
