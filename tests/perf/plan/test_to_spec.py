"""What `plan --write` leaves is a spec that `build` accepts, and says what was planned."""

import shlex
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from tests.perf.plan.small_models import DENSE, EXPERTS, write_config
from tritonsmith.backends.deploy.kubernetes.write import write_kubernetes
from tritonsmith.ensembles.build import build_repository
from tritonsmith.generator.errors import AnswerIsNo, UsageError
from tritonsmith.generator.findings import Severity
from tritonsmith.perf.commands import sweep
from tritonsmith.perf.measure.lengths import parse_lengths
from tritonsmith.perf.plan.confirm import caveat, sweep_argv
from tritonsmith.perf.plan.core import (
    Candidate,
    Figure,
    Memory,
    Objectives,
    Replicas,
    Serving,
    Spread,
    Tails,
    Traffic,
    WeightType,
    exact,
)
from tritonsmith.perf.plan.document import Plan
from tritonsmith.perf.plan.models.read import read_model
from tritonsmith.perf.plan.precisions import WEIGHT_BYTES
from tritonsmith.perf.plan.to_spec import slug, write_spec
from tritonsmith.perf.sweep_options import SweepOptions

TAILS = Tails({0.99: 400.0}, {0.99: 40.0}, {0.99: 9000.0}, 0.995, 0.6)
FOUND = Replicas(3, 1, 0, Figure(8, 6, 10, "test"), TAILS, TAILS)
MEMORY = Memory(8e10, (), 131072, 0, exact(4e5, "test"), exact(5e10, "test"))


def planned(config: Path, serving: Serving, gpu: str = "H100-SXM-80GB") -> Plan:
    """Return a plan whose pick serves so."""
    return Plan(
        path=str(config),
        model=read_model(config),
        gpus=(gpu,),
        traffic=Traffic(20, 1024, 256),
        objectives=Objectives(500, 50),
        candidates=(Candidate(gpu, serving, MEMORY, replicas=FOUND),),
        is_pick=True,
        reason="the only way that meets what is asked",
    )


WAYS = [
    ("dense", DENSE, Serving(Spread(), "bf16", "bf16"), "H100-SXM-80GB"),
    ("quantised", DENSE, Serving(Spread(2), "fp8", "fp8"), "H100-SXM-80GB"),
    ("staged", DENSE, Serving(Spread(2, 2), "bf16", "bf16"), "L4"),
    ("two-nodes", DENSE, Serving(Spread(8, 2), "bf16", "bf16"), "H100-SXM-80GB"),
    ("experts", EXPERTS, Serving(Spread(4, 1, 4), "bf16", "bf16"), "H200-SXM-141GB"),
    ("attention-apart", EXPERTS, Serving(Spread(1, 1, 4, 4), "bf16", "bf16"), "H200-SXM-141GB"),
]


@pytest.mark.parametrize(("name", "config", "serving", "gpu"), WAYS, ids=[way[0] for way in WAYS])
def test_build_accepts_what_is_written(tmp_path: Path, name: str, config: dict, serving: Serving, gpu: str) -> None:  # type: ignore[type-arg]
    plan = planned(write_config(tmp_path / name, config), serving, gpu)
    spec = write_spec(plan, tmp_path / "tritonsmith.yaml")
    built = build_repository(spec, tmp_path / "repository")
    assert not [finding for finding in built.findings if finding.severity is Severity.ERROR]
    written = yaml.safe_load((tmp_path / "repository" / "chat" / "1" / "model.yaml").read_text())
    assert written["tensor_parallel_size"] == serving.spread.tensor * serving.spread.data
    assert written.get("pipeline_parallel_size", 1) == serving.spread.pipeline
    assert written.get("moe_expert_parallel_size", 1) == serving.spread.expert
    assert written.get("enable_attention_dp", False) == (serving.spread.data > 1)
    assert written["max_batch_size"] * serving.spread.data == serving.max_batch_size
    assert written["kv_cache_config"].get("dtype", "auto") == ("fp8" if serving.cache_type == "fp8" else "auto")


def test_the_spec_has_the_hardware_and_the_replicas_of_the_plan(tmp_path: Path) -> None:
    plan = planned(write_config(tmp_path, DENSE), Serving(Spread(8, 2), "bf16", "bf16"))
    spec = yaml.safe_load(write_spec(plan, tmp_path / "tritonsmith.yaml").read_text())
    assert spec["hardware"] == {"gpu": "H100-SXM-80GB", "count": 8}
    assert spec["pipelines"]["chat"]["nodes"] == 2
    assert spec["deploy"]["replicas"] == 4


