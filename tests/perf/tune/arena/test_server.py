"""When a server has nothing to complete."""

from pathlib import Path

import pytest

from tritonsmith.perf.tune.arena.server import is_complete

WHOLE = """backend: "python" max_batch_size: 8
input [{name: "x" data_type: TYPE_FP32 dims: [4]}] output [{name: "y" data_type: TYPE_FP32 dims: [4]}]"""


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    (tmp_path / "m" / "1").mkdir(parents=True)
    (tmp_path / "m" / "config.pbtxt").write_text(WHOLE)
    (tmp_path / "m" / "1" / "model.py").write_text("class TritonPythonModel: pass")
    return tmp_path


def test_a_configuration_with_its_tensors_and_backend_is_complete(repository: Path) -> None:
    assert is_complete(repository)


@pytest.mark.parametrize("left_out", ['backend: "python"', "output", "input"])
def test_one_without_is_not(repository: Path, left_out: str) -> None:
    text = WHOLE if left_out.startswith("backend") else WHOLE.replace(left_out, "state")
    config = text.replace('backend: "python"', "") if left_out.startswith("backend") else text
    (repository / "m" / "config.pbtxt").write_text(config)
    assert not is_complete(repository)


def test_a_model_without_a_configuration_is_not(repository: Path) -> None:
    (repository / "m" / "config.pbtxt").unlink()
    assert not is_complete(repository)


def test_a_python_model_that_completes_its_configuration_is_asked_to(repository: Path) -> None:
    (repository / "m" / "1" / "model.py").write_text("class TritonPythonModel:\n    def auto_complete_config(c): ...")
    assert not is_complete(repository)
