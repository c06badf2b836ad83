from pathlib import Path

import pytest

from tritonsmith.generator.catalog.releases import RELEASES
from tritonsmith.generator.checks import Case, Target, check_repository
from tritonsmith.generator.checks.registry import all_checks
from tritonsmith.generator.findings import Finding
from tritonsmith.generator.repository.read import read_repository

TENSORS = 'input { name: "x" data_type: TYPE_FP32 dims: [4] }\noutput { name: "y" data_type: TYPE_FP32 dims: [4] }\n'
PLAIN = f'backend: "python"\n{TENSORS}'
MODEL = "class TritonPythonModel:\n    def execute(self, requests):\n        return [None for _ in requests]\n"


def found(
    folder: Path, models: dict[str, str], target: Target | None = None, script: str = "1/model.py"
) -> list[Finding]:
    for name, config in models.items():
        path = folder / name / script
        path.parent.mkdir(parents=True)
        path.write_text(MODEL if path.suffix == ".py" else "")
        (folder / name / "config.pbtxt").write_text(config)
    return check_repository(Case(read_repository(folder), target or Target()))


def ensemble(*steps: str) -> str:
    return f'platform: "ensemble"\n{TENSORS}ensemble_scheduling {{ {" ".join(f"step {{ {s} }}" for s in steps)} }}'


STEP = 'model_version: -1 input_map { key: "x" value: "x" } output_map { key: "y" value: "y" }'


def test_a_sound_repository_has_no_finding(tmp_path: Path) -> None:
    models = {"m": f"{PLAIN}max_batch_size: 8\ndynamic_batching {{}}", "n": PLAIN}
    assert found(tmp_path, {**models, "e": ensemble(f'model_name: "n" {STEP}')}) == []


@pytest.mark.parametrize(
    ("config", "code", "line", "message"),
    [
        ("max_batch_siz: 4", "TS101", 1, "max_batch_siz"),
        (f"{PLAIN}model_metrics {{}}", "TS101", 4, "'model_metrics' came with 24.11"),
        (f'name: "other" {PLAIN}', "TS203", 1, "the configuration names 'other', the folder is 'm'"),
    ],
)
def test_a_mistake_is_found_at_its_line(tmp_path: Path, config: str, code: str, line: int, message: str) -> None:
    findings = found(tmp_path, {"m": config})
    assert [(finding.code, finding.place.line) for finding in findings] == [(code, line)]
    assert message in findings[0].message


def test_a_field_is_judged_by_the_targets_release(tmp_path: Path) -> None:
    target = Target(RELEASES["25.05"])
    assert found(tmp_path, {"m": f"{PLAIN}model_metrics {{}}"}, target) == []


def test_links_that_lead_nowhere_are_found(tmp_path: Path) -> None:
    folder = tmp_path / "m" / "1"
    folder.mkdir(parents=True)
    (folder / "weights").symlink_to("nowhere")
    (folder / "up").symlink_to("..")
    for script in ("1/model.py", "model.py"):
        (tmp_path / "m" / script).write_text("")
    (tmp_path / "m" / "config.pbtxt").write_text(PLAIN)
    findings = check_repository(Case(read_repository(tmp_path), Target()))
    assert [(finding.code, finding.message) for finding in findings] == [
        ("TS205", "m/1/up is a link to a folder that holds it"),
        ("TS205", "m/1/weights is a link to nothing"),
    ]


def test_a_missing_model_file_is_found_before_the_server_hangs_on_it(tmp_path: Path) -> None:
    findings = found(tmp_path, {"m": PLAIN}, script="1/modle.py")
    assert [finding.code for finding in findings] == ["TS202"]


@pytest.mark.parametrize(
    ("config", "file"),
    [
        (TENSORS.replace('name: "y"', 'name: "y" label_filename: "l.txt"'), "l.txt"),
        (
            (
                f'{TENSORS}model_warmup {{ name: "w" batch_size: 1 inputs {{ key: "x" value {{ '
                'data_type: TYPE_FP32 dims: [4] input_data_file: "d" } } }'
            ),
            "warmup/d",
        ),
        (
            (
                f'{TENSORS}sequence_batching {{ state {{ input_name: "s" output_name: "s" data_type: TYPE_FP32 dims: [4] '
                'initial_state { name: "z" data_type: TYPE_FP32 dims: [4] data_file: "i" } } }'
            ),
            "initial_state/i",
        ),
    ],
)
def test_a_file_that_the_configuration_names_must_be_there(tmp_path: Path, config: str, file: str) -> None:
    findings = found(tmp_path, {"m": f'backend: "python"\n{config}'})
    assert [(finding.code, finding.message) for finding in findings] == [("TS204", f"there is no {file}")]
    (tmp_path / "m" / file).parent.mkdir(exist_ok=True)
    (tmp_path / "m" / file).write_bytes(bytes(16))
    assert check_repository(Case(read_repository(tmp_path), Target())) == []


def test_a_model_without_a_version_folder_is_found(tmp_path: Path) -> None:
    findings = found(tmp_path, {"m": PLAIN}, script="v1/model.py")
    assert [finding.code for finding in findings] == ["TS201"]


def test_what_cannot_be_completed_is_found(tmp_path: Path) -> None:
    findings = found(tmp_path, {"m": "max_batch_size: 0"}, script="1/weights.bin")
    assert [finding.code for finding in findings] == ["TS103"]


def test_every_check_has_a_title_and_a_reason() -> None:
    checks = all_checks().values()
    assert len(checks) > 10
    assert all(check.title and check.reason for check in checks)
