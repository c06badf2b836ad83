"""Which way is picked for a traffic from several regions, and what is said of its fleet and its costs."""

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from tests.perf.plan.small_models import DENSE, Quick, write_config
from tritonsmith.generator.catalog.gpus import Gpu
from tritonsmith.generator.errors import AnswerIsNo, UsageError
from tritonsmith.perf.plan import cli
from tritonsmith.perf.plan.core import LanguageModel, Objectives, Serving, Traffic
from tritonsmith.perf.plan.models.read import read_model
from tritonsmith.perf.plan.options import PlanOptions, Wishes
from tritonsmith.perf.plan.plan import find
from tritonsmith.perf.plan.regions.core import Regions
from tritonsmith.perf.plan.show.compare import table
from tritonsmith.perf.plan.show.page import render_page

SIX = [f"region-{number}" for number in range(6)]
NEAR = {home: {name: 10.0 if name == home else 90.0 for name in SIX} for home in SIX}
WISHES = Wishes(
    ("L4", "H100-SXM-80GB"),
    Traffic(60, 200, 20),
    Objectives(ttft_ms=500),
    max_gpus=1,
    prices={"L4": 0.7, "H100-SXM-80GB": 1.0},
)
PRICE = 0.7


@pytest.fixture(autouse=True)
def short_simulations(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which way is picked shows in short simulations, too."""
    monkeypatch.setattr("tritonsmith.perf.plan.replicas.replica.REQUESTS", 800)


@pytest.fixture
def small(tmp_path: Path) -> LanguageModel:
    return read_model(write_config(tmp_path, DENSE))


def twice_as_fast_on_an_h100(model: LanguageModel, serving: Serving, gpu: Gpu) -> Quick:
    return Quick(2 if gpu.name == "H100-SXM-80GB" else 1)


def test_the_way_is_picked_that_costs_least_in_all_regions_together(small: LanguageModel) -> None:
    alone = find(small, WISHES, twice_as_fast_on_an_h100)
    together = find(small, replace(WISHES, regions=Regions(dict.fromkeys(SIX, 1.0), NEAR)), twice_as_fast_on_an_h100)
    assert alone.pick is not None and alone.pick.gpu == "H100-SXM-80GB"
    assert together.pick is not None and together.pick.gpu == "L4"
    costs = [one.cost_per_hour.value for one in together.candidates if one.cost_per_hour]
    assert len(costs) == 2 and costs == sorted(costs)
    assert "in 6 regions together, of 2 ways" in together.reason
    assert together.reason.endswith("; in one place H100-SXM-80GB TP1 bf16, KV bf16 would")
    assert together.regions is not None and together.regions.replicas == together.pick.by_region


def test_regions_that_are_none_are_refused(small: LanguageModel) -> None:
    with pytest.raises(UsageError, match="not shares"):
        find(small, replace(WISHES, regions=Regions({}, {})), twice_as_fast_on_an_h100)


def asked(folder: Path, others_ms: float, *, survive: bool = False) -> PlanOptions:
    shares = {"eu": 60, "us": 40}
    regions = {
        home: {"share": share, "round_trip_ms": {name: 10 if name == home else others_ms for name in shares}}
        for home, share in shares.items()
    }
    (folder / "regions.yaml").write_text(yaml.safe_dump({"regions": regions, "survive": survive}))
    return PlanOptions(
        model=write_config(folder, DENSE),
        gpus=("L4",),
        rate=60.0,
        input=256,
        output=32,
        slo=("ttft=500ms",),
        prices=(str(PRICE),),
        max_gpus=1,
        regions=folder / "regions.yaml",
        write=folder / "tritonsmith.yaml",
        folder=folder / "plan",
    )


def test_the_answer_its_costs_the_page_and_the_spec_are_of_the_replicas_of_all_regions(tmp_path: Path) -> None:
    options = asked(tmp_path, 90)
    plan = cli.make_plan(options)
    found, pick = plan.regions, plan.pick
    assert found is not None and pick is not None and pick.replicas is not None and pick.cost_per_hour is not None
    count, (fewest, most) = sum(found.replicas.values()), found.ends
    assert pick.fleet == pick.gpus == count > pick.replicas.total
    cost = pick.cost_per_hour
    assert (cost.low, cost.value, cost.high) == pytest.approx((fewest * PRICE, count * PRICE, most * PRICE))
    assert cost.value == pytest.approx(found.cost_per_hour)
    each = ", ".join(f"{name} {replicas}" for name, replicas in found.replicas.items())
    answer = f"YES: {count} L4: {count} replicas of TP1 in 2 regions ({each}), 1 of each may be down"
    assert answer in cli.show(plan, options, is_json=False)
    assert answer in render_page(plan)
    header, (row,) = table(plan, pick="")
    assert row[header.index("replicas")] == row[header.index("GPUs")] == str(count)
    spec = (tmp_path / "tritonsmith.yaml").read_text()
    assert f": {count} L4; " in spec.splitlines()[0]
    assert yaml.safe_load(spec)["deploy"]["replicas"] == count


def test_a_loss_that_no_way_survives_is_a_no_with_the_reason(tmp_path: Path) -> None:
    options = replace(asked(tmp_path, 600, survive=True), write=None)
    plan = cli.make_plan(options)
    assert "the loss of region eu cannot be survived" in cli.show(plan, options, is_json=False)
    with pytest.raises(AnswerIsNo):
        cli.require_pick(plan)
