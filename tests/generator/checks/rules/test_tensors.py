from collections.abc import Callable

import pytest

from tritonsmith.generator.findings import Finding, Phase, Severity

Judge = Callable[..., list[Finding]]

INPUT = 'input { name: "x" data_type: TYPE_FP32 dims: [4] }\n'
OUTPUT = 'output { name: "y" data_type: TYPE_FP32 dims: [4] }\n'
PYTHON = 'backend: "python"\n'
TENSORRT = 'platform: "tensorrt_plan"\n'
COMPLETING = """
from elsewhere import completed


class TritonPythonModel:
    @staticmethod
    def auto_complete_config(config):
        return completed(config)
"""


def reshaped(dims: str, shape: str, side: str = "input") -> str:
    return f'{side} {{ name: "t" data_type: TYPE_FP32 dims: [{dims}] reshape {{ shape: [{shape}] }} }}\n'


@pytest.mark.parametrize(
    ("tensor", "code", "message"),
    [
        ("data_type: TYPE_FP32 dims: [4]", "TS301", "{side} without a name"),
        ('name: "t" dims: [4]', "TS302", "{side} 't' has no data_type"),
        ('name: "t" data_type: TYPE_FP32', "TS303", "{side} 't' has no dims"),
        ('name: "t" data_type: TYPE_FP32 dims: [0]', "TS304", "{side} 't' has dims [0]: each is -1 or at least 1"),
        ('name: "t" data_type: TYPE_FP32 dims: [4, -2]', "TS304", "{side} 't' has dims [4, -2]"),
        ('name: "t" data_type: TYPE_FP32 dims: [1] reshape {}', "TS305", "{side} 't' is reshaped to a scalar"),
        ('name: "t" data_type: TYPE_FP32 dims: [4] reshape { shape: [4, 0] }', "TS306", "{side} 't' is reshaped to"),
        ('name: "t" data_type: TYPE_FP32 dims: [4] reshape { shape: [3] }', "TS307", "dims [4], reshaped to [3]"),
        ('name: "t" data_type: TYPE_FP32 dims: [-1] reshape { shape: [4] }', "TS307", "dims [-1], reshaped to [4]"),
        ('name: "t" data_type: TYPE_FP32 dims: [2, -1] reshape { shape: [-1, 2] }', "TS307", "dims [2, -1]"),
        ('name: "t" data_type: TYPE_FP32 dims: [-1, -1] reshape { shape: [-1] }', "TS308", "2 variable dims"),
    ],
)
@pytest.mark.parametrize(("side", "other"), [("input", OUTPUT), ("output", INPUT)])
def test_a_tensor_is_whole(judge: Judge, side: str, other: str, tensor: str, code: str, message: str) -> None:
    findings = judge(f"{PYTHON}{other}\n{side} {{ {tensor} }}")
    expected = code if side == "input" else f"TS31{code[-1]}"
    assert [(found.code, found.place.line) for found in findings] == [(expected, 4)]
    assert message.format(side=side) in findings[0].message


@pytest.mark.parametrize(
    ("dims", "shape"), [("4", "2, 2"), ("-1", "-1, 1"), ("2, 4, -1, 6", "8, -1, 1, 6"), ("1", ""), ("1, 1", "")]
)
def test_a_reshape_that_keeps_every_element_is_fine(judge: Judge, dims: str, shape: str) -> None:
    batched = f"{PYTHON}max_batch_size: 1\n"
    assert judge(batched + reshaped(dims, shape) + reshaped(dims, shape, "output").replace('"t"', '"u"')) == []


@pytest.mark.parametrize(
    ("config", "code", "line", "message"),
    [
        (PYTHON + INPUT.replace("[4]", "[4] format: FORMAT_NHWC"), "TS309", 2, "is FORMAT_NHWC and has 1 dims"),
        (PYTHON + INPUT.replace("[4]", "[4] is_shape_tensor: true"), "TS319", 2, "the platform is ''"),
        (PYTHON + INPUT.replace("[4]", "[4] is_non_linear_format_io: true"), "TS320", 2, "'x' has a non-linear"),
        (TENSORRT + INPUT.replace("[4]", "[4] is_non_linear_format_io: true"), "TS321", 2, "and 1 dims"),
        (TENSORRT + OUTPUT.replace("[4]", "[4] is_non_linear_format_io: true"), "TS322", 2, "and 1 dims"),
    ],
)
def test_a_setting_is_for_tensors_that_have_it(judge: Judge, config: str, code: str, line: int, message: str) -> None:
    (found,) = judge(config)
    assert (found.code, found.place.line) == (code, line)
    assert message in found.message


def test_settings_of_tensorrt_are_for_tensorrt(judge: Judge) -> None:
    image = 'input { name: "i" data_type: TYPE_FP32 dims: [3, 8, 8] is_non_linear_format_io: true }\n'
    image = image.replace("] is", "] format: FORMAT_NCHW is")
    shape = INPUT.replace("[4]", "[4] is_shape_tensor: true")
    assert judge(TENSORRT + image + shape) == []


def test_elements_beyond_64_bits_are_refused_since_26_03(judge: Judge) -> None:
    config = PYTHON + reshaped("4294967296, 4294967296", "4294967296, 4294967296")
    assert judge(config) == []
    assert [found.code for found in judge(config, release="26.03")] == ["TS323"]


def test_two_required_inputs_of_one_name_are_never_served(judge: Judge) -> None:
    (found,) = judge(PYTHON + INPUT + INPUT + OUTPUT)
    assert (found.code, found.phase, found.place.line) == ("TS324", Phase.REQUEST, 3)


def test_the_first_of_two_inputs_holds_where_one_is_enough(judge: Judge) -> None:
    optional = INPUT.replace("[4]", "[4] optional: true")
    (found,) = judge(PYTHON + INPUT + optional + OUTPUT)
    assert (found.code, found.severity, found.phase) == ("TS324", Severity.WARNING, None)


def test_the_first_of_two_outputs_holds(judge: Judge) -> None:
    (found,) = judge(PYTHON + INPUT + OUTPUT + OUTPUT)
    assert (found.code, found.severity, found.place.line) == ("TS325", Severity.WARNING, 4)


def test_a_model_that_nothing_completes_says_its_tensors(judge: Judge) -> None:
    assert [found.code for found in judge(PYTHON)] == ["TS326"]


def test_what_a_backend_completes_need_not_be_said(judge: Judge) -> None:
    incomplete = f'{PYTHON}input {{ name: "x" }}'
    assert judge(incomplete, model=COMPLETING) == []
    assert judge(PYTHON, model=COMPLETING) == []
    assert judge(f'{TENSORRT}input {{ name: "x" }}') == []
    codes = [found.code for found in judge(incomplete, model=COMPLETING, is_auto_complete=False)]
    assert codes == ["TS302", "TS303"]


def test_a_tensor_that_passes_through_has_one_type(judge: Judge) -> None:
    through = INPUT.replace("input", "output")
    assert judge(PYTHON + INPUT + through) == []
    (found,) = judge(PYTHON + INPUT + through.replace("FP32", "INT8"))
    assert (found.code, found.severity) == ("TS327", Severity.NOTE)
