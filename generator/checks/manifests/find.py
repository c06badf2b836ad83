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
# Of each line all stand in a file: an object, mig-parted's, the device plugin's, whose version may be left out
_SIGNS = tuple(
    tuple(re.compile(word, re.MULTILINE) for word in words)
    for words in (
        (rb"^[\"']?kind[\"']?\s*:\s*\S", rb"^[\"']?apiVersion[\"']?\s*:\s*\S"),
        (rb"^[\"']?mig-configs[\"']?\s*:",),
        (rb"^[\"']?version[\"']?\s*:\s*[\"']?v[0-9]", rb"^[\"']?(sharing|flags)[\"']?\s*:"),
        (rb"^sharing\s*:", rb"^\s+(timeSlicing|mps)\s*:", rb"^\s+resources\s*:"),
    )
)


def is_manifests(path: Path) -> bool:
    """Whether a path holds Kubernetes manifests: YAML files whose documents say apiVersion and kind, or are what the
    device plugin and mig-parted read of how GPUs are shared.

    A folder in which one folder has a config.pbtxt is a model repository, and one with a spec in it is a project.
    """
    if path.is_dir():
        if (path / _SPEC).exists() or any(path.glob(f"*/{CONFIG_FILE}")):
            return False
        return any(file.name in KUSTOMIZATIONS or _is_known(file) for file in yaml_files(path))
    return path.suffix in YAML and _is_known(path)


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


def _is_known(path: Path) -> bool:
    try:
        with open_regular(path) as file:
            text = file.read(_MOST_BYTES)
    except OSError:
        return False
    return any(all(word.search(text) for word in words) for words in _SIGNS)
