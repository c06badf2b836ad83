import re

import pytest

from tritonsmith.generator.checks.registry import Check, all_checks

HOLES = {
    "name": "m",
    "plain": "m",
    "encoded": "a%2Bb",
    "names": "m, n",
    "n": "3",
    "number": "0.5",
    "path": "/r/m/x",
    "shape": "[-1,4]",
    "text": "boom",
    "error": "ValueError",
    "syntax": "SyntaxError",
    "file": "model",
    "traced": r"\n",
    "alone": "",
}
CHECKS = [check for check in all_checks().values() if check.triton]
BEFORE = (
    "Poll failed for model directory 'm': ",
    "failed to load model 'm': ",
    "failed to load 'm' version 1: Invalid argument: ",
    "Invalid argument: ",
    "",
)


def messages(check: Check) -> list[str]:
    return [re.sub(r"\{(\w+)\}", lambda hole: HOLES[hole[1]], line) for line in check.triton.split("\n")]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.code)
def test_a_pattern_matches_its_own_message_and_no_other_rules(check: Check) -> None:
    for other in CHECKS:
        for message in messages(other):
            lines = [f'model_lifecycle.cc:642] "{before}{message.removesuffix("...")}"' for before in BEFORE]
            is_found = any(re.search(check.pattern, line) for line in lines)
            assert is_found == (other is check), f"{check.code} against {other.code}: {message}"
