import struct
from collections.abc import Callable

import pytest

from tritonsmith.generator.findings import Finding, Phase, Severity

Judge = Callable[..., list[Finding]]

INPUT = 'input { name: "x" data_type: TYPE_FP32 dims: [4] }'
TENSORS = f'backend: "python"\n{INPUT}\noutput {{ name: "y" data_type: TYPE_FP32 dims: [4] }}\n'
PLAIN = f"{TENSORS}max_batch_size: 8 dynamic_batching {{}}\n"
STRINGS = PLAIN.replace(INPUT, 'input { name: "x" data_type: TYPE_STRING dims: [2] }')
ANY = PLAIN.replace(INPUT, INPUT.replace("[4]", "[-1]"))
ZERO = "data_type: TYPE_FP32 dims: [4] zero_data: true"
FROM_FILE = ZERO.replace("zero_data: true", 'input_data_file: "f"')


def warmed(given: str = ZERO, *, name: str = "x", batch_size: int = 1, config: str = PLAIN) -> str:
    inputs = f'inputs {{ key: "{name}" value {{ {given} }} }}' if given else ""
    return f'{config}model_warmup {{ name: "w" batch_size: {batch_size} {inputs} }}'


@pytest.mark.parametrize(
    ("config", "code", "message"),
    [
        (warmed(ZERO.replace("[4]", "[-1]")), "TS351", "variable dims [-1]"),
        (warmed(ZERO.replace("zero_data: true", "")), "TS352", "the sample's input 'x' has no data"),
        (warmed(FROM_FILE), "TS353", "'f' has 3 bytes, the sample's input 'x' 16"),
        (warmed(""), "TS354", "the sample lacks 'x'"),
        (warmed(name="q"), "TS354", "the sample lacks 'x'"),
        (warmed(ZERO.replace("FP32", "INT32")), "TS356", "has TYPE_INT32, the model takes TYPE_FP32"),
        (warmed("dims: [4] zero_data: true"), "TS356", "has no data_type"),
        (warmed(ZERO.replace("[4]", "[5]")), "TS357", "has dims [5], the model takes [4]"),
        (warmed(ZERO.replace("[4]", "[1, 4]")), "TS357", "has dims [1, 4], the model takes [4]"),
        (warmed(ZERO.replace("[4]", "[-2]"), config=ANY), "TS358", "has dims [-2]"),
        (warmed(ZERO.replace("[4]", "[10000000000000]"), config=ANY), "TS362", "more memory than any server has"),
    ],
)
def test_a_sample_is_a_request_that_the_model_takes(judge: Judge, config: str, code: str, message: str) -> None:
    findings = [found for found in judge(config, {"warmup/f": b"abc"}) if found.code == code]
    assert [found.place.line for found in findings] == [5]
    assert message in findings[0].message


@pytest.mark.parametrize(
    "config",
    [
        warmed(),
        warmed(batch_size=8),
        warmed(ZERO.replace("zero_data", "random_data")),
        warmed(FROM_FILE),
        warmed(ZERO.replace("[4]", "[0]"), config=ANY),
        warmed(config=TENSORS),
        warmed().replace("inputs", 'inputs { key: "control" value { data_type: TYPE_INT8 zero_data: true } } inputs'),
        warmed("data_type: TYPE_STRING dims: [2] random_data: true", config=STRINGS),
        warmed(ZERO.replace("[4]", "[-1]"), batch_size=9, config=f"{PLAIN}instance_group {{ passive: true }}\n"),
    ],
)
def test_a_sample_that_can_be_run_is_fine(judge: Judge, config: str) -> None:
    assert [found for found in judge(config, {"warmup/f": bytes(17)}) if found.code != "TS416"] == []


def test_required_inputs_are_counted(judge: Judge) -> None:
    both = PLAIN.replace("output", INPUT.replace('"x"', '"z"').replace("[4]", "[4] optional: true") + " output", 1)
    assert judge(warmed(config=both)) == []
    assert [found.code for found in judge(warmed("", config=both))] == ["TS355"]


def test_a_sample_of_a_model_that_batches_brings_an_input(judge: Judge) -> None:
    optional = PLAIN.replace("[4] }", "[4] optional: true }", 1)
    assert judge(warmed(config=optional)) == []
    assert [found.code for found in judge(warmed("", config=optional))] == ["TS361"]
    assert judge(warmed("", config=optional.replace("max_batch_size: 8 dynamic_batching {}", ""))) == []


@pytest.mark.parametrize(("backend", "phase"), [("python", Phase.CRASH), ("onnxruntime", Phase.LOAD)])
def test_a_sample_beyond_the_batch_limit_may_end_the_server(judge: Judge, backend: str, phase: Phase) -> None:
    findings = judge(warmed(batch_size=9, config=PLAIN.replace("python", backend)))
    assert [(found.code, found.phase) for found in findings] == [("TS360", phase)]
    assert [found.code for found in judge(warmed(batch_size=2, config=TENSORS))] == ["TS360"]


def test_sizes_below_0_are_told_in_other_words_since_26_03(judge: Judge) -> None:
    config = warmed(ZERO.replace("[4]", "[-2]"), config=ANY)
    findings = judge(config, release="26.03")
    assert [found.code for found in findings if found.code != "TS416"] == ["TS444"]


def test_a_sample_that_is_skipped_is_told(judge: Judge) -> None:
    (found,) = judge(warmed("dims: [-1]", batch_size=0))
    assert (found.code, found.severity) == ("TS363", Severity.WARNING)


def packed(*strings: bytes) -> bytes:
    return b"".join(struct.pack("<I", len(string)) + string for string in strings)


@pytest.mark.parametrize(
    ("data", "codes"),
    [
        (packed(b"a", b"bb"), []),
        (packed(b"a", b""), []),
        (packed(b"a"), ["TS364"]),
        (b"", ["TS364"]),
        (packed(b"a", b"b", b"c"), ["TS365"]),
        (packed(b"a") + b"\0\0", ["TS366"]),
        (packed(b"a", b"bb")[:-1], ["TS367"]),
    ],
)
def test_a_file_of_strings_has_each_after_its_length(judge: Judge, data: bytes, codes: list[str]) -> None:
    config = warmed('data_type: TYPE_STRING dims: [2] input_data_file: "f"', config=STRINGS)
    assert [found.code for found in judge(config, {"warmup/f": data})] == codes


def test_a_file_outside_the_model_is_not_looked_at(judge: Judge) -> None:
    assert judge(warmed(FROM_FILE.replace('"f"', '"../../../../etc/passwd"'))) == []
