import sys
from collections.abc import Callable

import pytest

from tritonsmith.generator.findings import Finding, Phase, Severity

Judge = Callable[..., list[Finding]]

EXECUTE = "    def execute(self, requests):\n        return []\n"
CLASS = f"class TritonPythonModel:\n{EXECUTE}"


def told(findings: list[Finding]) -> list[tuple[str, int, Phase | None]]:
    return [(finding.code, finding.place.line, finding.phase) for finding in findings]


@pytest.mark.parametrize(
    ("source", "code", "line", "message"),
    [
        ("class TritonPythonModel:\n    def execute(self r): pass\n", "TS801", 2, "1/model.py does not parse"),
        (f"{CLASS}   x = 1\n", "TS801", 4, "unindent"),
        ("x = 1\0\n", "TS802", 0, "holds null bytes"),
        ("x = 1\n", "TS803", 0, "1/model.py has no class TritonPythonModel"),
        (f"class Model:\n{EXECUTE}", "TS803", 0, "has no class TritonPythonModel"),
        (f"{CLASS}raise RuntimeError('no')\n", "TS804", 4, "always fails when it is imported: raise RuntimeError"),
        (f"import sys\n{CLASS}sys.exit(1)\n", "TS804", 5, "sys.exit(1)"),
        (f"assert False\n{CLASS}", "TS804", 1, "assert False"),
        (
            f"{CLASS}    def initialize(self, args):\n        x = 1\n        raise ValueError(x)\n",
            "TS805",
            6,
            "initialize always fails: raise ValueError(x)",
        ),
        (f"{CLASS}    def initialize(self):\n        pass\n", "TS806", 4, "takes no argument but self"),
        (f"{CLASS}    def initialize(self, args, more):\n        pass\n", "TS807", 4, "needs 1 more"),
        (f"{CLASS}    def __init__(self, args):\n        pass\n", "TS808", 4, "__init__ needs 1 beside self"),
    ],
)
def test_a_file_that_does_not_load_is_told_at_its_line(
    judge_files: Judge, source: str, code: str, line: int, message: str
) -> None:
    findings = judge_files({"1/model.py": source})
    assert told(findings) == [(code, line, Phase.LOAD)]
    assert message in findings[0].message


@pytest.mark.parametrize(
    "source",
    [
        CLASS,
        f"# -*- coding: latin-1 -*-\n{CLASS}",
        "from impl import TritonPythonModel\n",
        "from .impl import *\n",
        "from .impl import Model as TritonPythonModel\n",
        "def make():\n    pass\n\n\nTritonPythonModel = make\n",
        "def __getattr__(name):\n    return object\n",
        "globals()['Triton' + 'PythonModel'] = object\n",
        f"import os\nif os.name:\n{''.join(f'    {line}' + chr(10) for line in CLASS.splitlines())}",
        f"import os\nif not os.name:\n    raise RuntimeError\n{CLASS}",
        f"def fail():\n    raise RuntimeError\n\n\n{CLASS}",
        f"{CLASS}    def initialize(self, args):\n        if args:\n            return\n        raise ValueError\n",
        f"{CLASS}    def initialize(self, args):\n        raise ValueError\n        yield\n",
        f"{CLASS}    async def initialize(self, args):\n        raise ValueError\n",
        f"{CLASS}    @staticmethod\n    def initialize(args):\n        pass\n",
        f"{CLASS}    def initialize(self, args, more=None):\n        pass\n",
        f"{CLASS}    def initialize(self, *args):\n        pass\n",
        f"{CLASS}    def __init__(self, *args, **kwargs):\n        pass\n",
    ],
)
def test_a_file_that_loads_has_no_error(judge_files: Judge, source: str) -> None:
    files = {"1/model.py": source, "1/impl.py": CLASS}
    assert not [finding for finding in judge_files(files) if finding.severity is Severity.ERROR]


def test_versions_that_are_not_loaded_are_not_judged(judge_files: Judge) -> None:
    files = {"1/model.py": "x = 1\n", "2/model.py": CLASS}
    assert judge_files(files) == []
    assert told(judge_files(files, 'backend: "python" version_policy { all {} }')) == [("TS803", 0, Phase.LOAD)]
    assert told(judge_files(files, 'backend: "python" version_policy { specific { versions: [1] } }')) != []


def test_the_file_is_the_one_that_the_configuration_names(judge_files: Judge) -> None:
    files = {"1/mine.py": "x = 1\n", "1/mine.txt": CLASS}
    assert told(judge_files(files, 'backend: "python" default_model_filename: "mine.py"')) == [("TS803", 0, Phase.LOAD)]
    assert told(judge_files(files, 'backend: "python" default_model_filename: "mine.txt"')) == [
        ("TS800", 1, Phase.LOAD)
    ]


@pytest.mark.parametrize("release", ["24.01", "24.10", "24.11", "26.07"])
@pytest.mark.parametrize(
    "source", ["def broken(:\n", "x = {1: 2\n", f"{CLASS}   x = 1\n", "print(f'{1}'\n", 'x = "f\n']
)
def test_no_release_loads_a_file_that_no_python_parses(judge_files: Judge, source: str, release: str) -> None:
    findings = judge_files({"1/model.py": source}, release=release)
    assert [(finding.code, finding.severity) for finding in findings] == [("TS801", Severity.ERROR)]


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="this Python parses it")
@pytest.mark.parametrize(
    "line", ['x = f"{d["a"]}"', "type X = int", "def f[T](x: T): pass", "class C[T]: pass", 'x = f"{1  # one\n}"']
)
def test_a_newer_python_may_parse_what_ours_does_not(judge_files: Judge, line: str) -> None:
    files = {"1/model.py": f"{line}\n{CLASS}"}
    for release, severity in (("24.10", Severity.ERROR), ("24.11", Severity.WARNING), ("26.07", Severity.WARNING)):
        findings = judge_files(files, release=release)
        assert [(finding.code, finding.severity) for finding in findings] == [("TS801", severity)]


def test_a_model_may_bring_a_newer_python(judge_files: Judge) -> None:
    environment = 'backend: "python" parameters { key: "EXECUTION_ENV_PATH" value { string_value: "/e" } }'
    told_of = [
        [finding.severity for finding in judge_files({"1/model.py": line}, environment) if finding.code == "TS801"]
        for line in ("try:\n    x\nexcept A, B:\n    x\n", "def broken(:\n")
    ]
    assert told_of == [[Severity.WARNING], [Severity.ERROR]] or sys.version_info >= (3, 14)


@pytest.mark.parametrize(
    "source", [b"(" * 5000, b"x = " + b"-" * 100_000 + b"1\n", b"#" * (1 << 20) + b"\n\n", b"\xff\xfe"]
)
def test_an_odd_file_is_no_traceback(judge_files: Judge, source: bytes) -> None:
    judge_files({"1/model.py": source})


def test_models_of_other_backends_are_not_judged(judge_files: Judge) -> None:
    assert judge_files({"1/model.py": "x = 1\n"}, 'backend: "other"') == []
