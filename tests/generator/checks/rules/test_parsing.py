import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tritonsmith.generator.findings import Finding, Phase, Severity

Judge = Callable[..., list[Finding]]
MODEL = "class TritonPythonModel:\n    def execute(self, requests):\n        return []\n"
TENSORS = """backend: "python"
input { name: "x" data_type: TYPE_FP32 dims: [4] }
output { name: "y" data_type: TYPE_FP32 dims: [4] }
"""
ENSEMBLE = """platform: "ensemble"
input { name: "x" data_type: TYPE_FP32 dims: [4] }
output { name: "y" data_type: TYPE_FP32 dims: [4] }
ensemble_scheduling { max_inflight_requests: 0
 step { model_name: "m" model_version: -1 input_map { key: "x" value: "x" } output_map { key: "y" value: "y" } } }
"""


def python(config: str, name: str = "m") -> dict[str, str]:
    return {f"{name}/config.pbtxt": config, f"{name}/1/model.py": MODEL}


def test_every_mistake_of_a_text_is_an_error_at_its_place(judge_repository: Judge) -> None:
    findings = judge_repository(python(f"{TENSORS}max_batch_siz: 4\ninput {{ data_type: FP32 }}\n"))
    assert [(found.code, found.place.line, found.place.column, found.phase) for found in findings] == [
        ("TS101", 4, 1, Phase.LOAD),
        ("TS101", 5, 20, Phase.LOAD),
    ]
    assert all(found.place.file.endswith("m/config.pbtxt") and found.model == "m" for found in findings)


@pytest.mark.parametrize(
    ("config", "release", "message", "line"),
    [
        (f"{TENSORS}model_metrics {{}}", "24.10", "'model_metrics' came with 24.11", 4),
        (f"{TENSORS}model_metrics {{}}", "24.11", "", 0),
        (f"{TENSORS}input {{ name: 'z'\n is_non_linear_format_io: false }}", "24.07", "came with 24.08", 5),
        (f"{TENSORS}input {{ name: 'z'\n is_non_linear_format_io: false }}", "24.08", "", 0),
        (f"{TENSORS}# model_metrics", "24.10", "", 0),
    ],
)
def test_a_field_is_one_of_the_targets_release(
    judge_repository: Judge, config: str, release: str, message: str, line: int
) -> None:
    findings = judge_repository(python(config), prefixes=("TS101",), release=release)
    assert [found.place.line for found in findings] == [line] * bool(message)
    assert all(message in found.message for found in findings)


def test_an_ensembles_field_is_one_of_the_targets_release_too(judge_repository: Judge) -> None:
    files = {"e/config.pbtxt": ENSEMBLE, "e/1/.gitkeep": "", **python(TENSORS)}
    (found,) = judge_repository(files, release="25.10")
    assert (found.code, found.place.line) == ("TS101", 4)
    assert "'ensemble_scheduling.max_inflight_requests' came with 25.11" in found.message
    assert judge_repository(files, release="25.11") == []


@pytest.mark.parametrize(
    ("file", "text", "place", "severity"),
    [
        ("config.pbtxt", f'{TENSORS}parameters {{ key: "a" value {{ string_value: "${{b}}/c" }} }}', (4, 46), "error"),
        ("config.pbtxt", f'{TENSORS}model_warmup {{ name: "${{b}}" }}', (4, 23), "error"),
        ("1/model.yaml", "a: 1\nb: ${c}\n", (2, 4), "warning"),
        ("1/settings.json", '{"a": "${c}"}', (1, 8), "warning"),
        ("configs/other.pbtxt", "max_batch_size: ${c}", (1, 17), "warning"),
    ],
)
def test_a_placeholder_is_found_in_the_files_that_templates_fill(
    judge_repository: Judge, file: str, text: str, place: tuple[int, int], severity: str
) -> None:
    findings = judge_repository({**python(TENSORS), f"m/{file}": text})
    assert [(found.code, (found.place.line, found.place.column)) for found in findings] == [("TS104", place)]
    assert findings[0].severity.value == severity
    assert findings[0].phase is (Phase.REQUEST if severity == "error" else None)
    assert findings[0].place.file.endswith(f"m/{file}")


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("config.pbtxt", f"{TENSORS}# ${{a}}\n"),
        ("config.pbtxt", f'{TENSORS}parameters {{ key: "a" value {{ string_value: "$HOME {{}}" }} }}'),
        ("1/helper.py", "# ${a}"),
        ("1/tokenizer.json", '{"${a}": 1}'),
        ("1/model.yaml", "a: ${}\nb: ${oc.env:HOME}\n"),
    ],
)
def test_what_is_no_placeholder_is_left_alone(judge_repository: Judge, file: str, text: str) -> None:
    assert judge_repository({**python(TENSORS), f"m/{file}": text}) == []


@pytest.mark.parametrize("line", ['"' + r"\"" * 100_000, '"${x}' * 20_000, "${x}" * 20_000 + "\n" * 200_000])
def test_placeholders_are_found_in_linear_time(judge_repository: Judge, line: str) -> None:
    started_s = time.process_time()
    judge_repository({"m/config.pbtxt": f"# ${{a}}\n{line}", "m/a.yaml": line})
    assert time.process_time() - started_s < 4


def test_a_bare_placeholder_is_one_error_that_does_not_load(judge_repository: Judge) -> None:
    (found,) = judge_repository(python(f"{TENSORS}max_batch_size: ${{size}}"))
    assert (found.code, found.phase, found.severity) == ("TS101", Phase.LOAD, Severity.ERROR)
    assert "a placeholder that was never filled" in found.message
    both = judge_repository(python(f'{TENSORS}max_batch_size: ${{size}}\nmodel_warmup {{ name: "${{b}}" }}'))
    assert [found.code for found in both] == ["TS101", "TS104"]
    assert {found.place.file for found in both} == {found.place.file}


def test_config_that_is_a_folder_ends_the_server(judge_repository: Judge) -> None:
    (found,) = judge_repository({"m/config.pbtxt": None, "m/1/model.py": MODEL})
    assert (found.code, found.phase) == ("TS101", Phase.CRASH)


def test_config_that_is_a_pipe_is_waited_for(judge_repository: Judge, tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    os.mkfifo(tmp_path / "m" / "config.pbtxt")
    (found,) = judge_repository({"m/1/model.py": MODEL})
    assert (found.code, found.phase) == ("TS101", Phase.HANG)
