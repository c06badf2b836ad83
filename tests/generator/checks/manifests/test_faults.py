"""Every planted fault is found where it is, and nothing is found in a sound set."""

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tritonsmith.generator.checks.registry import all_checks
from tritonsmith.generator.findings import Finding

HERE = Path(__file__).parent
SOUND = HERE / "sound"
WAYS = yaml.safe_load((HERE / "ways.yaml").read_text())
FAULTS = yaml.safe_load((HERE / "faults.yaml").read_text())
# What other tests show: how files are read and numbered, and what public examples lack.
ELSEWHERE = {"TK101", "TK102", "TK103", "TK104", "TK115", "TK243", "TK244", "TK333", "TK334", "TK407", "TK455", "TK503"}
ELSEWHERE |= {"TK605", "TK607"}
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
    assert any(fault["line"] in lines[finding.place.line - 1] for finding in found), [str(one) for one in found]
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


def test_every_rule_has_a_fault_that_it_finds() -> None:
    codes = {code for code in all_checks() if code.startswith("TK")}
    assert codes - ELSEWHERE == {fault["code"] for fault in FAULTS}
