"""Every planted fault is found where it is, and nothing is found in a sound set."""

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tritonsmith.generator.checks.registry import all_checks
from tritonsmith.generator.findings import Finding, Severity

HERE = Path(__file__).parent
SOUND = HERE / "sound"
WAYS = yaml.safe_load((HERE / "ways.yaml").read_text())
FAULTS = yaml.safe_load((HERE / "faults.yaml").read_text())
# What other tests show: how files are read and numbered, and what public examples lack.
ELSEWHERE = {"TK101", "TK102", "TK103", "TK104", "TK115", "TK243", "TK244", "TK333", "TK334", "TK407", "TK455", "TK503"}
ELSEWHERE |= {"TK605", "TK607"}
ELSEWHERE |= {f"TK31{number}" for number in range(10)}  # test_sharing
Judge = Callable[..., list[Finding]]


@pytest.mark.parametrize("name", sorted(path.name for path in SOUND.iterdir()))
def test_a_sound_set_has_no_finding(judge_manifests: Judge, name: str) -> None:
    assert judge_manifests({name: (SOUND / name).read_text()}) == []


@pytest.mark.parametrize("fault", [pytest.param(fault, id=f"{fault['code']}: {fault['fault']}") for fault in FAULTS])
def test_a_planted_fault_is_found_where_it_is(judge_manifests: Judge, fault: dict[str, str]) -> None:
    name = fault.get("file", "fleet.yaml")
    sound = (SOUND / name).read_text()
    assert fault["old"] in sound
    text = sound.replace(fault["old"], fault["new"], 1)
    found = [finding for finding in judge_manifests({name: text}) if finding.code == fault["code"]]
    lines = text.splitlines()
    key = fault.get("key", {"fleet.yaml": "Deployment/chat", "group.yaml": "LeaderWorkerSet/giant"}[name])
    there = [finding for finding in found if fault["line"] in lines[finding.place.line - 1]]
    assert key in {finding.key for finding in there}, [str(one) for one in found]
    assert all(finding.remedy for finding in found)


@pytest.mark.parametrize("way", [pytest.param(way, id=way["way"]) for way in WAYS])
def test_nothing_is_found_in_another_way_of_being_right(judge_manifests: Judge, way: dict[str, str]) -> None:
    name = way.get("file", "fleet.yaml")
    sound = (SOUND / name).read_text()
    assert way["old"] in sound
    text = sound.replace(way["old"], way["new"], 1).replace(
        "        nodeAffinity:", way.get("besides", "        nodeAffinity:")
    )
    assert [str(finding) for finding in judge_manifests({name: text})] == []


def test_a_server_of_an_operators_kind_is_judged(judge_manifests: Judge) -> None:
    text = (SOUND / "fleet.yaml").read_text().replace("PeriodSeconds: 90", "PeriodSeconds: 60")
    text = text.replace("apiVersion: apps/v1\nkind: Deployment\n", "apiVersion: argoproj.io/v1alpha1\nkind: Rollout\n")
    found = judge_manifests({"fleet.yaml": text})
    assert ("TK221", "Rollout/chat") in {(one.code, one.key) for one in found}


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("name: pod:chat_waiting:average\n        t", "name: istio_requests_per_second\n        t", "TK401"),
        ("kind: Deployment\n    name: chat\n", "kind: StatefulSet\n    name: redis\n", "TK400"),
    ],
)
def test_what_may_be_elsewhere_in_the_cluster_is_no_error(
    judge_manifests: Judge, old: str, new: str, code: str
) -> None:
    text = (SOUND / "fleet.yaml").read_text()
    assert old in text
    found = judge_manifests({"fleet.yaml": text.replace(old, new)})
    assert [one.severity for one in found if one.code == code] == [Severity.WARNING]


@pytest.mark.parametrize("name", ["ADMIN_PASSWORD", "API_KEY"])
def test_a_key_of_digits_is_a_key(judge_manifests: Judge, name: str) -> None:
    text = (SOUND / "fleet.yaml").read_text()
    text = text.replace(
        "- name: HF_HOME\n", f'- name: {name}\n              value: "20241105"\n            - name: HF_HOME\n'
    )
    assert [one.code for one in judge_manifests({"fleet.yaml": text})] == ["TK606"]


def test_every_rule_has_a_fault_that_it_finds() -> None:
    codes = {code for code in all_checks() if code.startswith("TK")}
    assert codes - ELSEWHERE == {fault["code"] for fault in FAULTS}
