from collections.abc import Callable
from pathlib import Path

import pytest

from tritonsmith.generator.findings import Finding, Phase

Judge = Callable[..., list[Finding]]
MODEL = "class TritonPythonModel:\n    def execute(self, requests):\n        return []\n"
IO = """
input { name: "x" data_type: TYPE_FP32 dims: [4] }
output { name: "y" data_type: TYPE_FP32 dims: [4] }
"""
LIBRARY = b"\x7fELF"
FILES = {"m/1/model.py": MODEL, "m/1/model.onnx": "x", "m/1/model.pt": "x", "m/1/model.plan": "x", "m/1/model.xml": ""}


def codes(findings: list[Finding]) -> list[str]:
    return [found.code for found in findings]


@pytest.mark.parametrize(
    ("files", "code"),
    [
        ({"m/1/model.py": MODEL}, ""),
        ({"m/config.pbtxt": IO, "m/1/model.onnx": ""}, ""),
        ({"m/config.pbtxt": IO, "m/1/weights.bin": ""}, "TS230"),
        ({"m.identity/1/weights.bin": ""}, ""),
        ({"m.nope/1/weights.bin": ""}, "TS233"),
        ({"m/config.pbtxt": f"{IO}ensemble_scheduling {{}}", "m/1/x": ""}, "TS230"),
        ({"m/config.pbtxt": f'platform: "foo" {IO}', "m/1/x": ""}, "TS231"),
        ({"m/config.pbtxt": f'platform: "python" {IO}', "m/1/x": ""}, "TS231"),
        ({"m/config.pbtxt": f'default_model_filename: "x.bin" {IO}', "m/1/x": ""}, "TS231"),
        ({"m/config.pbtxt": f'platform: "onnxruntime_onnx" {IO}', "m/1/model.onnx": ""}, ""),
    ],
)
def test_the_backend_can_be_told(judge_repository: Judge, files: dict[str, str], code: str) -> None:
    findings = judge_repository(files, prefixes=("TS23", "TS24"))
    assert codes(findings) == [code] * bool(code)
    assert all(found.phase is Phase.LOAD for found in findings)


@pytest.mark.parametrize(
    ("named", "release", "code"),
    [
        ('platform: "onnxruntime_onnx" backend: "tensorrt"', "24.10", "TS232"),
        ('platform: "onnxruntim" default_model_filename: "model.onnx"', "24.10", "TS232"),
        ('platform: "zz" backend: "pytorch"', "24.10", "TS232"),
        ('platform: "libtorch" backend: "pytorch"', "24.10", "TS232"),
        ('platform: "libtorch" backend: "pytorch"', "26.04", ""),
        ('backend: "tensorflow"', "24.10", "TS232"),
        ('backend: "tensorflow" platform: "tensorflow_savedmodel"', "25.03", "TS233"),
        ('platform: "tensorrt_plan" backend: "python"', "24.10", ""),
        ('platform: "tensorrt_plan" backend: "openvino"', "24.10", ""),
        ('backend: "nope"', "24.10", "TS233"),
        ('backend: "pyton"', "25.05", "TS233"),
        ('backend: "ensemble"', "25.05", "TS233"),
        ('backend: "identity"', "24.10", ""),
    ],
)
def test_platform_and_backend_are_known(judge_repository: Judge, named: str, release: str, code: str) -> None:
    files = {**FILES, "m/config.pbtxt": f"{named} {IO}", "m/1/model.savedmodel/x": ""}
    if "tensorflow" in named and code == "TS232":
        del files["m/1/model.savedmodel/x"]
    findings = judge_repository(files, prefixes=("TS23", "TS24"), release=release)
    assert codes(findings) == [code] * bool(code)
    assert all(found.phase is Phase.LOAD for found in findings)


def test_a_backend_that_nvidia_does_not_ship_may_be_the_users(judge_repository: Judge) -> None:
    files: dict[str, str | bytes] = {**FILES, "m/config.pbtxt": f'backend: "my_own" {IO}'}
    (found,) = judge_repository(files, prefixes=("TS233",), release="25.05")
    assert found.severity.value == "warning"
    assert judge_repository({**files, "m/libtriton_my_own.so": LIBRARY}, prefixes=("TS233",)) == []


