"""What an installed wheel holds: everything, and nothing that only a checkout has."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    ignored = shutil.ignore_patterns("build", "dist", ".git", ".venv", "*.egg-info", "model_repository", "tests")
    shutil.copytree(ROOT, folder / "source", ignore=ignored)  # what setuptools leaves behind stays out of the checkout
    argv: list[str | Path] = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--wheel-dir",
        folder,
        folder / "source",
    ]
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return next(folder.glob("*.whl"))


@pytest.mark.slow
def test_the_wheel_holds_data_and_no_bytecode(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {
        "tritonsmith/generator/py.typed",
        "tritonsmith/generator/spec/read.py",
        "tritonsmith/ensembles/image_classification/spec.yaml",
        "tritonsmith/ensembles/image_classification/demo/digits.onnx",
        "tritonsmith/ensembles/text_generation/demo/model.safetensors",
        "tritonsmith/ensembles/image_classification/preprocessing/1/model.py",
        "tritonsmith/ensembles/image_classification/preprocessing/config.pbtxt",
        "tritonsmith/backends/python_based/onnxruntime/model.py",
        "tritonsmith/perf/report/page.html.j2",
    } <= names
    assert not [name for name in names if name.endswith(".pyc") or "__pycache__" in name]
    assert {name.split("/")[0] for name in names} == {"tritonsmith", wheel.name.split("-py3")[0] + ".dist-info"}


@pytest.mark.slow
def test_an_installed_wheel_builds_a_blueprint(wheel: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    argv: list[str | Path] = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", site, wheel]
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    env = {**os.environ, "PYTHONPATH": str(site)}

    def run(*argv: str) -> str:
        return subprocess.run(
            [sys.executable, *argv], cwd=tmp_path, env=env, check=True, capture_output=True, text=True
        ).stdout

    assert run("-c", "import tritonsmith.generator as g; print(g.__file__)").startswith(str(site))
    run("-m", "tritonsmith.generator", "init", "image_classification")
    assert "4 models; files: 13 added" in run("-m", "tritonsmith.generator", "build")
    # pip has compiled the blueprint's 1/model.py; none of that reaches the repository
    assert list((site / "tritonsmith" / "ensembles").rglob("1/__pycache__"))
    assert not list((tmp_path / "model_repository").rglob("__pycache__"))
