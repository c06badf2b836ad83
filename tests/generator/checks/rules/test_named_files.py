from collections.abc import Callable

import pytest

from tritonsmith.generator.findings import Finding, Phase

Judge = Callable[..., list[Finding]]
MODEL = "class TritonPythonModel:\n    def execute(self, requests):\n        return []\n"
INPUT = 'backend: "python" max_batch_size: 1 dynamic_batching {}\ninput { name: "x" data_type: TYPE_FP32 dims: [4] }\n'
OUTPUT = 'output { name: "y" data_type: TYPE_FP32 dims: [4] }\n'
BASE = {"m/1/model.py": MODEL, "n/config.pbtxt": f"{INPUT}{OUTPUT}", "n/1/model.py": MODEL, "n/l.txt": "a", "l.txt": ""}


def labelled(name: str) -> str:
    return f'{INPUT}output {{ name: "y" label_filename: "{name}" data_type: TYPE_FP32 dims: [4] }}\n'


@pytest.mark.parametrize(
    ("label", "code"),
    [
        ("labels.txt", ""),
        ("1/labels.txt", ""),
        ("./1/../labels.txt", ""),
        ("/labels.txt", ""),
        ("../n/l.txt", ""),
        ("../l.txt", ""),
        ("other.txt", "TS204"),
        ("a/../labels.txt", "TS204"),
        ("/etc/hostname", "TS204"),
        ("../../../etc/hostname", "TS204"),
        ("../n/none.txt", "TS204"),
        ("1", "TS217"),
    ],
)
def test_a_label_file_is_there(judge_repository: Judge, label: str, code: str) -> None:
    files = {"m/config.pbtxt": labelled(label), "m/labels.txt": "a", "m/1/labels.txt": "a"}
    findings = judge_repository({**BASE, **files}, prefixes=("TS2",))
    assert [(found.code, found.place.line) for found in findings] == [(code, 3)] * bool(code)
    assert all(found.phase is (Phase.CRASH if code == "TS217" else Phase.LOAD) for found in findings)


@pytest.mark.parametrize(
    ("label", "release", "code"),
    [
        ("../n/l.txt", "26.02", "TS216"),
        ("../../x", "26.02", "TS216"),
        ("../m/labels.txt", "26.02", ""),
        ("none.txt", "26.02", "TS204"),
        ("../n/l.txt", "26.01", ""),
    ],
)
def test_since_26_02_labels_lie_in_the_models_folder(
    judge_repository: Judge, label: str, release: str, code: str
) -> None:
    files = {"m/config.pbtxt": labelled(label), "m/labels.txt": "a"}
    findings = judge_repository({**BASE, **files}, prefixes=("TS2",), release=release)
    assert [found.code for found in findings] == [code] * bool(code)


WARMUP = f'{INPUT}{OUTPUT}model_warmup {{ name: "w" batch_size: 1 inputs {{ key: "x" value {{\n'
FILE = 'data_type: TYPE_FP32 dims: [4] input_data_file: "d" } } }'
STATE = """sequence_batching { state { input_name: "s" output_name: "t" data_type: TYPE_FP32 dims: [4]
 initial_state { name: "i" data_type: TYPE_FP32 dims: [4] data_file: "d" } } }"""
SEQUENCE = f"{INPUT.replace('dynamic_batching {}', STATE)}{OUTPUT}"


@pytest.mark.parametrize(
    ("config", "file", "code"),
    [
        (f"{WARMUP}{FILE}", "warmup/d", ""),
        (f"{WARMUP}{FILE}", "d", "TS204"),
        (f"{WARMUP}{FILE}", "warmup/d/x", "TS217"),
        (f"{WARMUP}{FILE}".replace("batch_size: 1 inputs", "batch_size: 0 inputs"), "d", ""),
        (f"{WARMUP}{FILE}\ninstance_group {{ passive: true }}", "d", ""),
        (f"{WARMUP}data_type: TYPE_FP32 dims: [4] zero_data: true }} }} }}", "d", ""),
        (SEQUENCE, "initial_state/d", ""),
        (SEQUENCE, "d", "TS204"),
    ],
)
def test_data_files_are_there(judge_repository: Judge, config: str, file: str, code: str) -> None:
    findings = judge_repository({**BASE, "m/config.pbtxt": config, f"m/{file}": "x" * 16}, prefixes=("TS2",))
    assert [found.code for found in findings] == [code] * bool(code)


def test_a_strict_server_wants_config_pbtxt(judge_repository: Judge) -> None:
    findings = judge_repository({"m/1/model.py": MODEL}, is_auto_complete=False)
    assert [found.code for found in findings] == ["TS204"]
    assert judge_repository({"m/1/model.py": MODEL}) == []
    nothing = judge_repository({"k/1/x": "", "m/1/model.py": MODEL}, is_auto_complete=False)
    assert [(found.code, found.model) for found in nothing] == [("TS204", "k"), ("TS204", "m")]
