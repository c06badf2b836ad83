import json
from pathlib import Path
from typing import Any

import pytest

from tritonsmith.ensembles.adopt import write_spec_of
from tritonsmith.ensembles.build import build_repository
from tritonsmith.generator.errors import RepositoryError, UsageError
from tritonsmith.generator.repository.complete import complete_config
from tritonsmith.generator.repository.read import read_repository

CASES = json.loads((Path(__file__).parents[1] / "data" / "config_cases.json").read_text())
LOADING = [case for case in CASES if "ok" in {server["verdict"] for server in case["server"].values()}]


def lay_out(case: dict[str, Any], folder: Path) -> Path:
    repository = folder / "repository"
    for path, text in case["files"].items():
        (repository / path).parent.mkdir(parents=True, exist_ok=True)
        (repository / path).write_text(text if path.endswith("config.pbtxt") else "# a model that works\n")
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
    with pytest.raises(RepositoryError, match=r"m/config.pbtxt:1:1: error: .* no field named \"bakcend\""):
        write_spec_of(repository, tmp_path / "tritonsmith.yaml")


def test_a_spec_is_never_overwritten(tmp_path: Path) -> None:
    repository = lay_out(LOADING[0], tmp_path)
    (tmp_path / "tritonsmith.yaml").write_text("mine")
    with pytest.raises(UsageError, match="exists already"):
        write_spec_of(repository, tmp_path / "tritonsmith.yaml")
