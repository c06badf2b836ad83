from collections.abc import Callable

import pytest

from tritonsmith.generator.findings import Finding, Phase, Severity

Judge = Callable[..., list[Finding]]

CLASS = "class TritonPythonModel:\n    def execute(self, requests):\n        return []\n"
INITIALIZE = "    def initialize(self, args):\n"


@pytest.mark.parametrize(
    ("source", "code", "line", "message"),
    [
        (f"import not_a_module_zz\n{CLASS}", "TS810", 1, "there is no module 'not_a_module_zz'"),
        (f"import json\nfrom not_a_module_zz.inner import x\n{CLASS}", "TS810", 2, "not_a_module_zz"),
        (f"{CLASS}{INITIALIZE}        import not_a_module_zz\n", "TS810", 5, "not_a_module_zz"),
        (f"from .gone import x\n{CLASS}", "TS810", 1, "1 has no module 'gone'"),
        (f"from . import beside, gone\n{CLASS}", "TS811", 1, "1 has no module 'gone'"),
        (f"from .beside import x, gone\n{CLASS}", "TS814", 1, "1/beside.py has no 'gone'"),
        (f"from ..above import x\n{CLASS}", "TS812", 1, "'from ..above import x' leads out of the version folder"),
    ],
)
def test_a_module_that_is_not_there_is_told_at_its_line(
    judge_files: Judge, source: str, code: str, line: int, message: str
) -> None:
    findings = judge_files({"1/model.py": source, "1/beside.py": "x = 1", "above.py": ""})
    assert [(finding.code, finding.place.line, finding.phase) for finding in findings] == [(code, line, Phase.LOAD)]
    assert message in findings[0].message


@pytest.mark.parametrize(
    "head",
    [
        "import json, os.path\nfrom xml.etree import ElementTree\n",
        "import numpy as np\nimport triton_python_backend_utils as pb_utils\nimport c_python_backend_utils\n",
        "import beside\nfrom beside import x\nfrom .beside import x\n",
        "from . import beside\nfrom .package.inner import x\n",
        "import above\n",
        "from .tricks import whatever\nfrom .tricks import *\n",
        "try:\n    import not_a_module_zz\nexcept ImportError:\n    pass\n",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import not_a_module_zz\n",
        "def later():\n    import not_a_module_zz\n",
        "import sys\nsys.path.append('/opt/more')\nimport not_a_module_zz\n",
    ],
)
def test_what_is_there_or_may_be_has_no_finding(judge_files: Judge, head: str) -> None:
    files = {"1/model.py": head + CLASS, "1/beside.py": "x = 1", "1/package/inner.py": "x = 1", "above.py": ""}
    files["1/tricks.py"] = "def __getattr__(name):\n    return name\n"
    assert judge_files(files) == []


def test_an_import_that_initialize_may_not_reach_is_not_judged(judge_files: Judge) -> None:
    body = "        if args:\n            return\n        import not_a_module_zz\n"
    assert judge_files({"1/model.py": CLASS + INITIALIZE + body}) == []


def test_of_another_environment_nothing_is_known(judge_files: Judge) -> None:
    files = {"1/model.py": f"import not_a_module_zz\n{CLASS}", "env.tar.gz": b"\x1f\x8b"}
    value = 'value { string_value: "$$TRITON_MODEL_DIRECTORY/env.tar.gz" }'
    own = f'backend: "python" parameters {{ key: "EXECUTION_ENV_PATH" {value} }}'
    assert judge_files(files, own) == []
    assert [finding.severity for finding in judge_files(files, release="26.07", gpus=1)] == [Severity.NOTE]


def test_a_neighbour_called_like_a_module_of_pythons_is_never_imported(judge_files: Judge) -> None:
    files = {"1/model.py": f"import queue\n{CLASS}", "1/queue.py": ""}
    findings = judge_files(files)
    assert [(finding.code, finding.severity) for finding in findings] == [("TS813", Severity.WARNING)]
