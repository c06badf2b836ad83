"""Regions from a file, in the plan, in what is printed and in the spec."""

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from tests.perf.plan.small_models import DENSE, write_config
from tritonsmith.ensembles.build import build_repository
from tritonsmith.generator.errors import SpecError, UsageError
from tritonsmith.perf.plan import cli
from tritonsmith.perf.plan.document import PLANS
from tritonsmith.perf.plan.options import PlanOptions
from tritonsmith.perf.plan.regions.file import read_regions
from tritonsmith.perf.plan.regions.text import regions_text

TWO = (
    "regions:\n  eu: {share: 60, round_trip_ms: {eu: 10, us: 90}}\n  us: {share: 40, round_trip_ms: {us: 5, eu: 80}}\n"
)


def write(folder: Path, text: str) -> Path:
    (folder / "regions.yaml").write_text(text)
    return folder / "regions.yaml"


def test_shares_and_round_trips_are_read(tmp_path: Path) -> None:
    regions = read_regions(write(tmp_path, TWO))
    assert regions.shares == {"eu": 60.0, "us": 40.0}
    assert regions.round_trip_ms["us"] == {"us": 5.0, "eu": 80.0}
    assert not regions.survive
    assert read_regions(write(tmp_path, f"{TWO}survive: true\n")).survive


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("regions: {eu: {share: 0, round_trip_ms: {}}}", "greater than 0"),
        ("regions: {eu: {shares: 1, round_trip_ms: {}}}", "unknown key 'shares'"),
        ("eu: {share: 1}", "unknown key 'eu'"),
        ("regions: {}", "at least 1"),
        ("regions: {eu: {share: 1, round_trip_ms: {eu: -3}}}", "greater than or equal to 0"),
        (TWO.replace("us: 90", "uss: 90"), "'uss' is no region. Did you mean 'us'?"),
        (TWO.replace(", us: 90", ""), "regions.yaml:2:3: error regions.eu.round_trip_ms: no round trip from eu to us"),
    ],
)
def test_a_mistake_is_told_at_its_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(SpecError) as refused:
        read_regions(write(tmp_path, text))
    assert any(message in str(finding) for finding in refused.value.findings)
    with pytest.raises(UsageError, match="there is no file"):
        read_regions(tmp_path / "none.yaml")


def test_a_plan_has_replicas_in_each_region_and_the_spec_too(tmp_path: Path) -> None:
    options = PlanOptions(
        model=write_config(tmp_path, DENSE),
        gpus=("L4",),
        rate=60.0,
        input=256,
        output=32,
        slo=("ttft=500ms",),
        max_gpus=1,
        regions=write(tmp_path, TWO),
        write=tmp_path / "tritonsmith.yaml",
        folder=tmp_path / "plan",
    )
    plan = cli.make_plan(options)
    assert plan.regions is not None
    assert PLANS.read(tmp_path / "plan") == plan
    written = yaml.safe_load((tmp_path / "tritonsmith.yaml").read_text())["deploy"]["regions"]
    assert {name: region["replicas"] for name, region in written.items()} == plan.regions.replicas
    assert written["eu"]["spill_to"] == "us"
    assert build_repository(tmp_path / "tritonsmith.yaml", tmp_path / "repository").report
    assert "without eu:" in cli.show(plan, options, is_json=False)


def test_what_finds_no_room_is_said_with_what_would_do(tmp_path: Path) -> None:
    options = PlanOptions(
        model=write_config(tmp_path, DENSE),
        gpus=("L4",),
        rate=60.0,
        input=256,
        output=32,
        max_gpus=1,
        spare=0,
        regions=write(tmp_path, TWO),
        folder=tmp_path / "plan",
    )
    found = cli.make_plan(options).regions
    assert found is not None
    lost = replace(found.losses[0], refused_per_s=5.0)
    text = regions_text(replace(found, losses=(lost,), to_survive={"eu": found.replicas["eu"], "us": 9}))
    assert "5.00 requests/s find no room; with 9 replicas in us (`survive: true`) all would" in text


def test_regions_split_a_traffic_that_is_given(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--regions split a traffic"):
        cli.make_plan(
            PlanOptions(
                model=write_config(tmp_path, DENSE), gpus=("L4",), regions=write(tmp_path, TWO), folder=tmp_path
            )
        )
