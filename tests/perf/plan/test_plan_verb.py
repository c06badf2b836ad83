"""The verb from end to end: a model and its traffic in, an answer, a document, a page and a spec out."""

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from tests.perf.plan.small_models import DENSE, LARGE, write_config
from tritonsmith.ensembles.build import build_repository
from tritonsmith.generator.cli import cli as command_line
from tritonsmith.generator.errors import AnswerIsNo, UsageError
from tritonsmith.perf.plan import cli
from tritonsmith.perf.plan.core import Figure, Objectives
from tritonsmith.perf.plan.document import PLANS, Plan
from tritonsmith.perf.plan.options import PlanOptions
from tritonsmith.perf.plan.show.compare import compare_text, table
from tritonsmith.perf.plan.show.drawing import drawing
from tritonsmith.perf.plan.show.page import render_page
from tritonsmith.perf.plan.show.sharing_advice import sharing_data
from tritonsmith.perf.plan.show.text import LIMITS_ARE_STEEP, plan_text, replica_text
from tritonsmith.perf.report.documents import report_on

ASKED = ("--gpu", "H100-SXM-80GB", "--rate", "20", "--input", "256", "--output", "32", "--max-gpus", "2")


def run(*words: object) -> int:
    """Run the command line and return its exit status."""
    try:
        command_line.main(list(map(str, words)), prog_name="tritonsmith", standalone_mode=False)
    except AnswerIsNo as no:
        return no.exit_code
    return 0


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    """A plan, made once."""
    folder = tmp_path_factory.mktemp("plan")
    options = PlanOptions(
        model=write_config(folder, DENSE),
        gpus=("H100-SXM-80GB",),
        rate=20.0,
        input=256,
        output=32,
        slo=("ttft=500ms,tpot=50ms",),
        prices=("2.5",),
        max_gpus=2,
        folder=folder / "plan",
    )
    made = cli.make_plan(options)
    assert PLANS.read(folder / "plan") == made
    return made


def test_from_a_model_to_a_spec_that_build_accepts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config, spec = write_config(tmp_path / "model", DENSE), tmp_path / "out" / "tritonsmith.yaml"
    slo = ("--slo", "ttft=500ms,tpot=50ms")
    assert run("plan", config, *ASKED, *slo, "--write", spec, "--compare", "--into", tmp_path / "plan") == 0
    answer = capsys.readouterr().out
    assert "YES: 2 H100-SXM-80GB: 2 replicas of TP1, 1 of them may be down" in answer
    assert "tritonsmith sweep chat" in answer
    assert (tmp_path / "plan" / "plan.html").read_text().startswith("<!doctype html>")
    assert build_repository(spec, tmp_path / "repository").report


def test_manifests_of_the_written_spec_have_the_replicas_and_gpus_of_the_plan(tmp_path: Path) -> None:
    config, spec = write_config(tmp_path / "model", LARGE), tmp_path / "tritonsmith.yaml"
    assert run("plan", config, *ASKED, "--spare", "2", "--write", spec, "--into", tmp_path / "plan") == 0
    pick = PLANS.read(tmp_path / "plan").pick
    assert pick is not None and pick.replicas is not None
    spec.write_text(f"{spec.read_text()}  image: registry/large:1\n")  # in deploy:, which ends the spec
    build_repository(spec, tmp_path / "repository")
    assert run("deploy", tmp_path / "repository", "--kubernetes", "-o", tmp_path / "deploy") == 0
    deployment = yaml.safe_load((tmp_path / "deploy" / "base" / "deployment.yaml").read_text())["spec"]
    (container,) = deployment["template"]["spec"]["containers"]
    assert deployment["replicas"] == pick.replicas.total == pick.replicas.working + 2
    assert container["resources"]["limits"]["nvidia.com/gpu"] == str(pick.serving.spread.gpus) == "2"


def test_a_model_that_does_not_fit_ends_with_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = write_config(tmp_path, LARGE)
    assert run("plan", config, *ASKED, "--gpu", "L4", "--into", tmp_path / "plan", "--write", tmp_path / "spec") == 0
    (tmp_path / "spec").unlink()
    small = ("--gpu", "L4", "--max-gpus", "1", "--into", tmp_path / "plan", "--write", tmp_path / "spec")
    assert run("plan", config, *small) == 1
    answer = capsys.readouterr().out
    assert "NO: L4 TP1 bf16, KV bf16: does not fit: 13" in answer
    assert "lacking" in answer
    assert not (tmp_path / "spec").exists()


