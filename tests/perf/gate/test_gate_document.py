import json
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import pytest

from tritonsmith.generator.errors import RepositoryError, UsageError
from tritonsmith.perf.gate.core import Tolerance
from tritonsmith.perf.gate.document import GATES, Gate, GatePlan
from tritonsmith.perf.measure.load import Load

MakeGate = Callable[..., Gate]
LOAD = Load("concurrency", 4)


@pytest.mark.parametrize("pairs", [0, 3, 8, 17])
def test_a_gate_is_read_as_it_was_written(pairs: int, make_gate: MakeGate, tmp_path: Path) -> None:
    gate = make_gate(pairs=pairs)
    path = GATES.write(gate, tmp_path)
    assert GATES.read(tmp_path) == GATES.read(path) == gate


def test_the_document_names_its_schema_and_has_a_key_for_each_field(make_gate: MakeGate) -> None:
    document = GATES.as_json(make_gate())
    assert document["schema"] == "tritonsmith.gate/1"
    assert set(document) == {field.name for field in fields(Gate)}
    assert document["verdict"]["word"] == "pass"


def test_another_schema_is_refused(make_gate: MakeGate, tmp_path: Path) -> None:
    path = GATES.write(make_gate(), tmp_path)
    path.write_text(path.read_text().replace("tritonsmith.gate/1", "tritonsmith.gate/2"))
    with pytest.raises(RepositoryError, match=r"gate/2.* is not"):
        GATES.read(path)


def test_a_wrong_field_is_named(make_gate: MakeGate, tmp_path: Path) -> None:
    path = GATES.write(make_gate(), tmp_path)
    document = json.loads(path.read_bytes())
    document["verdict"]["word"] = "maybe"
    path.write_text(json.dumps(document))
    with pytest.raises(RepositoryError, match=r"verdict\.word"):
        GATES.read(path)


@pytest.mark.parametrize("content", ["", "{", "[]", "3"])
def test_what_is_no_document_is_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "gate.json").write_text(content)
    with pytest.raises(RepositoryError):
        GATES.read(tmp_path)


def test_a_folder_without_a_gate_is_wrong_usage(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no gate in"):
        GATES.read(tmp_path)


def test_a_plan_without_anything_to_decide_is_refused() -> None:
    with pytest.raises(UsageError, match="level of load"):
        GatePlan("digits", ())
    with pytest.raises(UsageError, match="with a tolerance"):
        GatePlan("digits", (LOAD,), ())
    with pytest.raises(UsageError, match="two tolerances of p50"):
        GatePlan("digits", (LOAD,), (Tolerance("p50", 0.05), Tolerance("p50", 0.1)))


def test_a_gate_without_a_pair_is_a_document_too(make_gate: MakeGate, tmp_path: Path) -> None:
    gate = replace(make_gate(pairs=0), is_self_test=True)
    GATES.write(gate, tmp_path)
    assert GATES.read(tmp_path).verdict.word == "inconclusive"
