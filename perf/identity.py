"""What numbers depend on, as digests: the files that are served, the configurations, the input and the machine."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tritonsmith.generator.repository.walk import BYTECODE, walk, whole
from tritonsmith.perf.measure.machine import Environment
from tritonsmith.perf.target import Target

MAX_HASHED_BYTES = 64 << 20  # bigger files count by size and time


def digest_of(facts: Any) -> str:
    """Return a digest of plain JSON data; the order of keys does not count."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def identity_of(
    target: Target,
    configs: Mapping[str, Mapping[str, Any]],
    input_data: Path,
    environment: Environment,
    repository: Path | None = None,
) -> str:
    """Return a digest of what every number depends on: configurations, files, input and machine.

    The files are those of `repository`, by default of what the target serves; where neither is known its URL stands
    for them.
    """
    local = repository or target.repository
    facts = {
        "configs": configs,
        "files": repository_digest(local, tuple(configs)) if local else target.http_url,
        "input": hashlib.sha256(input_data.read_bytes()).hexdigest(),
        "machine": [environment.cpu, environment.cores, environment.server, environment.perf_analyzer],
    }
    return digest_of(facts)


def repository_digest(repository: Path, models: tuple[str, ...]) -> str:
    """Return a digest of the models' folders: paths and contents."""
    digest = hashlib.sha256()
    for model in models:
        paths, _ = whole(walk(repository / model, {BYTECODE}))
        for path in sorted(repository / model / path for path in paths):
            digest.update(f"{path.relative_to(repository)}\0".encode())
            digest.update(_fingerprint(path))
    return digest.hexdigest()


def _fingerprint(path: Path) -> bytes:
    state = path.stat()
    if state.st_size > MAX_HASHED_BYTES:
        return f"{state.st_size} {state.st_mtime_ns}".encode()
    return hashlib.sha256(path.read_bytes()).digest()
