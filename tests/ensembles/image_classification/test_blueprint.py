from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest
import yaml
from google.protobuf import text_format
from pydantic import ValidationError
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tritonsmith.ensembles.blueprint import Use, find_blueprint
from tritonsmith.ensembles.image_classification.blueprint import BLUEPRINT, Settings
from tritonsmith.ensembles.image_classification.reference import FOLDER, SETTINGS, ranking_of, recipe_of
from tritonsmith.ensembles.pipelines import load_spec
from tritonsmith.generator.lower import lower

NAMES = {
    "preprocessing": "preprocessing",
    "classifier": "classifier",
    "postprocessing": "postprocessing",
    "ensemble": "digits",
}


def settings(**changes: Any) -> Settings:
    return Settings.model_validate({"file": "a.onnx", "labels": "a.txt", "side": 224} | changes)


def test_the_blueprint_is_found_by_name() -> None:
    assert find_blueprint("image_classification") is BLUEPRINT
    assert BLUEPRINT.folder.resolve() == FOLDER.resolve()


def test_the_demo_s_spec_is_the_reference_s_settings() -> None:
    spec = yaml.safe_load((FOLDER / "spec.yaml").read_text())
    assert Settings.model_validate(spec["pipelines"]["digits"]["with"]) == SETTINGS


def test_the_spec_s_files_are_there() -> None:
    assert (FOLDER / SETTINGS.file).is_file()
    assert (FOLDER / SETTINGS.labels).is_file()


def test_it_expands_into_three_models_and_their_ensemble() -> None:
    models = BLUEPRINT.expand(SETTINGS, Use(NAMES))
    assert list(models) == ["preprocessing", "classifier", "postprocessing", "digits"]
    assert models["digits"] == {"ensemble": ["preprocessing", "classifier", "postprocessing"]}
    assert models["preprocessing"]["output"][0]["dims"] == [1, 8, 8]
    assert models["classifier"]["file"] == "demo/digits.onnx"
    assert models["postprocessing"]["files"] == {"labels.txt": "demo/labels.txt"}


def test_models_are_renamed_in_the_steps_too() -> None:
    names = {role: f"cats_{role}" for role in BLUEPRINT.roles}
    models = BLUEPRINT.expand(settings(), Use(names))
    assert list(models) == list(names.values())
    assert models["cats_ensemble"]["ensemble"] == ["cats_preprocessing", "cats_classifier", "cats_postprocessing"]


def test_a_classifier_s_own_tensor_names_are_mapped() -> None:
    steps = BLUEPRINT.expand(settings(input="x", output="probabilities"), Use(NAMES))["digits"]["ensemble"]
    assert steps[1] == {
        "model_name": "classifier",
        "input_map": {"x": "pixels"},
        "output_map": {"probabilities": "scores"},
    }


@pytest.mark.parametrize(("layout", "dims"), [("NCHW", [3, 2, 5]), ("NHWC", [2, 5, 3]), ("FLAT", [30])])
def test_the_models_understand_what_the_settings_say(layout: str, dims: list[int]) -> None:
    wide = settings(side=None, width=5, height=2, layout=layout, mean=[0.1, 0.2, 0.3], std=0.5, scale=0.25)
    recipe = recipe_of(wide)
    assert recipe.dims == dims == BLUEPRINT.expand(wide, Use(NAMES))["preprocessing"]["output"][0]["dims"]
    assert (recipe.scale, recipe.mean, recipe.std) == (0.25, (0.1, 0.2, 0.3), (0.5, 0.5, 0.5))
    assert ranking_of(SETTINGS).labels == tuple("0123456789")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sise": 8}, "sise"),
        ({"side": None}, "size is missing"),
        ({"side": None, "width": 5}, "size is missing"),
        ({"width": 5}, "side stands for width and height"),
        ({"channels": 2}, "2 is neither 1"),
        ({"mean": [1, 2]}, "has 2 numbers"),
        ({"scale": "a half"}, "not a number"),
        ({"std": 0}, "contains 0"),
        ({"top_k": 0}, "top_k"),
        ({"max_batch_size": 0}, "max_batch_size"),
        ({"instances": {"clasifier": 2}}, "clasifier"),
    ],
)
def test_wrong_settings_are_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        settings(**changes)


def test_every_wrong_setting_is_named_at_once() -> None:
    with pytest.raises(ValidationError) as problem:
        settings(top_k=0, channels=3, mean=[1, 2], std=[0, 1, 1], scale="half")
    assert {error["loc"] for error in problem.value.errors()} == {("top_k",), ("mean",), ("std",), ("scale",)}


@pytest.mark.parametrize("model", ["preprocessing", "postprocessing"])
def test_a_python_model_is_an_ordinary_triton_folder(model: str) -> None:
    config = text_format.Parse((FOLDER / model / "config.pbtxt").read_text(), ModelConfig())
    assert config.backend == "python"
    assert config.max_batch_size > 0
    assert config.input
    assert config.output
    assert [path.name for path in (FOLDER / model / "1").glob("*.py")] == ["model.py"]


@pytest.mark.parametrize("module", ["decode.py", "labels.py", "parameters.py"])
def test_what_runs_inside_triton_imports_nothing_of_ours_but_neighbours(module: str) -> None:
    for imported in ast.walk(ast.parse((FOLDER / module).read_text())):
        if isinstance(imported, ast.Import):
            assert all(not name.name.startswith("tritonsmith") for name in imported.names)
        if isinstance(imported, ast.ImportFrom):
            assert not (imported.module or "").startswith("tritonsmith")
            assert not imported.level or Path(FOLDER, f"{imported.module}.py").is_file()


def test_the_spec_s_profile_is_another_repository() -> None:
    plain, other = (lower(load_spec(BLUEPRINT.folder / "spec.yaml", profile)) for profile in ("", "h100"))
    assert plain.name != other.name
    config = other.models["classifier"].config
    assert config is not None
    assert config.instance_group[0].kind == config.instance_group[0].KIND_GPU


def test_the_spec_s_commented_override_works_when_it_is_no_comment(tmp_path: Path) -> None:
    text = (BLUEPRINT.folder / "spec.yaml").read_text()
    override = [line for line in text.splitlines() if line.startswith(("# models:", "#  "))]
    spec = text.replace("demo/", f"{BLUEPRINT.folder}/demo/") + "\n".join(
        line[2:] for line in override if "tritonsmith" not in line
    )
    (tmp_path / "tritonsmith.yaml").write_text(spec)
    config = lower(load_spec(tmp_path / "tritonsmith.yaml")).models["classifier"].config
    assert config is not None
    assert list(config.dynamic_batching.preferred_batch_size) == [16, 32]
