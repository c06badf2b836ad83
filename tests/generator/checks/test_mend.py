from pathlib import Path

from tritonsmith.generator.checks import Case, Target, check_repository
from tritonsmith.generator.checks.mend import Mended, mend
from tritonsmith.generator.checks.select import Selection
from tritonsmith.generator.repository.read import read_repository

TENSORS = 'input { name: "x" data_type: TYPE_FP32 dims: [4] }\noutput { name: "y" data_type: TYPE_FP32 dims: [4] }\n'
SCRIPT = "class TritonPythonModel:\n    def execute(self, requests):\n        return []\n"


def mended(folder: Path, configs: dict[str, str], selection: Selection | None = None) -> Mended:
    for name, config in configs.items():
        (folder / name / "1").mkdir(parents=True)
        (folder / name / "1" / "model.py").write_text(SCRIPT)
        (folder / name / "config.pbtxt").write_text(config)
    case, asked = Case(read_repository(folder), Target()), selection or Selection()
    return mend(case, [one for one in check_repository(case) if asked.takes(one)], asked)


def test_a_fix_leaves_layout_and_comments(tmp_path: Path) -> None:
    config = f'# mine\nname: "other"   # its name\nbackend: "python"\n{TENSORS}'
    done = mended(tmp_path, {"m": config})
    assert done.repository.models["m"].text == config.replace('"other"', '"m"')
    assert [finding.code for finding in done.fixed] == ["TS203"]
    assert check_repository(Case(done.repository, Target())) == []


def test_models_are_mended_each_for_itself(tmp_path: Path) -> None:
    config = f'backend: "python"\n{TENSORS}'
    done = mended(tmp_path, {"m": config, "n": f'name: "a" {config}'})
    assert done.repository.models["m"].text == config
    assert done.repository.models["n"].text == f'name: "n" {config}'


def test_what_was_not_asked_for_is_not_mended(tmp_path: Path) -> None:
    done = mended(tmp_path, {"m": f'name: "other" backend: "python"\n{TENSORS}'}, Selection(ignore=("TS2",)))
    assert done.fixed == ()


def test_a_fix_that_leads_to_another_error_is_taken_back(tmp_path: Path) -> None:
    (tmp_path / "n").mkdir()
    (tmp_path / "n" / "config.pbtxt").write_text(f'backend: "python"\n{TENSORS}')
    done = mended(tmp_path, {"m": f'backend: "python"\n{TENSORS}'})
    assert "1/.gitkeep" not in done.repository.models["n"].files  # a version without model.py hangs the server


def test_a_configuration_that_does_not_parse_in_the_end_stays(tmp_path: Path) -> None:
    config = f'backend: "python"\n{TENSORS}max_batch_siz: 4\nnonsense 3 {{\n'
    done = mended(tmp_path, {"m": config})
    assert done.repository.models["m"].text == config
    assert done.fixed == ()
