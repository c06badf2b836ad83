import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tritonsmith.ensembles.adopt import write_spec_of
from tritonsmith.ensembles.build import build_repository
from tritonsmith.generator.errors import RepositoryError, UsageError
from tritonsmith.generator.repository.complete import complete_config
from tritonsmith.generator.repository.read import read_repository

WriteOnnx = Callable[..., Path]

CASES = json.loads((Path(__file__).parents[1] / "data" / "config_cases.json").read_text())
LOADING = [case for case in CASES if "ok" in {server["verdict"] for server in case["server"].values()}]

SCRIPT = "class TritonPythonModel:\n    def execute(self, requests):\n        return []\n"


def lay_out(case: dict[str, Any], folder: Path) -> Path:
    repository = folder / "repository"
    for path, text in case["files"].items():
        (repository / path).parent.mkdir(parents=True, exist_ok=True)
        (repository / path).write_text(text if path.endswith("config.pbtxt") else SCRIPT)
    for path in case["empty_dirs"]:
        (repository / path).mkdir(parents=True)
    return repository


@pytest.mark.parametrize("case", LOADING, ids=[case["case"] for case in LOADING])
def test_the_spec_of_a_repository_that_loads_builds_the_same_models(case: dict[str, Any], tmp_path: Path) -> None:
    repository = lay_out(case, tmp_path)
    write_spec_of(repository, tmp_path / "tritonsmith.yaml")
    build_repository(tmp_path / "tritonsmith.yaml", tmp_path / "built")
    before, after = read_repository(repository).models, read_repository(tmp_path / "built").models
    assert before.keys() == after.keys()
    for name, model in before.items():
        assert complete_config(after[name]) == complete_config(model)
        assert set(model.files) <= set(after[name].files)


def test_a_repository_of_ours_is_written_the_short_way(tmp_path: Path) -> None:
    ours = Path(__file__).parents[2] / "ensembles" / "image_classification" / "spec.yaml"
    build_repository(ours, tmp_path / "first")
    write_spec_of(tmp_path / "first", tmp_path / "tritonsmith.yaml")
    build_repository(tmp_path / "tritonsmith.yaml", tmp_path / "second")
    text = (tmp_path / "tritonsmith.yaml").read_text()
    assert "file: first/classifier/1/model.onnx" in text
    assert "python: first/preprocessing" in text
    assert "ensemble:" in text
    for path in (tmp_path / "first").rglob("*"):
        if path.is_file() and path.name != "tritonsmith.lock":
            assert (tmp_path / "second" / path.relative_to(tmp_path / "first")).read_bytes() == path.read_bytes()


def test_what_the_lock_says_of_release_and_server_is_kept(tmp_path: Path) -> None:
    spec = tmp_path / "tritonsmith.yaml"
    spec.write_text(
        'repository: r\ntriton: "25.05"\nserver: {http_port: 9000}\nhardware: {gpu: L4}\n'
        "models: {a: {backend: x, calls: [b]}, b: {backend: y}}\n"
    )
    first = build_repository(spec, tmp_path / "first").repository
    write_spec_of(tmp_path / "first", tmp_path / "again.yaml")
    assert build_repository(tmp_path / "again.yaml", tmp_path / "second").repository.settings == first.settings


def test_a_repository_that_does_not_parse_is_refused_with_its_places(tmp_path: Path) -> None:
    repository = lay_out({"files": {"m/config.pbtxt": "bakcend: 1", "m/1/model.py": ""}, "empty_dirs": []}, tmp_path)
    with pytest.raises(RepositoryError, match=r"m/config.pbtxt:1:1: error: unknown field 'bakcend'"):
        write_spec_of(repository, tmp_path / "tritonsmith.yaml")


def test_a_spec_is_never_overwritten(tmp_path: Path) -> None:
    repository = lay_out(LOADING[0], tmp_path)
    (tmp_path / "tritonsmith.yaml").write_text("mine")
    with pytest.raises(UsageError, match="exists already"):
        write_spec_of(repository, tmp_path / "tritonsmith.yaml")


PYTHON = (
    'backend: "python" input { name: "x" data_type: TYPE_FP32 dims: [4] } '
    'output { name: "y" data_type: TYPE_FP32 dims: [4] }'
)


def adopt(files: dict[str, str], folder: Path) -> str:
    """Return the spec of a repository, after what it builds was compared with the repository."""
    repository = lay_out({"files": files, "empty_dirs": []}, folder)
    write_spec_of(repository, folder / "tritonsmith.yaml")
    build_repository(folder / "tritonsmith.yaml", folder / "built")
    before, after = read_repository(repository).models, read_repository(folder / "built").models
    assert {name: complete_config(model) for name, model in before.items()} == {
        name: complete_config(model) for name, model in after.items()
    }
    for name, model in before.items():
        assert set(model.files) <= set(after[name].files)
    return (folder / "tritonsmith.yaml").read_text()


