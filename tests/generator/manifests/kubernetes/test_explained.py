import re

import pytest

from tests.generator.manifests.kubernetes.shapes import SHAPES, every_case, files_of, workload
from tritonsmith.generator.manifests.kubernetes.explained import ABOUT, FILE, numbers
from tritonsmith.generator.manifests.kubernetes.files import ROWS

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
