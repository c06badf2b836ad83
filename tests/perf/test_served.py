"""Which model is meant, and which of those that are served it reaches."""

import pytest
from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tritonsmith.generator.errors import UsageError
from tritonsmith.perf.served import composing_models, computing, reached, the_model


def config(*steps: str) -> ModelConfig:
    text = "".join(f'step {{model_name: "{name}"}} ' for name in steps)
    return text_format.Parse(f"ensemble_scheduling {{{text}}}" if steps else 'backend: "python"', ModelConfig())


CONFIGS = {"outer": config("pre", "inner"), "inner": config("m"), "pre": config(), "m": config(), "helper": config()}


def test_a_model_reaches_its_steps_however_deep() -> None:
    assert reached("outer", CONFIGS) == ("outer", "pre", "inner", "m")
    assert computing("outer", CONFIGS) == ("pre", "m")
    assert computing("pre", CONFIGS) == ("pre",)


def test_models_that_are_called_are_reached_where_they_are_there() -> None:
    assert computing("outer", CONFIGS, {"m": ("helper", "loaded later")}) == ("pre", "m", "helper")


def test_a_step_without_a_configuration_is_named() -> None:
    with pytest.raises(UsageError, match="'gone' is needed"):
        reached("pipe", {"pipe": config("gone")})


def test_the_only_ensemble_is_meant_else_the_only_model() -> None:
    assert the_model({"pipe": config("a"), "a": config()}) == "pipe"
    assert the_model({"a": config()}) == "a"
    assert the_model(CONFIGS, "m") == "m"


def test_of_several_one_is_to_be_named() -> None:
    with pytest.raises(UsageError, match="which model\\? There are outer, inner, pre, m, helper"):
        the_model(CONFIGS)
    with pytest.raises(UsageError, match="Did you mean 'helper'"):
        the_model(CONFIGS, "helped")


def test_the_steps_of_an_ensemble_come_in_order_and_once() -> None:
    steps = [{"model_name": name} for name in ("pre", "clf", "pre", "post")]
    assert composing_models({"ensemble_scheduling": {"step": steps}}) == ("pre", "clf", "post")
    assert composing_models({"backend": "python"}) == ()
