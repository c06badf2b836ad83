from collections.abc import Callable
from pathlib import Path

import pytest
from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tritonsmith.generator.catalog.releases import EMBEDDED, RELEASES
from tritonsmith.generator.checks import Case, Target
from tritonsmith.generator.findings import Finding, Phase, Severity
from tritonsmith.generator.repository.core import Content, Model, Repository

Judge = Callable[..., list[Finding]]

HEAD = """
class TritonPythonModel:
    def execute(self, requests):
        return []

    @staticmethod
    def auto_complete_config(config):
"""
LITERAL = """
inputs = [
    {"name": "x", "data_type": "TYPE_FP32", "dims": [4]},
    {"name": "mask", "data_type": "TYPE_BOOL", "dims": [1], "optional": True},
]
known = []
for given in config.as_dict()["input"]:
    known.append(given["name"])
for tensor in inputs:
    if tensor["name"] not in known:
        config.add_input(tensor)
config.add_output({"name": "y", "data_type": "TYPE_FP32", "dims": [-1]})
config.set_max_batch_size(8)
config.set_dynamic_batching()
config.set_model_transaction_policy(dict(decoupled=True))
return config
"""


def model(body: str, head: str = HEAD) -> str:
    return head + "".join(f"        {line}\n" for line in body.strip("\n").splitlines())


def case_of(source: str, config: str = "", *, is_auto_complete: bool = True) -> Case:
    written = text_format.Parse(f'backend: "python" {config}', ModelConfig())
    target = Target(RELEASES[EMBEDDED], is_auto_complete=is_auto_complete)
    return Case(Repository("r", {"m": Model("m", written, {"1/model.py": Content(source.encode())})}), target)


def test_a_literal_function_is_followed() -> None:
    case = case_of(model(LITERAL), 'input { name: "x" data_type: TYPE_INT8 dims: [2] }')
    expected = """
      name: "m" backend: "python" default_model_filename: "model.py" max_batch_size: 8 dynamic_batching {}
      input { name: "x" data_type: TYPE_INT8 dims: 2 }
      input { name: "mask" data_type: TYPE_BOOL dims: 1 optional: true }
      output { name: "y" data_type: TYPE_FP32 dims: -1 } model_transaction_policy { decoupled: true }
    """
    assert case.configs["m"] == text_format.Parse(expected, ModelConfig())
    assert case.by_name["m"].is_whole


def test_a_server_that_does_not_ask_completes_nothing() -> None:
    case = case_of(model(LITERAL), is_auto_complete=False)
    assert (len(case.configs["m"].input), case.configs["m"].max_batch_size) == (0, 0)
    assert case.by_name["m"].is_whole


@pytest.mark.parametrize(
    "source",
    [
        model("return elsewhere(config)"),
        model("with open('x') as file:\n    pass\nreturn config"),
        model("while True:\n    pass"),
        model("config.add_input({'name': input()})\nreturn config"),
        model("config._model_config['input'] = []\nreturn config"),
        model("x = []\nfor a in range(9):\n    x.append(a)\nreturn config"),
        model("x = 'ab'\nfor a in [1] * 9999999:\n    x = x + x\nreturn config"),
        "from base import Base\n\n\nclass TritonPythonModel(Base):\n    pass\n",
        "from impl import TritonPythonModel\n",
    ],
)
def test_what_only_running_it_tells_is_left_open(source: str) -> None:
    case = case_of(source)
    assert not case.by_name["m"].is_whole
    assert len(case.configs["m"].input) == 0


def test_a_loop_in_a_loop_comes_to_an_end() -> None:
    numbers = list(range(100))
    body = f"for a in {numbers}:\n    for b in {numbers}:\n        c = a\nreturn config"
    assert not case_of(model(body)).by_name["m"].is_whole


