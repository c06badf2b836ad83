from collections.abc import Callable, Mapping, Sequence

import onnx
import pytest
from onnx import TensorProto, helper

from tritonsmith.generator.findings import Finding, Phase, Severity

Judge = Callable[..., list[Finding]]
Shapes = Mapping[str, Sequence[int | str | None]]

X = 'input { name: "x" data_type: TYPE_FP32 dims: [4] }\n'
Y = 'output { name: "y" data_type: TYPE_FP32 dims: [4] }\n'
Z = Y.replace('"y"', '"z"')
ORT = 'backend: "onnxruntime"\n'
BATCH = f"{ORT}max_batch_size: 8\ndynamic_batching {{}}\n"


def graph(
    inputs: Shapes, outputs: Shapes, *, types: Mapping[str, int] | None = None, opset: int = 17, ir_version: int = 8
) -> bytes:
    """An ONNX file whose tensors are floats, but for `types`."""
    said = types or {}
    made_inputs, made_outputs = (
        [helper.make_tensor_value_info(name, said.get(name, TensorProto.FLOAT), shape) for name, shape in side.items()]
        for side in (inputs, outputs)
    )
    node = helper.make_node("Identity", [next(iter(inputs))], [next(iter(outputs))])
    made_graph = helper.make_graph([node], "g", made_inputs, made_outputs)
    opsets = [helper.make_opsetid("", opset)]
    data: bytes = helper.make_model(made_graph, ir_version=ir_version, opset_imports=opsets).SerializeToString()
    return data


PLAIN = graph({"x": [4]}, {"y": [4]})
BATCHING = graph({"x": ["N", 4]}, {"y": ["N", 4]})
CONTROL = 'sequence_batching {{ control_input {{ name: "s" control {{ kind: CONTROL_SEQUENCE_START {0} }} }} }}\n'
INT_CONTROL = CONTROL.format("int32_false_true: [0, 1]")


@pytest.mark.parametrize(
    ("data", "config", "code", "line", "message"),
    [
        (
            graph({"x": ["N", 4], "w": ["N", 4]}, {"y": ["N", 4]}),
            f"{BATCH}{X}{Y}",
            "TS906",
            4,
            "has 1 inputs, the graph 2",
        ),
        (BATCHING, f"{BATCH}{X.replace('x', 'z')}{Y}", "TS907", 4, "the graph has no input 'z'; it has x"),
        (BATCHING, f"{BATCH}{X}{Z}", "TS908", 5, "the graph has no output 'z'; it has y"),
        (BATCHING, f"{BATCH}{X.replace('FP32', 'INT8')}{Y}", "TS909", 4, "'x' is TYPE_INT8, in the graph TYPE_FP32"),
        (BATCHING, f"{BATCH}{X}{Y.replace('FP32', 'INT8')}", "TS910", 5, "'y' is TYPE_INT8, in the graph TYPE_FP32"),
        (graph({"x": [1, 4]}, {"y": ["N", 4]}), f"{BATCH}{X}{Y}", "TS911", 2, "'x' is [1, 4] in the graph"),
        (BATCHING, f"{BATCH}{X.replace('4', '5')}{Y}", "TS912", 4, "'x' is [-1, 5] (dims [5] after the batch)"),
        (BATCHING, f"{BATCH}{X.replace('[4]', '[-1, 4]')}{Y}", "TS912", 4, "'x' is [-1, -1, 4]"),
        (PLAIN, f"{ORT}{X.replace('4', '5')}{Y}", "TS913", 2, "'x' is [5], in the graph [4]"),
        (graph({"x": [4]}, {"y": ["k"]}), f"{ORT}{X}{Y}", "TS913", 3, "'y' is [4], in the graph [-1]"),
        (graph({"x": []}, {"y": [4]}), f"{ORT}{X}{Y}", "TS914", 2, "'x' is a scalar in the graph"),
        (
            graph({"x": ["N", 4]}, {"y": ["N", 4]}),
            f"{BATCH}{X.replace('[4]', '[3] reshape { shape: [3] }')}{Y}",
            "TS912",
            4,
            "'x' is [-1, 3]",
        ),
        (BATCHING, f"{BATCH}{X.replace('[4]', '[4] allow_ragged_batch: true')}{Y}", "TS917", 4, "'x' is ragged"),
        (
            graph({"x": [4], "s": [1]}, {"y": [4]}),
            f"{ORT}{X}{Y}{INT_CONTROL}",
            "TS920",
            4,
            "sequence control 's' is TYPE_INT32, in the graph TYPE_FP32",
        ),
        (
            graph({"x": [4], "s": [2]}, {"y": [4]}, types={"s": TensorProto.INT32}),
            f"{ORT}{X}{Y}{INT_CONTROL}",
            "TS919",
            4,
            "has dims [2] in the graph, not [1]",
        ),
        (graph({"x": [1, 4]}, {"y": [1, 4]}), f"{ORT}max_batch_size: 8", "TS905", 2, "max_batch_size is 8"),
    ],
)
def test_a_graph_that_differs_is_told_at_the_configurations_line(
    judge_files: Judge, data: bytes, config: str, code: str, line: int, message: str
) -> None:
    findings = judge_files({"1/model.onnx": data}, config)
    assert [(finding.code, finding.place.line, finding.phase) for finding in findings] == [(code, line, Phase.LOAD)]
    assert message in findings[0].message


