import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tritonsmith.generator.findings import Finding
from tritonsmith.generator.fixes import AddFile, SetField

Judge = Callable[..., list[Finding]]
MODEL = "class TritonPythonModel:\n    def execute(self, requests):\n        return []\n"
IO = """input { name: "x" data_type: TYPE_FP32 dims: [4] }
output { name: "y" data_type: TYPE_FP32 dims: [4] }
"""
PYTHON = f'backend: "python"\n{IO}'
ONNX = f'backend: "onnxruntime"\n{IO}'
ENSEMBLE = f"""platform: "ensemble"
{IO}ensemble_scheduling {{
 step {{ model_name: "m" model_version: -1
  input_map {{ key: "x" value: "x" }} output_map {{ key: "y" value: "y" }} }} }}
"""


def told(findings: list[Finding]) -> list[tuple[str, str, str]]:
    return [(found.code, found.severity.value, found.phase.value if found.phase else "") for found in findings]


def python(*folders: str, config: str = PYTHON) -> dict[str, str]:
    return {"m/config.pbtxt": config, **{f"m/{folder}/model.py": MODEL for folder in folders}}


LOAD, HANG, CRASH, WARNING = ("error", "load"), ("error", "hang"), ("error", "crash"), ("warning", "")
NUMBERED = ("TS209", *WARNING)


@pytest.mark.parametrize(
    ("folders", "findings"),
    [
        (["1"], []),
        (["0"], []),
        (["3", "7", "assets", ".git"], []),
        (["v1"], [("TS201", *LOAD)]),
        (["01"], [("TS201", *LOAD)]),
        (["00"], [("TS201", *LOAD)]),
        (["configs", "warmup", "initial_state"], [("TS201", *LOAD)]),
        (["1abc"], [("TS202", *HANG), NUMBERED]),
        (["+1"], [("TS202", *HANG), NUMBERED]),
        ([" 1"], [("TS202", *HANG), NUMBERED]),
        (["1.5"], [("TS202", *HANG), NUMBERED]),
        (["-1"], [("TS202", *HANG), NUMBERED]),
        (["1", "1abc"], [NUMBERED]),
        (["1", "2abc"], [("TS202", *HANG), NUMBERED]),
        (["1", "02"], [NUMBERED]),
        (["1", "v2"], [NUMBERED]),
        (["1", "99999999999999999999"], [("TS210", *CRASH)]),
    ],
)
def test_versions_are_counted_as_triton_counts_them(
    judge_repository: Judge, folders: list[str], findings: list[tuple[str, str, str]]
) -> None:
    assert sorted(told(judge_repository(python(*folders)))) == findings


@pytest.mark.parametrize(
    ("policy", "findings", "line"),
    [
        ("latest { num_versions: 2 }", [], 0),
        ("", [], 0),
        ("all {}", [], 0),
        ("specific { versions: [1] }", [], 0),
        ("latest { num_versions: 0 }", [("TS201", *LOAD)], 4),
        ("latest {}", [("TS201", *LOAD)], 4),
        ("specific {}", [("TS201", *LOAD)], 4),
        ("specific { versions: [7, 8] }", [("TS201", *LOAD)], 4),
        ("specific { versions: [1, 7] }", [("TS212", *WARNING)], 4),
    ],
)
def test_a_version_policy_chooses_what_is_there(
    judge_repository: Judge, policy: str, findings: list[tuple[str, str, str]], line: int
) -> None:
    found = judge_repository(python("1", "2", config=f"{PYTHON}version_policy {{ {policy} }}"))
    assert told(found) == findings
    assert [finding.place.line for finding in found] == [line] * bool(line)


def test_only_the_versions_that_are_loaded_need_their_file(judge_repository: Judge) -> None:
    assert judge_repository({**python("2"), "m/1/notes.txt": ""}) == []


