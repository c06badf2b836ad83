"""Engines and checkpoints are planned as they were built: nothing about them is open any more."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from tests.perf.plan.small_models import DENSE, write_config
from tritonsmith.ensembles.build import build_repository
from tritonsmith.generator.errors import UsageError
from tritonsmith.generator.findings import Severity
from tritonsmith.perf.plan import cli
from tritonsmith.perf.plan.core import Spread
from tritonsmith.perf.plan.models.built import read_built
from tritonsmith.perf.plan.options import PlanOptions
from tritonsmith.perf.plan.to_spec import release_of

WriteEngine = Callable[..., Path]


@pytest.mark.parametrize(
    ("name", "spread", "cache"),
    [
        ("llama-0.19.0-tp2pp2", Spread(2, 2), None),
        ("mixtral-0.19.0-ep4", Spread(4, 1, 4), None),
        ("llama-1.2.1-fp8", Spread(), "fp8"),
        ("llama-1.2.1-int8-kv", Spread(), "int8"),
    ],
)
def test_an_engine_has_settled_its_spread_and_types(
    write_engine: WriteEngine, name: str, spread: Spread, cache: str | None
) -> None:
    built = read_built(write_engine(name))
    assert built is not None
    assert (built.spread, built.cache_type, built.version) == (spread, cache, name.split("-")[1])
    assert built.max_batch_size == 16


def test_a_hugging_face_model_has_settled_nothing(tmp_path: Path) -> None:
    assert read_built(write_config(tmp_path, DENSE)) is None


def test_an_engine_has_one_way_on_each_gpu_and_becomes_a_spec(write_engine: WriteEngine, tmp_path: Path) -> None:
    options = PlanOptions(
        model=write_engine("llama-0.19.0-tp2pp2", {"build_config.auto_parallel_config.cluster_key": "H100-SXM"}),
        gpus=("H100-SXM-80GB", "H100-SXM-80GB/mig:3g.40gb"),
        rate=1.0,
        input=128,
        output=16,
        write=tmp_path / "tritonsmith.yaml",
        folder=tmp_path / "plan",
    )
    plan = cli.make_plan(options)
    assert [one.serving.spread for one in plan.candidates] == [Spread(2, 2), Spread(2, 2)]
    assert "no slice or share of a GPU reaches another" in plan.candidates[1].problem
    spec = yaml.safe_load((tmp_path / "tritonsmith.yaml").read_text())
    assert spec["hardware"]["count"] == 4
    assert spec["pipelines"]["chat"]["engine"] == {"from": "engine"}
    assert spec["triton"] == release_of(plan) == release_of(replace(plan, traffic=None))
    built = build_repository(tmp_path / "tritonsmith.yaml", tmp_path / "repository")
    assert not [finding for finding in built.findings if finding.severity is Severity.ERROR]


def test_types_of_an_engine_cannot_be_asked_for(write_engine: WriteEngine, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--weights: .* has settled that already"):
        cli.make_plan(PlanOptions(model=write_engine("llama-0.16.0"), weights="fp8", folder=tmp_path / "plan"))
