"""Overlays are judged as they are built, and what is not built is said."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tritonsmith.generator.checks.manifests.find import is_manifests
from tritonsmith.generator.checks.manifests.read import read_sets
from tritonsmith.generator.findings import Finding

SOUND = (Path(__file__).parent / "sound" / "fleet.yaml").read_text()
BASE = {"base/fleet.yaml": SOUND, "base/kustomization.yaml": "resources: [fleet.yaml]\n"}
Judge = Callable[..., list[Finding]]


def overlay(text: str, **files: str) -> dict[str, str]:
    below = {f"overlays/here/{name.replace('_', '.')}": content for name, content in files.items()}
    return BASE | {"overlays/here/kustomization.yaml": f"resources: [../../base]\n{text}"} | below


def codes(findings: list[Finding]) -> set[str]:
    return {finding.code for finding in findings}


def test_a_base_and_an_overlay_without_a_change_are_one_set(judge_manifests: Judge) -> None:
    assert judge_manifests(overlay("")) == []


INLINE = """patches:
  - target: {kind: Deployment, name: chat}
    patch: |
"""


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (
            f"{INLINE}      - {{op: replace, path: /spec/template/spec/terminationGracePeriodSeconds, value: 20}}\n",
            "TK221",
        ),
        (f"{INLINE}      - {{op: remove, path: /spec/template/spec/topologySpreadConstraints}}\n", "TK502"),
        (f"{INLINE}      - op: add\n        path: /spec/template/spec/hostIPC\n        value: true\n", "TK608"),
        ("images: [{name: registry.example/triton-trtllm, newTag: latest, digest: ''}]\n", ""),
        ("labels: [{pairs: {app: other}, includeSelectors: false, includeTemplates: true}]\n", "TK114"),
        ("labels: [{pairs: {team: search}, includeSelectors: true}]\n", ""),
        ("namespace: elsewhere\n", ""),
        ("configMapGenerator: [{name: made, literals: [a=b]}]\n", ""),
    ],
)
def test_what_an_overlay_changes_is_judged(judge_manifests: Judge, text: str, code: str) -> None:
    found = codes(judge_manifests(overlay(text)))
    assert code in found if code else not found


STRATEGIC = """apiVersion: apps/v1
kind: Deployment
metadata: {name: chat}
spec:
  template:
    spec:
      containers:
        - name: triton
          resources:
            limits: {nvidia.com/gpu: 1}
"""


def test_a_strategic_merge_changes_the_container_of_that_name_and_is_pointed_at(judge_manifests: Judge) -> None:
    (found,) = judge_manifests(overlay("patches: [{path: one.yaml}]\n", one_yaml=STRATEGIC))
    assert (found.code, found.place.line) == ("TK300", 10)
    assert found.place.file.endswith("overlays/here/one.yaml")


def test_what_is_deleted_is_gone(judge_manifests: Judge) -> None:
    patch = "$patch: delete\napiVersion: policy/v1\nkind: PodDisruptionBudget\nmetadata: {name: chat}\n"
    assert codes(judge_manifests(overlay("patches: [{path: one.yaml}]\n", one_yaml=patch))) == {"TK500"}


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("resources: [missing.yaml]\n", "TK101"),
        ("resources: [https://example.com/more.yaml]\n", "TK102"),
        ("helmCharts: [{name: x}]\n", "TK102"),
        ("patches: [{target: {kind: Deployment, name: nobody}, patch: '[]'}]\n", "TK103"),
        (f"{INLINE}      - {{op: copy, from: /a, path: /b}}\n", "TK102"),
    ],
)
def test_what_cannot_be_built_is_said(judge_manifests: Judge, text: str, code: str) -> None:
    files = overlay(text) if "resources" not in text else overlay("").copy()
    if "resources" in text:
        files["base/kustomization.yaml"] = text.replace("[", "[fleet.yaml, ")
    assert codes(judge_manifests(files)) == {code}


def test_a_finding_of_the_base_is_told_once_for_all_overlays(judge_manifests: Judge) -> None:
    files = overlay("") | {"overlays/there/kustomization.yaml": "resources: [../../base]\n"}
    files["base/fleet.yaml"] = SOUND.replace("targetPort: http", "targetPort: https")
    assert [finding.code for finding in judge_manifests(files)] == ["TK131"]


def test_an_overlay_is_judged_alone_with_the_base_that_lies_elsewhere(judge_manifests: Judge) -> None:
    text = f"{INLINE}      - {{op: replace, path: /spec/template/spec/terminationGracePeriodSeconds, value: 20}}\n"
    assert codes(judge_manifests(overlay(text), below="overlays/here")) == {"TK221"}


def test_a_chart_is_not_judged_and_broken_yaml_is(judge_manifests: Judge) -> None:
    template = "apiVersion: v1\nkind: Service\nmetadata:\n  name: {{ .Values.name }}\n"
    broken = "apiVersion: v1\nkind: Service\nmetadata: [\n"
    twice = "apiVersion: v1\nkind: Service\nkind: Service\nmetadata: {name: x}\n"
    files = {"templates/service.yaml": template, "broken.yaml": broken, "twice.yaml": twice}
    assert sorted(finding.code for finding in judge_manifests(files)) == ["TK101", "TK101", "TK104"]


def test_of_a_workload_alone_nothing_around_it_is_missed(judge_manifests: Judge) -> None:
    assert judge_manifests({"deployment.yaml": SOUND.split("---\n")[0]}) == []


def test_lists_and_several_documents_are_objects_each(tmp_path: Path) -> None:
    items = "apiVersion: v1\nkind: List\nitems:\n  - {apiVersion: v1, kind: Service, metadata: {name: a}}\n"
    (tmp_path / "all.yaml").write_text(f"{items}---\n---\napiVersion: v1\nkind: Secret\nmetadata: {{name: b}}\n")
    (one,) = read_sets(tmp_path)
    assert [found.label for found in one.objects] == ["Service/a", "Secret/b"]


@pytest.mark.parametrize(
    ("files", "is_so"),
    [
        ({"all.yaml": "kind: Service\napiVersion: v1\n"}, True),
        ({"base/kustomization.yaml": "resources: []\n"}, True),
        ({"m/config.pbtxt": "", "all.yaml": "kind: Service\napiVersion: v1\n"}, False),
        ({"tritonsmith.yaml": "models: {}\n"}, False),
        ({"tritonsmith.yaml": "models: {}\n", "k/all.yaml": "kind: Service\napiVersion: v1\n"}, False),
        ({"m/1/model.yaml": "kind: engine\n"}, False),
        ({"plugin.yaml": "version: v1\nflags: {migStrategy: mixed}\n"}, True),
        ({"plugin.yaml": "sharing:\n  mps:\n    resources:\n      - {name: nvidia.com/gpu, replicas: 4}\n"}, True),
        ({"mig.yaml": "mig-configs:\n  a: []\n"}, True),
        ({"spec.yaml": "sharing:\n  mode: mps\n"}, False),
        ({}, False),
    ],
)
def test_manifests_are_told_from_specs_and_repositories(tmp_path: Path, files: dict[str, str], is_so: bool) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert is_manifests(tmp_path) is is_so