def test_a_recorded_request_that_no_cache_holds_is_a_no(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config, trace = write_config(tmp_path, {**DENSE, "max_position_embeddings": 10**7}), tmp_path / "trace.csv"
    trace.write_text("time,prompt_tokens,output_tokens\n0,100,10\n1,9000000,10\n2,100,10\n")
    assert run("plan", config, "--gpu", "L4", "--trace", trace, "--max-gpus", "1", "--into", tmp_path / "plan") == 1
    answer = capsys.readouterr().out
    assert "tokens, the longest recorded request takes 9,000,010" in answer
    assert "or leave longer requests out of the trace" in answer


def test_slices_are_counted_in_gpus_and_fail_together(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config, spec = write_config(tmp_path, DENSE), tmp_path / "tritonsmith.yaml"
    slices = ("--gpu", "H100-SXM-80GB/mig:3g.40gb", "--price", "2.5", "--into", tmp_path / "plan", "--write", spec)
    assert run("plan", config, *ASKED[2:], *slices) == 0
    answer = capsys.readouterr().out
    assert "YES: 2 H100-SXM-80GB/mig:3g.40gb on 1 GPU: 2 replicas" in answer
    assert next(line.split()[2] for line in answer.splitlines() if line.startswith("per hour")) == "2.50"
    assert "a GPU that fails takes up to 2 replicas with it; --spare 2 plans for that" in answer
    assert "sharing: mig:3g.40gb" in spec.read_text()
    assert build_repository(spec, tmp_path / "repository").report


def test_what_cannot_be_written_is_said_before_anything_is_planned(tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text("mine")
    with pytest.raises(UsageError, match="exists already"):
        run(
            "plan",
            write_config(tmp_path, DENSE),
            *ASKED,
            "--into",
            tmp_path / "plan",
            "--write",
            tmp_path / "spec.yaml",
        )
    assert not (tmp_path / "plan").exists()


def test_json_and_compare_leave_the_page_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = write_config(tmp_path, DENSE)
    assert run("plan", config, "--gpu", "L4", "--json", "--compare", "--into", tmp_path / "plan") == 0
    assert json.loads(capsys.readouterr().out)["is_pick"]
    assert (tmp_path / "plan" / "plan.html").is_file()


def test_a_cache_is_told_in_sequences_of_the_models_lengths(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = write_config(tmp_path, DENSE)  # 16 layers x 8 heads x 64 x 2 x 2 B: 32 KiB a token; 8,192 positions
    assert run("plan", config, "--gpu", "L4", "--into", tmp_path / "plan") == 0
    pick = PLANS.read(tmp_path / "plan").candidates[0]
    assert pick.memory.kv_bytes_per_token == 32 * 1024
    short, long = (int(pick.memory.kv_tokens.value / length) for length in (1024, 8192))
    told = f"it holds {short} sequences of 1,024 tokens, {long} of 8,192 to their end; at most 256 are in flight"
    assert told in capsys.readouterr().out


def test_a_batch_that_binds_is_told_with_the_option_that_looks_at_more(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config, spec = write_config(tmp_path, DENSE), tmp_path / "tritonsmith.yaml"
    asked = ("plan", config, *ASKED, "--max-gpus", "1", "--into", tmp_path / "plan")
    assert run(*asked) == 0
    assert "at most 256 are in flight: --max-batch-size 256,2048 looks at more" in capsys.readouterr().out
    assert run(*asked, "--slo", "tpot=3.5ms") == 0  # which leaves less than the batch would
    assert "at most 256 are in flight\n" in capsys.readouterr().out
    assert run(*asked, "--max-batch-size", "2048", "--write", spec) == 0
    answer = capsys.readouterr().out
    assert '--calibrate "H100-SXM-80GB TP1 bf16 batch 2048=build/confirm"' in answer
    assert yaml.safe_load(spec.read_text())["pipelines"]["chat"]["with"]["max_batch_size"] == 2048


def test_the_document_is_what_json_prints(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = write_config(tmp_path, DENSE)
    assert run("plan", config, "--gpu", "L4", "--json", "--into", tmp_path / "plan") == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads((tmp_path / "plan" / "plan.json").read_text())
    assert printed["schema"] == "tritonsmith.plan/1"
    assert {part["name"] for part in printed["candidates"][0]["memory"]["parts"]} >= {"activations", "logits"}


def test_the_document_says_how_gpus_might_be_shared_as_the_text_does(plan: Plan) -> None:
    assert plan.sharing is not None
    assert f"GPU sharing: {plan.sharing.sharing}: {plan.sharing.reason}" in plan_text(plan)
    slices = replace(plan.candidates[0], gpu="H100-SXM-80GB/mig:3g.40gb")
    chosen = sharing_data(slices, plan.traffic)
    assert chosen is not None
    assert chosen.sharing == "mig:3g.40gb"
    assert sharing_data(None, plan.traffic) is sharing_data(slices, None) is None


def test_an_interval_without_an_end_survives_the_disk(plan: Plan, tmp_path: Path) -> None:
    pick = replace(plan.candidates[0], cost_per_hour=Figure(5.0, 2.5, math.inf, "test"))
    endless = replace(plan, candidates=(pick,))
    PLANS.write(endless, tmp_path)
    assert PLANS.read(tmp_path) == endless
    assert "2.50 and no limit" in plan_text(endless)


def test_a_rate_within_limits_that_is_known_less_well_than_a_full_replicas_says_why(plan: Plan) -> None:
    pick = plan.candidates[0]
    assert pick.throughput is not None and pick.replicas is not None
    full = pick.throughput.requests_per_s
    told = {
        low: LIMITS_ARE_STEEP
        in replica_text(plan, replace(pick, replicas=replace(pick.replicas, rate_per_replica=replace(full, low=low))))
        for low in (full.low, full.low / 2, 0.0)
    }
    assert list(told.values()) == [False, True, True]
    unlimited = replace(plan, objectives=Objectives())
    wide = replace(pick.replicas, rate_per_replica=replace(full, low=0.0))
    assert LIMITS_ARE_STEEP not in replica_text(unlimited, replace(pick, replicas=wide))


def test_every_number_of_a_pick_says_where_it_comes_from(plan: Plan) -> None:
    pick = plan.pick
    assert pick is not None and pick.throughput is not None and pick.replicas is not None
    figures = [part.bytes for part in pick.memory.parts]
    figures += [pick.memory.kv_tokens, pick.throughput.tokens_per_s, pick.replicas.rate_per_replica]
    figures += [one for one in (pick.cost_per_hour, pick.cost_per_million_tokens, pick.joules_per_token) if one]
    assert len(figures) > 8
    assert all(figure.source and figure.low <= figure.value <= figure.high for figure in figures)


def test_the_parts_of_memory_add_up_to_the_gpu(plan: Plan) -> None:
    held = plan.candidates[0].memory
    assert sum(part.bytes.value for part in held.parts) + held.free_bytes.value == pytest.approx(held.gpu_bytes)


def test_where_nothing_fits_the_page_tells_of_the_way_that_lacks_least(tmp_path: Path) -> None:
    asked = PlanOptions(write_config(tmp_path, LARGE), gpus=("L4",), max_gpus=2, folder=tmp_path / "plan")
    made = cli.make_plan(asked)
    assert not made.is_pick
    text, page = plan_text(made), render_page(made)
    lacking = next(line.split()[1] for line in text.splitlines() if line.strip().startswith("lacking"))
    assert float(lacking) > 0
    assert f">{lacking} (" in page
    assert "NO: L4 TP2" in text
    assert "with L4 TP2 bf16" in page


def test_the_table_marks_the_pick_and_has_costs_only_with_prices(plan: Plan) -> None:
    lines = compare_text(plan).splitlines()
    assert "per million tokens" in lines[0]
    assert [line for line in lines if line.startswith("* ")] == [lines[1]]
    without = compare_text(replace(plan, prices={})).splitlines()[0]
    assert "per million tokens" not in without
    assert "requests/s each" in without


def test_without_a_traffic_ways_are_compared_by_memory_alone(plan: Plan) -> None:
    bare = [replace(one, replicas=None, throughput=None) for one in plan.candidates]
    header, rows = table(replace(plan, traffic=None, candidates=tuple(bare)), pick="* ")
    assert header == ["", "GPUs", "free GiB", "KV tokens"]
    assert all(len(row) == len(header) for row in rows)


def test_ways_are_compared_by_the_share_that_has_to_keep_to_the_limits(plan: Plan) -> None:
    ninety = replace(plan, objectives=Objectives(latency_ms=5000, share=0.9))
    header, rows = table(ninety, pick="* ")
    pick = plan.candidates[0].replicas
    assert pick is not None
    place = header.index("latency p90 ms")
    assert float(rows[0][place].replace(",", "")) == pytest.approx(pick.tails.latency_ms[0.9], rel=0.01)
    assert ">latency p90, ms<" in drawing(ninety)
    assert "all up: p90" in plan_text(ninety)


def test_a_cost_without_an_end_is_drawn_to_the_edge(plan: Plan) -> None:
    pick = replace(plan.candidates[0], cost_per_million_tokens=Figure(2.0, 1.0, math.inf, "test"))
    drawn = drawing(replace(plan, candidates=(pick,)))
    assert "inf" not in drawn
    assert "nan" not in drawn


def test_the_drawing_has_the_limit_the_pick_and_every_way_that_would_do(plan: Plan) -> None:
    drawn = drawing(plan)
    ways = [one for one in plan.candidates if one.replicas]
    assert drawn.count("<g>") == len(ways) > 1
    assert ">limit 50 ms<" in drawn or ">limit 500 ms<" in drawn
    assert ">pick: TP1 bf16<" in drawn
    assert drawing(replace(plan, candidates=tuple(one for one in plan.candidates if not one.replicas))) == ""


def test_report_makes_the_page_of_a_plan(plan: Plan, tmp_path: Path) -> None:
    PLANS.write(plan, tmp_path)
    page = Path(report_on(tmp_path, ""))
    assert page.name == "plan.html"
    assert page.read_text() == render_page(plan)
    assert "What is against the others" not in render_page(replace(plan, candidates=plan.candidates[:1]))


@pytest.mark.parametrize(("words", "other"), [(["config.json"], "MODEL"), (["--write", "x.yaml"], "--write")])
def test_a_fleet_says_all_itself(words: list[str], other: str) -> None:
    with pytest.raises(UsageError, match=f"--pack and {other} exclude each other"):
        run("plan", *words, "--pack", "fleet.yaml")
