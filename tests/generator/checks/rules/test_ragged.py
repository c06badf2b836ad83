from collections.abc import Callable

import pytest

from tritonsmith.generator.findings import Finding, Phase, Severity

Judge = Callable[..., list[Finding]]

PLAIN = """backend: "python"
max_batch_size: 8
input { name: "x" data_type: TYPE_FP32 dims: [4] }
output { name: "y" data_type: TYPE_FP32 dims: [4] }
dynamic_batching {}
"""
COUNTED = 'batch_input { kind: BATCH_ELEMENT_COUNT target_name: "n" data_type: TYPE_INT32 source_input: "x" }\n'
SCATTERED = 'batch_output { target_name: "y" kind: BATCH_SCATTER_WITH_INPUT_SHAPE source_input: "x" }\n'


def test_a_batch_input_and_a_batch_output_are_fine(judge: Judge) -> None:
    assert judge(PLAIN + COUNTED + COUNTED.replace("INT32", "FP32") + SCATTERED) == []


@pytest.mark.parametrize(
    ("config", "code", "message"),
    [
        (COUNTED.replace('source_input: "x"', ""), "TS331", "BATCH_ELEMENT_COUNT has 0 source inputs, it takes one"),
        (COUNTED.replace('source_input: "x"', 'source_input: ["x", "x"]'), "TS331", "has 2 source inputs"),
        (COUNTED.replace("INT32", "INT64"), "TS332", "has TYPE_INT64"),
        (COUNTED.replace("data_type: TYPE_INT32", ""), "TS332", "has no data_type"),
        (COUNTED.replace('source_input: "x"', 'source_input: "q"'), "TS333", "source input 'q'"),
        (SCATTERED.replace('source_input: "x"', 'source_input: "q"'), "TS333", "source input 'q'"),
        (SCATTERED.replace('source_input: "x"', ""), "TS334", "BATCH_SCATTER_WITH_INPUT_SHAPE has 0 source inputs"),
        (SCATTERED.replace('target_name: "y"', 'target_name: "q"'), "TS335", "target output 'q'"),
        (SCATTERED.replace('target_name: "y"', 'target_name: ["y", "y"]'), "TS336", "'y' is named 2 times"),
    ],
)
def test_what_is_made_of_a_batch_is_whole(judge: Judge, config: str, code: str, message: str) -> None:
    (found,) = judge(PLAIN + config)
    assert (found.code, found.place.line) == (code, 6)
    assert message in found.message


def test_a_batch_input_without_a_target_is_told(judge: Judge) -> None:
    (found,) = judge(PLAIN + COUNTED.replace('target_name: "n"', ""))
    assert (found.code, found.severity) == ("TS337", Severity.WARNING)


def test_a_ragged_input_of_a_model_that_does_not_batch_is_told(judge: Judge) -> None:
    ragged = PLAIN.replace("[4] }", "[-1] allow_ragged_batch: true }", 1)
    assert judge(ragged) == []
    (found,) = judge(ragged.replace("max_batch_size: 8", "").replace("dynamic_batching {}", ""))
    assert (found.code, found.severity) == ("TS338", Severity.WARNING)


def test_a_ragged_input_of_onnx_needs_to_be_told_apart(judge: Judge) -> None:
    ragged = PLAIN.replace("[4] }", "[-1] allow_ragged_batch: true }", 1).replace("python", "onnxruntime")
    assert [(found.code, found.severity) for found in judge(ragged)] == [("TS339", Severity.NOTE)]
    assert judge(ragged + COUNTED) == []


def test_a_number_that_no_kind_has_is_none(judge: Judge) -> None:
    made, scattered = (
        COUNTED.replace("BATCH_ELEMENT_COUNT", "99"),
        SCATTERED.replace("BATCH_SCATTER_WITH_INPUT_SHAPE", "99"),
    )
    assert [found.code for found in judge(PLAIN + made)] == ["TS340", "TS342"]
    assert [found.code for found in judge(PLAIN + made, is_auto_complete=False)] == ["TS340"]
    assert [found.code for found in judge(PLAIN + scattered)] == ["TS341", "TS342"]
    assert [found.code for found in judge(PLAIN + COUNTED.replace("TYPE_INT32", "99"))] == ["TS332", "TS342"]


def test_a_batch_output_without_a_target_ends_the_server(judge: Judge) -> None:
    (found,) = judge(PLAIN + SCATTERED.replace('target_name: "y"', ""))
    assert (found.code, found.phase) == ("TS343", Phase.CRASH)
