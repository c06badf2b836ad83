from collections.abc import Callable

import pytest

from tritonsmith.generator.findings import Finding, Severity
from tritonsmith.generator.spec.settings import RateLimit, Server

Judge = Callable[..., list[Finding]]

PYTHON = """backend: "python"
input { name: "x" data_type: TYPE_FP32 dims: [4] }
output { name: "y" data_type: TYPE_FP32 dims: [4] }
"""
LIMITED = Server(rate_limit=RateLimit())


def group(resources: str, placed: str = "kind: KIND_CPU") -> str:
    return f"{PYTHON}instance_group {{ {placed} rate_limiter {{ resources [ {resources} ] }} }}\n"


def given(**resources: int) -> Server:
    return Server(rate_limit=RateLimit(resources={name.replace("_", "@"): n for name, n in resources.items()}))


@pytest.mark.parametrize(
    ("resource", "server", "message"),
    [
        ('{ name: "R" count: 4 }', given(R=3), "an instance needs 4 of resource 'R'; the server has 3"),
        ('{ name: "R" count: 1 }', given(other=3), "'R'; the server has none: it is given others"),
        ('{ name: "r" count: 1 }', given(R=3), "'r'; the server has none"),
        ('{ name: "R" count: 1 }', given(R_1=3), "'R'; the server has none"),
        ('{ name: "R" global: true count: 9 }', given(R_1=3, R_0=8), "'R'; the server has 8"),
    ],
)
def test_an_instance_that_needs_more_than_there_is_does_not_load(
    judge_models: Judge, resource: str, server: Server, message: str
) -> None:
    (found,) = judge_models({"m": group(resource)}, server=server)
    assert (found.code, found.place.line, found.severity) == ("TS521", 4, Severity.ERROR)
    assert message in found.message


@pytest.mark.parametrize(
    ("resource", "server"),
    [
        ('{ name: "R" count: 3 }', given(R=3)),
        ('{ name: "R" count: 3 }', given(R_0=3)),
        ('{ name: "R" count: 900 }', LIMITED),
        ('{ name: "R" global: true count: 3 }', given(R_1=3)),
    ],
)
def test_an_instance_that_needs_no_more_than_there_is_loads(judge_models: Judge, resource: str, server: Server) -> None:
    assert judge_models({"m": group(resource)}, server=server) == []


def test_a_passive_instance_needs_nothing(judge_models: Judge) -> None:
    passive = group('{ name: "R" count: 4 }', "kind: KIND_CPU passive: true")
    assert judge_models({"m": f"{passive}instance_group {{ kind: KIND_CPU }}"}, server=given(R=3)) == []


def test_a_group_is_told_once_for_all_of_its_gpus(judge_models: Judge) -> None:
    config = group('{ name: "R" count: 4 }', "kind: KIND_GPU")
    findings = judge_models({"m": config}, gpus=4, server=given(R=3))
    assert [found.code for found in findings if found.phase] == ["TS521"]


def test_a_resource_is_global_in_all_models_or_in_none(judge_models: Judge) -> None:
    shared, own = group('{ name: "R" global: true count: 1 }'), group('{ name: "R" count: 1 }')
    (found,) = judge_models({"a": shared, "b": own}, server=LIMITED)
    assert (found.code, found.model) == ("TS522", "b")
    assert found.message == "resource 'R' is a device's here and global in 'a'"
    assert judge_models({"a": shared, "b": shared}, server=LIMITED) == []


def test_a_rate_limiter_that_the_server_ignores_is_noted(judge_models: Judge) -> None:
    config = group('{ name: "R" count: 400 }')
    (found,) = judge_models({"m": config}, server=Server())
    assert (found.code, found.severity) == ("TS523", Severity.NOTE)
    (found,) = judge_models({"m": config}, server=None)
    assert (found.code, found.severity, found.remedy) == ("TS523", Severity.NOTE, "--rate-limit=execution_count")
