"""The repository of `tritonsmith init text_generation`: for what shakes the whole pipeline."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tritonsmith.ensembles.blueprint import find_blueprint
from tritonsmith.ensembles.build import build_repository
from tritonsmith.ensembles.starter import write_starter
from tritonsmith.perf.bench.llm_model import MODEL

ENSEMBLE, BLS, ENGINE = "chat", "tensorrt_llm_bls", MODEL
DEMO_VOCAB, DEMO_CONTEXT = 1024, 1024  # of its engine


def write_text_pipeline(folder: Path, parameters: Mapping[str, Any] | None = None, **settings: Any) -> Path:
    """Write the starter's spec, its settings and backend's parameters changed, build it, and return the repository."""
    path = folder / "tritonsmith.yaml"
    write_starter(find_blueprint("text_generation"), path)
    spec = yaml.safe_load(path.read_text(encoding="utf-8"))
    with_ = spec["pipelines"][ENSEMBLE]["with"]
    with_ |= settings
    with_["parameters"] |= parameters or {}
    path.write_text(yaml.safe_dump(spec, sort_keys=False), encoding="utf-8")
    build_repository(path, folder / "repository")
    return folder / "repository"