@pytest.mark.parametrize("weights", ["bf16", "fp8"])
def test_pods_have_the_time_to_read_weights_that_lie_in_the_image(tmp_path: Path, weights: WeightType) -> None:
    plan = planned(write_config(tmp_path, {**DENSE, "num_hidden_layers": 500}), Serving(Spread(2), weights, "bf16"))
    spec = write_spec(plan, tmp_path / "tritonsmith.yaml")
    assert "tokenizer_dir and start_margin_s, and deploy: {repository: {claim: ...}}" in spec.read_text()
    spec.write_text(spec.read_text().replace("deploy:\n", "deploy:\n  image: registry.example/chat:1\n"))
    build_repository(spec, tmp_path / "repository")
    made = write_kubernetes(tmp_path / "repository", tmp_path / "deploy", is_dry=False, is_forced=False)
    pod = yaml.safe_load((tmp_path / "deploy/base/deployment.yaml").read_text())["spec"]["template"]["spec"]
    probe = pod["containers"][0]["startupProbe"]
    read_s = WEIGHT_BYTES[weights] * plan.model.parameters.value / 2**20 / 100
    assert probe["periodSeconds"] * probe["failureThreshold"] >= 120 + read_s
    assert not any("weights lie elsewhere" in notice for notice in made.notices)


def test_the_head_tells_the_sweep_that_confirms_it(tmp_path: Path) -> None:
    plan = planned(write_config(tmp_path, DENSE), Serving(Spread(), "bf16", "bf16"))
    lines = write_spec(plan, tmp_path / "tritonsmith.yaml").read_text().splitlines()
    words = shlex.split(next(line for line in lines if "tritonsmith sweep" in line).lstrip("# "))
    assert words[words.index("--request-rate") + 1] == "4,6.4,8,9.6"
    assert words[words.index("--prompt-tokens") + 1] == "1024"
    assert [words[place + 1] for place, word in enumerate(words) if word == "--goal"] == ["ttft_ms=500", "tpot_ms=50"]


def test_sweep_takes_the_words_that_confirm_a_plan(tmp_path: Path) -> None:
    plan = planned(write_config(tmp_path, DENSE), Serving(Spread(), "bf16", "bf16"))
    name, *words = sweep_argv(plan, FOUND)[1:]
    assert name == "sweep"
    with sweep.make_context(name, words) as context:
        options = SweepOptions(**{key: value for key, value in context.params.items() if key != "is_json"})
    assert options.model == "chat"
    assert options.prompt_tokens is not None
    assert parse_lengths(options.prompt_tokens, "--prompt-tokens").first == 1024


def test_recorded_lengths_and_the_models_own_tokenizer_are_those_of_the_sweep(tmp_path: Path) -> None:
    plan = planned(write_config(tmp_path, DENSE), Serving(Spread(), "bf16", "bf16"))
    assert sweep_argv(plan, FOUND)[-6:-4] == ["--tokenizer", "TOKENIZER.json"]
    (tmp_path / "tokenizer.json").write_text("{}")
    recorded = Traffic(0.5, 200, 20, ((0.0, 100, 20), (1.0, 300, 20)), prefix_share=0.3)
    words = sweep_argv(replace(plan, traffic=recorded), FOUND)
    assert words[words.index("--prompt-tokens") + 1] == "normal:200:100"
    assert words[words.index("--output-tokens") + 1] == "20"
    assert words[words.index("--tokenizer") + 1] == str(tmp_path / "tokenizer.json")
    assert caveat(recorded) == "arrivals are random, not recorded ones and no part of a prompt is in the cache"


def test_weights_that_are_to_be_quantised_first_are_said(tmp_path: Path) -> None:
    plan = planned(write_config(tmp_path, DENSE), Serving(Spread(), "fp8", "bf16"))
    text = write_spec(plan, tmp_path / "tritonsmith.yaml").read_text()
    assert "/engines/small-1b-fp8 has to hold it quantised to fp8" in text
    assert yaml.safe_load(text)["pipelines"]["chat"]["engine"] == {"place": "mounted", "at": "/engines/small-1b-fp8"}


def test_nothing_is_overwritten_and_no_spec_written_without_a_pick(tmp_path: Path) -> None:
    plan = planned(write_config(tmp_path, DENSE), Serving(Spread(), "bf16", "bf16"))
    path = write_spec(plan, tmp_path / "tritonsmith.yaml")
    with pytest.raises(UsageError, match="exists already"):
        write_spec(plan, path)
    none = Plan(**{**plan.__dict__, "is_pick": False})
    with pytest.raises(AnswerIsNo):
        write_spec(none, tmp_path / "other.yaml")


@pytest.mark.parametrize(
    ("name", "expected"), [("meta-llama/Llama-3.1-8B", "llama-3.1-8b"), ("a b/c_d", "c-d"), ("--", "model")]
)
def test_a_repository_has_a_name_of_the_models(name: str, expected: str) -> None:
    assert slug(name) == expected
