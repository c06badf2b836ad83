from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tritonsmith.generator.catalog.releases import EMBEDDED, RELEASES
from tritonsmith.generator.checks import Case, Target, check_repository
from tritonsmith.generator.findings import Finding
from tritonsmith.generator.repository.read import read_repository

MODEL = """
class TritonPythonModel:
    def execute(self, requests):
        return []
"""

Judge = Callable[..., list[Finding]]


@pytest.fixture
def judge(tmp_path: Path) -> Judge:
    """Return a function that writes one model, `m`, and returns what is found wrong with its tensors and batching."""

    def judged(
        config: str,
        files: Mapping[str, bytes] | None = None,
        *,
        model: str = MODEL,
        release: str = EMBEDDED,
        gpus: int | None = 0,
        is_auto_complete: bool = True,
    ) -> list[Finding]:
        contents = {"config.pbtxt": config.encode(), "1/model.py": model.encode(), **(files or {})}
        for name, content in contents.items():
            path = tmp_path / "m" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        target = Target(RELEASES[release], gpus, is_auto_complete)
        findings = check_repository(Case(read_repository(tmp_path), target))
        return [finding for finding in findings if finding.code.startswith(("TS3", "TS4"))]

    return judged


@pytest.fixture
def judge_models(tmp_path: Path) -> Judge:
    """Return a function that writes models by their files, and returns what is found wrong with instances and steps.

    A model that is given as its config.pbtxt alone has a version folder, and a model.py where it is a Python model.
    """

    def judged(
        models: Mapping[str, str | Mapping[str, str]], prefixes: tuple[str, ...] = ("TS5", "TS6"), **target: Any
    ) -> list[Finding]:
        for name, given in models.items():
            files = {"config.pbtxt": given, _model_file(given): MODEL} if isinstance(given, str) else given
            for file, content in files.items():
                path = tmp_path / name / file
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(content)
        case = Case(read_repository(tmp_path), Target(**target))
        return [finding for finding in check_repository(case) if finding.code.startswith(prefixes)]

    return judged


def _model_file(config: str) -> str:
    return "1/model.py" if 'backend: "python"' in config else "1/.gitkeep"


@pytest.fixture
def judge_files(tmp_path: Path) -> Judge:
    """Return a function that writes one model, `m`, and returns what is found wrong with its Python or ONNX files."""

    def judged(
        files: Mapping[str, str | bytes],
        config: str = 'backend: "python"',
        *,
        release: str = EMBEDDED,
        gpus: int | None = 0,
        is_auto_complete: bool = True,
    ) -> list[Finding]:
        for name, content in {"config.pbtxt": config, **files}.items():
            path = tmp_path / "m" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        target = Target(RELEASES[release], gpus, is_auto_complete)
        findings = check_repository(Case(read_repository(tmp_path), target))
        return [finding for finding in findings if finding.code.startswith(("TS8", "TS9"))]

    return judged


@pytest.fixture
def judge_repository(tmp_path: Path) -> Judge:
    """Return a function that writes a repository's files, folders (None) and links, and returns what is wrong there."""

    def judged(
        files: Mapping[str, str | bytes | Path | None],
        *,
        prefixes: tuple[str, ...] = ("TS1", "TS2"),
        release: str = EMBEDDED,
        gpus: int | None = 0,
        is_auto_complete: bool = True,
    ) -> list[Finding]:
        for name, content in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if content is None:
                path.mkdir(exist_ok=True)
            elif isinstance(content, Path):
                path.symlink_to(content)
            else:
                path.write_bytes(content.encode() if isinstance(content, str) else content)
        target = Target(RELEASES[release], gpus, is_auto_complete)
        findings = check_repository(Case(read_repository(tmp_path), target))
        return [finding for finding in findings if finding.code.startswith(prefixes)]

    return judged
