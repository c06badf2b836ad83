"""Text pipelines as the blueprint writes them, without a server."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tritonsmith.backends.openai.pipelines import Pipeline, find_pipelines
from tritonsmith.backends.server.prepare import read_configs
from tritonsmith.ensembles.build import build_repository

DEMO = Path(__file__).parents[3] / "ensembles" / "text_generation" / "demo"
WritePipeline = Callable[..., Path]


@pytest.fixture(scope="session")
def write_pipeline(tmp_path_factory: pytest.TempPathFactory) -> WritePipeline:
    """Return a function that builds a repository with the pipeline `chat` on the demo's engine."""

    def write(release: str = "24.12", **settings: object) -> Path:
        folder = tmp_path_factory.mktemp("openai")
        pipeline = {"use": "text_generation", "engine": str(DEMO), "with": {"max_batch_size": 4, **settings}}
        spec = {"repository": "r", "triton": release, "pipelines": {"chat": pipeline}}
        (folder / "tritonsmith.yaml").write_text(yaml.safe_dump(spec))
        build_repository(folder / "tritonsmith.yaml", folder / "repository")
        return folder / "repository"

    return write


@pytest.fixture(scope="session")
def repository(write_pipeline: WritePipeline) -> Path:
    """The repository of 24.12."""
    return write_pipeline()


@pytest.fixture(scope="session")
def pipeline(repository: Path) -> Pipeline:
    """Its pipeline."""
    (found,), _ = find_pipelines(read_configs(repository), repository)
    return found
