from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tritonsmith.generator.checks.manifests.read import read_sets
from tritonsmith.generator.checks.registry import check_sets
from tritonsmith.generator.findings import Finding


@pytest.fixture
def judge_manifests(tmp_path: Path) -> Callable[..., list[Finding]]:
    """Return a function that writes files, by path, and returns what is wrong with the manifests in them."""

    def judged(files: Mapping[str, str], below: str = "") -> list[Finding]:
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return check_sets(read_sets(tmp_path / below))

    return judged