@pytest.mark.parametrize(
    ("body", "config", "code", "line", "message"),
    [
        ("config.set_max_batch_size(4)", "", "TS840", 7, "does not return the configuration"),
        ("return 1", "", "TS840", 7, "does not return the configuration"),
        ("raise ValueError('x')", "", "TS842", 8, "raise ValueError('x')"),
        ("config.set_max_batch_size(4)\nreturn config", "max_batch_size: 6", "TS843", 8, "is 6; auto_complete_config"),
        ("config.set_dynamic_batching()\nreturn config", "sequence_batching {}", "TS844", 8, "sequence_batching is"),
        ("config.add_input({'name': 'x', 'zz': 1})\nreturn config", "", "TS845", 8, "input 'x' has a 'zz'"),
        (
            "config.add_output({'name': 'y', 'optional': 1})\nreturn config",
            "",
            "TS846",
            8,
            "output 'y' has a 'optional'",
        ),
        ("config.add_input({'dims': [1]})\nreturn config", "", "TS847", 8, "an input is added without a name"),
        ("config.add_output({'dims': [1]})\nreturn config", "", "TS848", 8, "an output is added without a name"),
        ("config.add_input({'name': 'x', 'dims': [1]})\nreturn config", "", "TS849", 8, "without 'data_type'"),
        (
            "config.add_output({'name': 'y', 'data_type': 'TYPE_FP32'})\nreturn config",
            "",
            "TS850",
            8,
            "output 'y' is added without 'dims'",
        ),
        (
            "tensor = {'name': 'x', 'data_type': 'TYPE_FP32', 'dims': [1]}\nconfig.add_input(tensor)\nreturn config",
            'input { name: "x" data_type: TYPE_INT8 }',
            "TS851",
            9,
            "says TYPE_INT8 for input 'x', the model TYPE_FP32",
        ),
        (
            "config.add_output({'name': 'y', 'data_type': 'TYPE_FP32', 'dims': [1]})\nreturn config",
            'output { name: "y" data_type: TYPE_INT8 }',
            "TS852",
            8,
            "says TYPE_INT8 for output 'y'",
        ),
        (
            "config.add_input({'name': 'x', 'data_type': 'TYPE_FP32', 'dims': [1]})\nreturn config",
            'input { name: "x" dims: [16] }',
            "TS853",
            8,
            "says dims [16] for 'x', the model [1]",
        ),
        (
            "config.add_input({'name': 'x', 'data_type': 'TYPE_FP32', 'dims': [1], 'optional': True})\nreturn config",
            'input { name: "x" }',
            "TS854",
            8,
            "whether input 'x' is optional",
        ),
        ("config.set_model_transaction_policy({'zz': 1})\nreturn config", "", "TS855", 8, "'zz' is no property"),
        (
            "config.set_model_transaction_policy({'decoupled': True})\nreturn config",
            "model_transaction_policy {}",
            "TS856",
            8,
            "decoupled is False",
        ),
    ],
)
def test_what_triton_refuses_is_told_at_its_line(
    judge_files: Judge, body: str, config: str, code: str, line: int, message: str
) -> None:
    files = {"1/model.py": model(body)}
    findings = judge_files(files, f'backend: "python" {config}')
    assert [(finding.code, finding.place.line, finding.phase) for finding in findings] == [(code, line, Phase.LOAD)]
    assert message in findings[0].message
    assert judge_files(files, f'backend: "python" {config}', is_auto_complete=False) == []


@pytest.mark.parametrize(
    "body",
    [
        "return config",
        LITERAL.replace("True))", "False))"),
        "if config:\n    return config\nreturn None",
        "yield config",
    ],
)
def test_what_triton_takes_has_no_finding(judge_files: Judge, body: str) -> None:
    assert judge_files({"1/model.py": model(body)}) == []


def test_without_staticmethod_self_takes_the_place_of_the_configuration(judge_files: Judge) -> None:
    source = model("return config").replace("    @staticmethod\n", "")
    assert judge_files({"1/model.py": source}) == []
    findings = judge_files({"1/model.py": source.replace("(config)", "(self, config)")})
    assert [(finding.code, finding.place.line) for finding in findings] == [("TS841", 6)]


def test_a_type_that_is_none_of_tritons_loses_all_that_is_set(judge_files: Judge) -> None:
    body = "config.add_input({'name': 'x', 'data_type': 'FP32', 'dims': [1]})\nreturn config"
    findings = judge_files({"1/model.py": model(body)})
    assert [(finding.code, finding.severity) for finding in findings] == [("TS857", Severity.WARNING)]
    assert len(case_of(model(body)).configs["m"].input) == 0


def test_our_own_and_tritons_example_can_be_followed() -> None:
    folder = Path(__file__).parents[5] / "ensembles" / "image_classification"
    for name in ("preprocessing", "postprocessing"):
        source = (folder / name / "1" / "model.py").read_text()
        assert case_of(source).by_name["m"].is_whole
