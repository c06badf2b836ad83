from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tritonsmith.generator.catalog.releases import EMBEDDED, RELEASES
from tritonsmith.generator.checks import Case, Target, check_repository
from tritonsmith.generator.findings import Finding
from tritonsmith.generator.repository.read import read_repository
from tritonsmith.generator.spec.settings import Server

MODEL = """
class TritonPythonModel:
    def execute(self, requests):
        return []
"""

Judge = Callable[..., list[Finding]]
Content = str | bytes | Path | None


@pytest.fixture
def judge_repository(tmp_path: Path) -> Judge:
    """Return a function that writes a repository's files, folders (None) and links, and returns what is wrong there."""

    def judged(
        files: Mapping[str, Content],
        *,
        prefixes: tuple[str, ...] = ("TS1", "TS2"),
        release: str = EMBEDDED,
        gpus: int | None = 0,
        is_auto_complete: bool = True,
        server: Server | None = None,
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
        target = Target(RELEASES[release], gpus, is_auto_complete, server)
        findings = check_repository(Case(read_repository(tmp_path), target))
        return [finding for finding in findings if finding.code.startswith(prefixes)]

    return judged


@pytest.fixture
def judge(judge_repository: Judge) -> Judge:
    """Return a function that writes one model, `m`, and returns what is found wrong with its tensors and batching."""

    def judged(
        config: str, files: Mapping[str, bytes] | None = None, *, model: str = MODEL, **target: Any
    ) -> list[Finding]:
        contents = {"config.pbtxt": config, "1/model.py": model, **(files or {})}
        return judge_repository(_below("m", contents), prefixes=("TS3", "TS4"), **target)

    return judged


@pytest.fixture
def judge_models(judge_repository: Judge) -> Judge:
    """Return a function that writes models by their files, and returns what is found wrong with instances and steps.

    A model that is given as its config.pbtxt alone has a version folder, and a model.py where it is a Python model.
    """

    def judged(
        models: Mapping[str, str | Mapping[str, str]], prefixes: tuple[str, ...] = ("TS5", "TS6"), **target: Any
    ) -> list[Finding]:
        contents: dict[str, Content] = {}
        for name, given in models.items():
            files = {"config.pbtxt": given, _model_file(given): MODEL} if isinstance(given, str) else given
            contents |= _below(name, files)
        return judge_repository(contents, prefixes=prefixes, **target)

    return judged


@pytest.fixture
def judge_files(judge_repository: Judge) -> Judge:
    """Return a function that writes one model, `m`, and returns what is found wrong with its Python or ONNX files."""

    def judged(files: Mapping[str, str | bytes], config: str = 'backend: "python"', **target: Any) -> list[Finding]:
        return judge_repository(_below("m", {"config.pbtxt": config, **files}), prefixes=("TS8", "TS9"), **target)

    return judged


def _below(folder: str, files: Mapping[str, Any]) -> dict[str, Content]:
    return {f"{folder}/{name}": content for name, content in files.items()}


def _model_file(config: str) -> str:
    return "1/model.py" if 'backend: "python"' in config else "1/.gitkeep"
