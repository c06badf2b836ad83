from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx
import pytest
import yaml
from google.protobuf import json_format
from pydantic import ValidationError
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tritonsmith.ensembles.blueprint import Use, find_blueprint
from tritonsmith.ensembles.pipelines import load_spec
from tritonsmith.ensembles.streaming_sequence.blueprint import BLUEPRINT, Settings
from tritonsmith.generator.lower import lower

FOLDER = BLUEPRINT.folder
STATE = {"input_name": "mean", "output_name": "mean_next", "data_type": "TYPE_FP32", "dims": [4]}


def settings(**changes: Any) -> Settings:
    return Settings.model_validate({"file": "a.onnx", "states": [STATE]} | changes)


def expanded(**changes: Any) -> ModelConfig:
    model = BLUEPRINT.expand(settings(**changes), Use({"model": "streams"}))["streams"]
    del model["file"]
    return json_format.ParseDict(model, ModelConfig())


def test_the_blueprint_is_found_by_name() -> None:
    assert find_blueprint("streaming_sequence") is BLUEPRINT


def test_the_demo_s_spec_holds_good_settings() -> None:
    spec = yaml.safe_load((FOLDER / "spec.yaml").read_text())
    demo = Settings.model_validate(spec["pipelines"]["readings"]["with"])
    assert (FOLDER / demo.file).is_file()


def test_the_graph_s_inputs_are_exactly_its_own_the_controls_and_the_states() -> None:
    # Source: onnxruntime_backend, onnxruntime.cc: "configuration expects N inputs, model provides M".
    spec = yaml.safe_load((FOLDER / "spec.yaml").read_text())
    demo = Settings.model_validate(spec["pipelines"]["readings"]["with"])
    graph = onnx.load(FOLDER / demo.file).graph
    controls = {name for name in dict(demo.controls).values() if name}
    assert {tensor.name for tensor in graph.input} == {"reading"} | controls | {s.input_name for s in demo.states}
    assert {state.output_name for state in demo.states} < {tensor.name for tensor in graph.output}


@pytest.mark.parametrize("strategy", ["direct", "oldest"])
def test_the_strategy_is_the_one_asked_for(strategy: str) -> None:
    batching = expanded(strategy=strategy, max_queue_delay_microseconds=7).sequence_batching
    assert batching.WhichOneof("strategy_choice") == strategy
    assert getattr(batching, strategy).max_queue_delay_microseconds == 7


def test_open_streams_are_a_multiple_of_the_batch_where_not_given() -> None:
    assert expanded(max_batch_size=8).sequence_batching.oldest.max_candidate_sequences == 32
    assert expanded(max_candidate_sequences=5).sequence_batching.oldest.max_candidate_sequences == 5


def test_every_state_starts_at_zero() -> None:
    (state,) = expanded().sequence_batching.state
    (initial,) = state.initial_state
    assert (state.input_name, state.output_name, list(state.dims)) == ("mean", "mean_next", [4])
    assert initial.zero_data
    assert (initial.name, initial.data_type, list(initial.dims)) == ("mean", state.data_type, [4])


def test_controls_that_the_model_does_not_have_are_left_out() -> None:
    batching = expanded(controls={"ready": None, "corrid": None, "end": "LAST"}).sequence_batching
    assert [control.name for control in batching.control_input] == ["START", "LAST"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"states": []}, "states"),
        ({"states": [STATE, STATE]}, "'mean' is named twice"),
        ({"controls": {"start": "mean"}}, "'mean' is named twice"),
        ({"controls": {"begin": "START"}}, "begin"),
        ({"strategy": "newest"}, "strategy"),
        ({"strategy": "direct", "max_candidate_sequences": 4}, "belongs to strategy: oldest"),
        ({"max_batch_size": 0}, "max_batch_size"),
        ({"max_sequence_idle_microseconds": 0}, "max_sequence_idle_microseconds"),
    ],
)
def test_wrong_settings_are_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        settings(**changes)


def test_the_spec_s_profile_is_another_repository() -> None:
    plain, other = (lower(load_spec(BLUEPRINT.folder / "spec.yaml", profile)) for profile in ("", "h100"))
    assert plain.name != other.name
    config = other.models["readings"].config
    assert config is not None
    assert config.instance_group[0].kind == config.instance_group[0].KIND_GPU


def test_the_spec_s_commented_override_works_when_it_is_no_comment(tmp_path: Path) -> None:
    text = (BLUEPRINT.folder / "spec.yaml").read_text()
    override = [line for line in text.splitlines() if line.startswith(("# models:", "#  "))]
    spec = text.replace("demo/", f"{BLUEPRINT.folder}/demo/") + "\n".join(
        line[2:] for line in override if "tritonsmith" not in line
    )
    (tmp_path / "tritonsmith.yaml").write_text(spec)
    config = lower(load_spec(tmp_path / "tritonsmith.yaml")).models["readings"].config
    assert config is not None
    assert list(config.sequence_batching.oldest.preferred_batch_size) == [8]
