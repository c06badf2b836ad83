import math
import re
from dataclasses import replace

import pytest

from tests.generator.manifests.kubernetes.shapes import SHAPES, every_case, files_of, workload
from tritonsmith.generator.manifests.kubernetes.explained import ABOUT, FILE, numbers
from tritonsmith.generator.manifests.kubernetes.files import ROWS
from tritonsmith.generator.manifests.kubernetes.prerequisites import prerequisites
from tritonsmith.generator.manifests.kubernetes.spill import spill_rules
from tritonsmith.generator.manifests.memory import STEP_MIB
from tritonsmith.generator.spec.settings import Server

CASES = list(every_case())


def readme(shape: str, way: str) -> str:
    return files_of(shape, way)[FILE].decode()


@pytest.mark.parametrize(("shape", "way"), [case for case in CASES if case[0] in ("one gpu", "tp8 on two nodes")])
def test_every_file_is_explained_and_none_that_is_not_there(shape: str, way: str) -> None:
    files = files_of(shape, way).keys()
    text = readme(shape, way)
    rows = set(re.findall(r"^\| `([^`]+)` \|", text, re.MULTILINE))
    written = {path for path in files if not path.endswith("kustomization.yaml") and not path.startswith("regions/")}
    overlays = {path for path in files if path.startswith("overlays/")}
    regions = {f"{path.rpartition('/')[0]}/" for path in files if path.startswith("regions/")}
    assert rows == (written - {FILE}) | overlays | regions


def test_every_row_of_the_table_has_its_sentence() -> None:
    assert {f"{row.folder}/{row.file}" for row in ROWS} <= ABOUT.keys()


@pytest.mark.parametrize("shape", SHAPES)
def test_the_numbers_are_those_of_the_pods(shape: str) -> None:
    chosen = workload(shape)
    values = {number.what: number.value for number in numbers(chosen)}
    files = b"\n".join(data for path, data in files_of(shape, "baked").items() if path.startswith("base/")).decode()
    assert f"terminationGracePeriodSeconds: {values['grace period'].removesuffix(' s')}\n" in files
    assert f"memory: {values['memory, requested and limit'].replace(' MiB', 'Mi')}\n" in files
    assert f"sizeLimit: {values['shared memory'].replace(' MiB', 'Mi')}\n" in files


@pytest.mark.parametrize("shape", SHAPES)
def test_the_parts_of_a_number_come_to_it(shape: str) -> None:
    found = {number.what: number for number in numbers(workload(shape))}
    formulas = {name: (float(one.value.split()[0]), one.formula.split(";")[0]) for name, one in found.items()}
    value, formula = formulas["startup budget"]
    assert value == sum(map(int, re.findall(r"([0-9]+) s\b", formula)))
    for name, step in {"shared memory": 1, "memory, requested and limit": STEP_MIB, "processors, requested": 1}.items():
        value, formula = formulas[name]
        parts = [map(float, re.findall(r"[0-9.]+", part)) for part in formula.split(" + ")]
        assert 0 <= value - sum(map(math.prod, parts)) < step, (name, formula)


@pytest.mark.parametrize("exit_timeout_s", [0, 30, 120])
@pytest.mark.parametrize("openai", [False, True])
def test_the_parts_of_the_grace_period_add_up(openai: bool, exit_timeout_s: int) -> None:
    chosen = workload("one gpu", openai=openai)
    chosen = replace(chosen, server=chosen.server.model_copy(update={"exit_timeout_s": exit_timeout_s}))
    [grace] = [number for number in numbers(chosen) if number.what == "grace period"]
    assert grace.value == f"{sum(map(int, re.findall(r'([0-9]+) s', grace.formula)))} s"
    assert chosen.grace_s > chosen.deploy.pre_stop_s + exit_timeout_s


def test_what_the_front_end_serves_is_watched_and_spills_whatever_metrics_says() -> None:
    chosen = workload("one gpu", openai=True, regions={"eu": {"spill_to": "us"}, "us": {}})
    off = replace(chosen, server=Server.model_validate({"metrics": {"enabled": False}}))
    assert spill_rules(off, "eu")
    assert any("the Prometheus operator" in what for what, _ in prerequisites(off))


@pytest.mark.parametrize(
    ("way", "said", "unsaid"),
    [
        ("hpa", "prometheus-adapter with", "KEDA"),
        ("keda", "KEDA 2.17", "prometheus-adapter"),
        ("claim", "the claim models", "the Secret"),
        ("store", "the Secret store", "the claim"),
        ("gateway", "consistent hashing", "InferencePool"),
        ("gateway and openai", "InferencePool v1", "consistent hashing"),
        ("kserve", "never both", "regions/"),
        ("regions", "Nothing in these files moves traffic", "never both"),
    ],
)
def test_what_is_said_is_what_there_is(way: str, said: str, unsaid: str) -> None:
    assert said in readme("one gpu", way)
    assert unsaid not in readme("one gpu", way)


def test_a_group_of_nodes_has_no_command_of_a_deployment() -> None:
    text = readme("tp8 on two nodes", "baked")
    assert "leaderworkerset/chat-group" in text
    assert "deployment/" not in text


@pytest.mark.parametrize(("shape", "way"), CASES)
def test_it_can_be_read_as_it_lies_there(shape: str, way: str) -> None:
    lines = readme(shape, way).splitlines()
    prose = [line for line in lines if not line.startswith(("|", "kubectl", "   `kubectl"))]
    assert max(map(len, prose)) <= 150
    assert "None" not in readme(shape, way)
    assert not re.search(r"\n\n\n|\{\{|%\}", readme(shape, way))