def test_a_python_model_is_its_folder_alone(tmp_path: Path) -> None:
    text = adopt({"m.v1-x_2/config.pbtxt": f'name: "m.v1-x_2" {PYTHON}', "m.v1-x_2/1/model.py": ""}, tmp_path)
    assert text.endswith("models:\n  m.v1-x_2: {python: repository/m.v1-x_2}\n")


def test_warm_up_label_and_state_files_go_along(tmp_path: Path) -> None:
    warm_up = 'inputs { key: "x" value { data_type: TYPE_FP32 dims: [4] input_data_file: "d" } }'
    files = {
        "m/config.pbtxt": f'{PYTHON} model_warmup {{ name: "w" {warm_up} }}',
        **dict.fromkeys(["m/1/model.py", "m/2/model.py", "m/warmup/d", "m/initial_state/s", "m/labels.txt"], ""),
    }
    adopt(files, tmp_path)
    assert (tmp_path / "built" / "m" / "warmup" / "d").is_file()


def test_nested_ensembles_stay_ensembles(tmp_path: Path) -> None:
    def ensemble(step: str) -> str:
        maps = 'input_map { key: "x" value: "x" } output_map { key: "y" value: "y" }'
        steps = f'ensemble_scheduling {{ step {{ model_name: "{step}" model_version: -1 {maps} }} }}'
        return f'platform: "ensemble" {PYTHON.partition(" ")[2].partition(" ")[2]} {steps}'

    files = {
        "m/config.pbtxt": PYTHON,
        "m/1/model.py": "",
        "outer/config.pbtxt": ensemble("inner"),
        "outer/1/.gitkeep": "",
    }
    text = adopt({**files, "inner/config.pbtxt": ensemble("m"), "inner/1/.gitkeep": ""}, tmp_path)
    assert text.count("ensemble:") == 2


def test_several_versions_of_a_graph_are_files_of_their_versions(write_onnx: WriteOnnx, tmp_path: Path) -> None:
    config = 'backend: "onnxruntime" max_batch_size: 2 dynamic_batching {}'
    tensors = 'input { name: "x" data_type: TYPE_FP32 dims: [4] } output { name: "y" data_type: TYPE_FP32 dims: [4] }'
    repository = lay_out({"files": {"m/config.pbtxt": f"{config} {tensors}"}, "empty_dirs": ["m/1", "m/3"]}, tmp_path)
    for version in (1, 3):
        write_onnx(f"repository/m/{version}/model.onnx")
    write_spec_of(repository, tmp_path / "tritonsmith.yaml")
    text = (tmp_path / "tritonsmith.yaml").read_text()
    assert "file: {1: repository/m/1/model.onnx, 3: repository/m/3/model.onnx}" in text
    assert "input:" not in text


def test_a_file_name_that_no_spec_can_hold_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    files = {"m/config.pbtxt": PYTHON, "m/1/model.py": "", "m/my labels.txt": "", "n/config.pbtxt": PYTHON}
    repository = lay_out({"files": {**files, "n/1/model.py": ""}, "empty_dirs": []}, tmp_path)
    with pytest.raises(RepositoryError, match=r"models.m.files: 'my labels.txt' cannot be a file") as problem:
        write_spec_of(repository, tmp_path / "tritonsmith.yaml")
    assert "models.n" not in str(problem.value)
    assert [path.name for path in tmp_path.iterdir()] == ["repository"]


def test_the_calls_of_a_model_that_is_gone_are_forgotten(tmp_path: Path) -> None:
    spec = tmp_path / "tritonsmith.yaml"
    spec.write_text("hardware: {gpu: L4}\nmodels: {a: {backend: x, calls: [b]}, b: {backend: y}}")
    build_repository(spec, tmp_path / "my repository")  # whose name no spec can hold
    shutil.rmtree(tmp_path / "my repository" / "a")
    write_spec_of(tmp_path / "my repository", tmp_path / "again.yaml")
    assert list(build_repository(tmp_path / "again.yaml", tmp_path / "again").repository.models) == ["b"]


def test_a_spec_that_cannot_be_written_is_wrong_usage(tmp_path: Path) -> None:
    repository = lay_out(LOADING[0], tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot write"):
        write_spec_of(repository, tmp_path / "file" / "tritonsmith.yaml")
