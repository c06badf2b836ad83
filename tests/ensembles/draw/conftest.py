"""Small repositories written as text, and their drawings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import pytest

from tritonsmith.ensembles.draw.core import Drawing
from tritonsmith.ensembles.draw.repository import draw_repository
from tritonsmith.generator.checks import Case, Target
from tritonsmith.generator.findings import Finding
from tritonsmith.generator.repository.read import read_repository


@pytest.fixture
def repository(tmp_path: Path) -> Callable[[Mapping[str, str]], Path]:
    """A function that writes a repository from configurations by name."""

    def write(configs: Mapping[str, str]) -> Path:
        for name, text in configs.items():
            (tmp_path / "models" / name / "1").mkdir(parents=True)
            (tmp_path / "models" / name / "1" / "model.py").write_text("class TritonPythonModel: ...\n")
            (tmp_path / "models" / name / "config.pbtxt").write_text(text)
        return tmp_path / "models"

    return write


@pytest.fixture
def draw(repository: Callable[[Mapping[str, str]], Path]) -> Callable[..., Drawing]:
    """A function that draws a repository with given findings."""

    def drawn(configs: Mapping[str, str], findings: Iterable[Finding] = (), chosen: str = "") -> Drawing:
        case = Case(read_repository(repository(configs)), Target())
        return draw_repository(case, findings, chosen)

    return drawn