def test_a_control_that_the_graph_lacks_is_one_input_too_many(judge_files: Judge) -> None:
    findings = judge_files({"1/model.onnx": PLAIN}, f"{ORT}{X}{Y}{INT_CONTROL}")
    assert {finding.code for finding in findings} == {"TS906", "TS918"}


def test_optional_inputs_are_initializers_of_a_model_that_does_not_batch(judge_files: Judge) -> None:
    optional = X.replace("x", "w").replace("[4]", "[4] optional: true")
    model = onnx.ModelProto.FromString(PLAIN)
    model.graph.input.append(helper.make_tensor_value_info("w", TensorProto.FLOAT, [4]))
    model.graph.initializer.append(helper.make_tensor("w", TensorProto.FLOAT, [4], [0.0] * 4))
    data = model.SerializeToString()
    assert judge_files({"1/model.onnx": data}, f"{ORT}{X}{optional}{Y}") == []
    ragged = optional.replace("true", "true allow_ragged_batch: true")
    assert [finding.code for finding in judge_files({"1/model.onnx": data}, f"{ORT}{X}{ragged}{Y}")] == ["TS916"]
    codes = {finding.code for finding in judge_files({"1/model.onnx": data}, f"{BATCH}{X}{optional}{Y}")}
    assert "TS915" in codes


@pytest.mark.parametrize(
    ("data", "config"),
    [
        (PLAIN, f"{ORT}{X}{Y}"),
        (PLAIN, ORT),
        (PLAIN, ""),
        (BATCHING, f"{BATCH}{X}{Y}"),
        (BATCHING, ORT),
        (BATCHING, f"{ORT}{X.replace('4', '-1, 4')}{Y.replace('4', '-1, 4')}"),
        (graph({"x": ["a"]}, {"y": [4]}), f"{ORT}{X}{Y}"),  # an input may be narrower than the graph's
        (graph({"x": []}, {"y": []}), f"{ORT}{X.replace('4', '1')}{Y.replace('4', '1')}"),
        (graph({"x": [2, 2]}, {"y": [4]}), f"{ORT}{X.replace('[4]', '[4] reshape { shape: [2, 2] }')}{Y}"),
        (graph({"x": ["N"]}, {"y": ["N", 4]}), f"{BATCH}{X.replace('[4]', '[1] allow_ragged_batch: true')}{Y}"),
        (
            graph({"x": [4], "s": [1]}, {"y": [4]}, types={"s": TensorProto.INT32}),
            f"{ORT}{X}{Y}{INT_CONTROL}",
        ),
    ],
)
def test_a_graph_that_agrees_has_no_finding(judge_files: Judge, data: bytes, config: str) -> None:
    assert judge_files({"1/model.onnx": data}, config) == []


def test_each_version_that_is_loaded_is_compared_with_what_it_completes(judge_files: Judge) -> None:
    files = {"1/model.onnx": PLAIN, "2/model.onnx": BATCHING}
    assert judge_files(files, f"{ORT}version_policy {{ all {{}} }}") == []
    findings = judge_files(files, f"{BATCH}version_policy {{ all {{}} }}\n{X}{Y}")
    assert {(finding.code, finding.message.partition(":")[0]) for finding in findings} == {("TS911", "1/model.onnx")}
    assert judge_files(files, f"{BATCH}{X}{Y}") == []


