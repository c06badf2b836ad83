"""What holds of all checks; each subject's rules have tests of their own."""

import gc
from collections.abc import Callable

import pytest

from tritonsmith.generator.checks.registry import all_checks
from tritonsmith.generator.findings import Finding

MODEL = "class TritonPythonModel:\n    def execute(self, requests):\n        return [None for _ in requests]\n"
TENSORS = 'input { name: "x" data_type: TYPE_FP32 dims: [4] }\noutput { name: "y" data_type: TYPE_FP32 dims: [4] }\n'
PLAIN = f'backend: "python"\n{TENSORS}'
ENSEMBLE = f"""platform: "ensemble"
{TENSORS}ensemble_scheduling {{ step {{
 model_name: "n" model_version: -1 input_map {{ key: "x" value: "x" }} output_map {{ key: "y" value: "y" }} }} }}
"""


def test_a_sound_repository_has_no_finding(judge_repository: Callable[..., list[Finding]]) -> None:
    files = {
        "m/config.pbtxt": f"{PLAIN}max_batch_size: 8\ndynamic_batching {{}}",
        "m/1/model.py": MODEL,
        "n/config.pbtxt": PLAIN,
        "n/1/model.py": MODEL,
        "e/config.pbtxt": ENSEMBLE,
        "e/1/.gitkeep": "",
    }
    assert judge_repository(files, prefixes=("TS",)) == []


def test_every_check_has_a_title_and_a_reason() -> None:
    checks = all_checks().values()
    assert len(checks) > 100
    assert all(check.title and check.reason for check in checks)


@pytest.mark.parametrize("is_collecting", [True, False])
def test_no_cycles_are_searched_during_a_check_and_as_before_after_it(
    judge_repository: Callable[..., list[Finding]], is_collecting: bool
) -> None:
    functions = "".join(f"def f{number}(x):\n    return [x, {number}]\n" for number in range(2000))
    files = {"m/config.pbtxt": PLAIN, "m/1/model.py": MODEL + functions}
    collections: list[str] = []
    gc.callbacks.append(lambda phase, _: collections.append(phase))
    (gc.enable if is_collecting else gc.disable)()
    try:
        judge_repository(files)
        assert gc.isenabled() == is_collecting
    finally:
        gc.callbacks.pop()
        gc.enable()
    assert len(collections) < 20  # of tens of thousands of objects, a collection for each 700: none but for the writing