@pytest.mark.parametrize(
    ("backend", "runtime", "release", "code"),
    [
        ("python", "libtriton_zz.so", "24.10", "TS234"),
        ("python", "python", "24.10", "TS234"),
        ("python", "libtriton_python.so", "24.10", ""),
        ("python", "model.py", "24.10", "TS235"),
        ("onnxruntime", "libtriton_onnxruntime.so", "24.10", "TS234"),
        ("onnxruntime", "libtriton_onnxruntime.so", "25.05", ""),
        ("onnxruntime", "libtriton_python.so", "24.10", "TS234"),
        ("onnxruntime", "model.py", "24.10", ""),
        ("onnxruntime", "model.py", "25.05", "TS235"),
        ("pytorch", "model.py", "25.05", ""),
        ("onnxruntime", "../python/libtriton_python.so", "24.10", "TS236"),
        ("onnxruntime", "../zz/libtriton_python.so", "24.10", "TS234"),
        ("identity", "../there/libtriton_identity.so", "24.10", "TS236"),
        ("identity", "there/libtriton_identity.so", "24.10", ""),
        ("python", "../python/libtriton_python.so", "24.10", ""),
        ("python", "./libtriton_python.so", "25.05", ""),
        ("python", ".././python//libtriton_python.so", "25.05", ""),
        ("python", "../onnxruntime/libtriton_onnxruntime.so", "25.05", "TS236"),
        ("python", "../onnxruntime/libtriton_onnxruntime.so", "24.10", "TS234"),
        ("python", "x/../libtriton_python.so", "24.10", "TS234"),
        ("onnxruntime", "../onnxruntime/libtriton_onnxruntime.so", "25.05", ""),
        ("tensorrt", "../tensorrtllm/libtriton_tensorrtllm.so", "25.05", ""),
        ("tensorrt", "../tensorrtllm/libtriton_tensorrtllm.so", "26.06", "TS236"),
        ("identity", "../1/libtriton_one.so", "24.10", ""),
        ("identity", "../m/there/libtriton_identity.so", "24.10", ""),
        ("identity", "../none/libtriton_identity.so", "24.10", "TS234"),
    ],
)
def test_a_runtime_is_there(judge_repository: Judge, backend: str, runtime: str, release: str, code: str) -> None:
    files = {**FILES, "m/config.pbtxt": f'backend: "{backend}" {IO}runtime: "{runtime}"'}
    findings = judge_repository(
        {**files, "m/there/libtriton_identity.so": LIBRARY, "m/1/libtriton_one.so": LIBRARY},
        prefixes=("TS23", "TS24"),
        release=release,
    )
    assert [(found.code, found.place.line) for found in findings] == [(code, 4)] * bool(code)


@pytest.mark.parametrize(
    ("agents", "release", "found"),
    [
        ('agents { name: "zz" }', "24.10", ("TS237", "error")),
        ('agents { name: "checksum" }', "24.10", ("TS237", "error")),
        ('agents { name: "checksum" }', "25.05", None),
        ('agents { name: "checksun" }', "25.05", ("TS237", "error")),
        ('agents { name: "my_own" }', "25.05", ("TS237", "warning")),
        ("", "25.05", ("TS241", "error")),
    ],
)
def test_repository_agents_are_there(
    judge_repository: Judge, agents: str, release: str, found: tuple[str, str] | None
) -> None:
    files = {**FILES, "m/config.pbtxt": f'backend: "python" {IO}model_repository_agents {{ {agents} }}'}
    findings = judge_repository(files, prefixes=("TS23", "TS24"), release=release)
    assert [(finding.code, finding.severity.value) for finding in findings] == [found] * bool(found)


def test_agents_are_looked_for_before_a_backend_is(judge_repository: Judge) -> None:
    files = {"m/1/weights.bin": "", "m/config.pbtxt": 'model_repository_agents { agents { name: "zz" } }'}
    assert {"TS230", "TS237"} <= {finding.code for finding in judge_repository(files)}


def strategy(path: str, batcher: str = "dynamic_batching {}") -> str:
    parameter = f'parameters {{ key: "TRITON_BATCH_STRATEGY_PATH" value {{ string_value: "{path}" }} }}'
    return f'backend: "python" max_batch_size: 2 {batcher} {IO}{parameter}'


@pytest.mark.parametrize(
    ("path", "release", "found"),
    [
        ("/x.so", "24.10", ("TS239", "error")),
        ("x.so", "24.10", ("TS239", "error")),
        ("", "24.10", ("TS239", "error")),
        ("x.so", "25.05", ("TS239", "error")),
        ("/x.so", "25.05", ("TS239", "warning")),
        ("/x.so", "26.06", ("TS240", "error")),
        ("{root}/m/s.so", "24.10", None),
        ("{root}/m/s.so", "26.06", None),
        ("{root}/m/t.so", "24.10", ("TS239", "error")),
    ],
)
def test_a_batch_strategy_is_there(
    judge_repository: Judge, tmp_path: Path, path: str, release: str, found: tuple[str, str] | None
) -> None:
    config = strategy(path.format(root=tmp_path))
    findings = judge_repository(
        {**FILES, "m/config.pbtxt": config, "m/s.so": LIBRARY}, prefixes=("TS2",), release=release
    )
    assert [(finding.code, finding.severity.value) for finding in findings] == [found] * bool(found)


def test_a_sequence_batcher_has_no_batch_strategy(judge_repository: Judge) -> None:
    findings = judge_repository(
        {**FILES, "m/config.pbtxt": strategy("/x.so", "sequence_batching {}")}, prefixes=("TS2",)
    )
    assert codes(findings) == ["TS238"]


@pytest.mark.parametrize(
    ("file", "content", "code"),
    [
        ("batchstrategy.so", b"x", "TS242"),
        ("1/batchstrategy.so", b"x", "TS242"),
        ("batchstrategy.so", LIBRARY, ""),
        ("libtriton_python.so", b"", "TS242"),
        ("libhelper.so", b"", ""),
    ],
)
def test_what_is_loaded_as_a_library_is_one(judge_repository: Judge, file: str, content: bytes, code: str) -> None:
    files = {**FILES, "m/config.pbtxt": f'backend: "python" {IO}', f"m/{file}": content}
    assert codes(judge_repository(files, prefixes=("TS2",))) == [code] * bool(code)