def test_a_server_that_completes_nothing_sees_a_model_without_inputs(judge_files: Judge) -> None:
    findings = judge_files({"1/model.onnx": PLAIN}, ORT, is_auto_complete=False)
    assert [finding.code for finding in findings] == ["TS906"]


@pytest.mark.parametrize(
    "data",
    [b"x", b"", PLAIN[:-20], PLAIN.replace(b"\n\x01x", b"\n\x01\xff"), b"version https://git-lfs.github.com/spec/v1\n"],
)
def test_a_file_that_is_no_graph_fails_where_a_real_backend_reads_it(judge_files: Judge, data: bytes) -> None:
    (here,) = judge_files({"1/model.onnx": data}, f"{BATCH}{X}{Y}")
    (there,) = judge_files({"1/model.onnx": data}, f"{BATCH}{X}{Y}", release="26.07")
    assert (here.code, here.phase, there.phase) == ("TS900", Phase.REQUEST, Phase.LOAD)


def test_external_data_and_odd_types_are_told(judge_files: Judge) -> None:
    data = graph({"x": [4]}, {"y": [4]}, types={"x": 999, "y": 999})
    assert {finding.code for finding in judge_files({"1/model.onnx": data}, ORT)} == {"TS902"}
    model = onnx.ModelProto.FromString(PLAIN)
    weight = helper.make_tensor("w", TensorProto.FLOAT, [1], [0.0])
    weight.ClearField("float_data")
    weight.data_location = TensorProto.EXTERNAL
    weight.external_data.add(key="location", value="w.bin")
    model.graph.initializer.append(weight)
    files: dict[str, str | bytes] = {"1/model.onnx": model.SerializeToString()}
    assert [finding.code for finding in judge_files(files, f"{ORT}{X}{Y}")] == ["TS901"]
    assert judge_files({**files, "1/w.bin": b"0000"}, f"{ORT}{X}{Y}") == []
    for location in ("../../w.bin", "/etc/passwd", "w\0.bin"):
        weight.external_data[0].value = location
        model.graph.initializer[0].CopyFrom(weight)
        findings = judge_files({"1/model.onnx": model.SerializeToString()}, f"{ORT}{X}{Y}")
        assert [(finding.code, "lies outside" in finding.message) for finding in findings] == [("TS901", True)]


def test_a_file_newer_than_the_servers_runtime_is_told(judge_files: Judge) -> None:
    files = {"1/model.onnx": graph({"x": [4]}, {"y": [4]}, opset=22, ir_version=11)}
    told = {release: judge_files(files, f"{ORT}{X}{Y}", release=release, gpus=1) for release in ("24.10", "25.08")}
    assert [(finding.code, finding.severity) for finding in told["24.10"]] == [
        ("TS903", Severity.ERROR),
        ("TS904", Severity.WARNING),
    ]
    assert told["25.08"] == []
    assert judge_files(files, f"{ORT}{X}{Y}") == []  # another ONNX Runtime serves it there


def test_a_missing_graph_is_no_finding_of_these(judge_files: Judge) -> None:
    assert judge_files({"1/other": b""}, f"{ORT}{X}{Y}") == []


@pytest.mark.parametrize(
    ("config", "code", "severity"),
    [
        (ORT, "TS419", Severity.WARNING),
        (f"{ORT}max_batch_size: 0", "TS419", Severity.WARNING),
        (None, "TS419", Severity.NOTE),
        (f"{ORT}max_batch_size: 4", "", None),
        (f"{ORT}{X.replace('4', '-1, 4')}{Y.replace('4', '-1, 4')}max_batch_size: 0", "", None),
    ],
)
def test_a_batch_limit_that_triton_chooses_is_told(
    judge_repository: Judge, config: str | None, code: str, severity: Severity | None
) -> None:
    files = {"m/1/model.onnx": BATCHING} | ({"m/config.pbtxt": config.encode()} if config is not None else {})
    findings = judge_repository(files, prefixes=("TS40", "TS41"))
    assert [(found.code, found.severity) for found in findings] == [(code, severity)] * bool(code)
