"""What holds of all checks; each subject's rules have tests of their own."""

from collections.abc import Callable

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
