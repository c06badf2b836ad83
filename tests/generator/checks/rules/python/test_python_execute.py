from collections.abc import Callable

import pytest

from tritonsmith.generator.findings import Finding, Phase, Severity

Judge = Callable[..., list[Finding]]

HEAD = "class TritonPythonModel:\n"
DECOUPLED = 'backend: "python" model_transaction_policy { decoupled: true }'
WARM_UP = """backend: "python"
input { name: "x" data_type: TYPE_FP32 dims: [4] }
output { name: "y" data_type: TYPE_FP32 dims: [4] }
model_warmup { name: "w" batch_size: 1 inputs { key: "x" value { data_type: TYPE_FP32 dims: [4] zero_data: true } } }
"""


def told(findings: list[Finding]) -> list[tuple[str, int, Phase | None]]:
    return [(finding.code, finding.place.line, finding.phase) for finding in findings]


@pytest.mark.parametrize(
    ("body", "code", "line"),
    [
        ("    pass\n", "TS820", 1),
        ("    def execute(self, requests):\n        print(requests)\n", "TS821", 2),
        ("    def execute(self, requests):\n        def inner():\n            return 1\n        inner()\n", "TS821", 2),
        ("    def execute(self):\n        return []\n", "TS822", 2),
        ("    def execute(self, requests, more):\n        return []\n", "TS822", 2),
        ("    def execute(self, requests):\n        raise NotImplementedError\n", "TS823", 3),
    ],
)
def test_an_execute_that_answers_nothing_fails_at_requests(judge_files: Judge, body: str, code: str, line: int) -> None:
    assert told(judge_files({"1/model.py": HEAD + body})) == [(code, line, Phase.REQUEST)]


@pytest.mark.parametrize(
    "source",
    [
        f"{HEAD}    def execute(self, requests):\n        return [None for _ in requests]\n",
        f"{HEAD}    async def execute(self, requests):\n        return []\n",
        f"{HEAD}    def execute(self, requests, extra=None):\n        return []\n",
        f"from base import Base\n\n\n{HEAD.replace(':', '(Base):')}    pass\n",
        f"{HEAD}    pass\n\n\nTritonPythonModel.execute = len\n",
        f"{HEAD}    def run(self, requests):\n        return []\n\n    execute = run\n",
        f"def wrap(f):\n    return f\n\n\n{HEAD}    @wrap\n    def execute(self, requests):\n        print()\n",
    ],
)
def test_an_execute_that_may_answer_has_no_finding(judge_files: Judge, source: str) -> None:
    assert judge_files({"1/model.py": source, "1/base.py": ""}) == []


def test_a_decoupled_model_returns_nothing(judge_files: Judge) -> None:
    files = {"1/model.py": f"{HEAD}    def execute(self, requests):\n        return []\n"}
    assert told(judge_files(files, DECOUPLED)) == [("TS825", 3, Phase.REQUEST)]
    files = {"1/model.py": f"{HEAD}    def execute(self, requests):\n        print(requests)\n"}
    assert judge_files(files, DECOUPLED) == []


def test_a_coroutine_is_awaited_since_24_04(judge_files: Judge) -> None:
    files = {"1/model.py": f"{HEAD}    async def execute(self, requests):\n        return []\n"}
    assert [finding.code for finding in judge_files(files, release="24.03")] == ["TS824"]
    assert judge_files(files, release="24.04") == []


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("    pass\n", {("TS820", Phase.REQUEST), ("TS826", Phase.LOAD)}),
        ("    def execute(self):\n        return []\n", {("TS822", Phase.REQUEST), ("TS826", Phase.LOAD)}),
        (
            "    def execute(self, requests):\n        raise ValueError\n",
            {("TS823", Phase.REQUEST), ("TS826", Phase.CRASH)},
        ),
        ("    def execute(self, requests):\n        pass\n", {("TS821", Phase.HANG)}),
    ],
)
def test_a_warm_up_meets_it_at_load(judge_files: Judge, body: str, expected: set[tuple[str, Phase]]) -> None:
    files = {"1/model.py": HEAD + body}
    assert {(finding.code, finding.phase) for finding in judge_files(files, WARM_UP)} == expected
    passive = f"{WARM_UP}instance_group {{ kind: KIND_CPU passive: true }}"
    for config in (WARM_UP.replace("batch_size: 1", "batch_size: 0"), passive):
        assert {finding.phase for finding in judge_files(files, config)} == {Phase.REQUEST}


def test_errors_have_the_severity_error(judge_files: Judge) -> None:
    assert judge_files({"1/model.py": f"{HEAD}    pass\n"})[0].severity is Severity.ERROR