@pytest.mark.parametrize(
    ("config", "files", "findings"),
    [
        (PYTHON, {"m/1": None}, [("TS202", *HANG)]),
        (f'{PYTHON}default_model_filename: "zz.py"', {"m/1/model.py": MODEL}, [("TS202", *HANG)]),
        (f'{PYTHON}default_model_filename: "/tmp/x.py"', {"m/1/model.py": MODEL}, [("TS202", *HANG)]),
        (f'{PYTHON}default_model_filename: "a/b.py"', {"m/1/a/b.py": MODEL}, []),
        (f'{PYTHON}default_model_filename: "../x.py"', {"m/1": None, "m/x.py": MODEL}, [("TS207", *LOAD)]),
        (PYTHON, {"m/1/model.py/x": ""}, [("TS207", *LOAD)]),
        (f'{PYTHON}default_model_filename: "a.b.py"', {"m/1/a.b.py": MODEL}, [("TS207", *LOAD)]),
        (f'{PYTHON}default_model_filename: "miney"', {"m/1/miney": MODEL}, [("TS207", *LOAD)]),
        (ONNX, {"m/1": None}, [("TS206", "error", "request")]),
        (ONNX, {"m/1/model.onnx/model.onnx": ""}, []),
        (f'{ONNX}cc_model_filenames {{ key: "8.0" value: "a.onnx" }}', {"m/1/a.onnx": ""}, []),
        (f'backend: "vllm" {IO}', {"m/1": None}, []),
        (f'backend: "pytorch" runtime: "model.py" {IO}', {"m/1": None}, []),
        (f'{PYTHON}cc_model_filenames {{ key: "8.0" value: "a" }}', {"m/1/model.py": MODEL}, [("TS213", *WARNING)]),
        (f'backend: "tensorrtllm" default_model_filename: "x" {IO}', {"m/1/x": ""}, [("TS213", *WARNING)]),
    ],
)
def test_a_backend_finds_its_file(
    judge_repository: Judge, config: str, files: dict[str, str | None], findings: list[tuple[str, str, str]]
) -> None:
    assert told(judge_repository({"m/config.pbtxt": config, **files})) == findings


def test_a_missing_file_of_a_real_backend_does_not_load(judge_repository: Judge) -> None:
    files = {"m/config.pbtxt": ONNX, "m/1": None}
    assert told(judge_repository(files, release="25.05")) == [("TS206", *LOAD)]


def test_a_name_is_the_folders(judge_repository: Judge) -> None:
    (found,) = judge_repository(python("1", config=f'name: "other"\n{PYTHON}'))
    assert (found.code, found.place.line, found.fix) == ("TS203", 1, SetField("name", '"m"'))
    assert judge_repository(python("1", config=f'name: "m"\n{PYTHON}')) == []


@pytest.mark.parametrize(
    ("name", "is_found"),
    [("a.b-c_d", False), ("a~b", False), ("a+b", True), ("a b", True), ("é", True), ("a:b", True)],
)
def test_a_name_can_stand_in_a_url(judge_repository: Judge, name: str, is_found: bool) -> None:
    findings = judge_repository({f"{name}/config.pbtxt": PYTHON, f"{name}/1/model.py": MODEL})
    assert told(findings) == [("TS208", *LOAD)] * is_found


def test_an_ensembles_version_folder_is_kept(judge_repository: Judge) -> None:
    files: dict[str, str | None] = {**python("1"), "e/config.pbtxt": ENSEMBLE, "e/1": None}
    (found,) = judge_repository(files)
    assert (found.code, found.severity.value, found.fix) == ("TS211", "warning", AddFile("1/.gitkeep"))
    assert judge_repository({**files, "e/1/.gitkeep": ""}) == []


def test_an_ensemble_has_a_version_folder(judge_repository: Judge) -> None:
    (found,) = judge_repository({**python("1"), "e/config.pbtxt": ENSEMBLE})
    assert (found.code, found.fix) == ("TS201", AddFile("1/.gitkeep"))


def test_a_pipe_is_no_models_file(judge_repository: Judge, tmp_path: Path) -> None:
    (tmp_path / "m" / "1").mkdir(parents=True)
    os.mkfifo(tmp_path / "m" / "1" / "model.py")
    assert told(judge_repository({"m/config.pbtxt": PYTHON})) == [("TS207", *LOAD), ("TS214", *WARNING)]


@pytest.mark.parametrize(
    ("links", "findings"),
    [
        ({"m/gone": "nowhere"}, [("TS205", *LOAD)]),
        ({"m/self": "self"}, [("TS205", *LOAD)]),
        ({"m/1/gone": "nowhere"}, [("TS214", *WARNING)]),
        ({"m/1/up": ".."}, [("TS215", *WARNING)]),
        ({"m/1/up": "..", "m/1/again": ".."}, [("TS215", *HANG), ("TS215", *HANG)]),
        ({"m/1/data": "../../m2"}, []),
        ({"gone": "nowhere"}, [("TS208", *LOAD)]),
    ],
)
def test_links_lead_somewhere(
    judge_repository: Judge, links: dict[str, str], findings: list[tuple[str, str, str]]
) -> None:
    second = {"m2/config.pbtxt": PYTHON, "m2/1/model.py": MODEL}
    found = judge_repository({**python("1"), **second, **{link: Path(target) for link, target in links.items()}})
    assert told(found) == findings
