import json
import resource
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import pytest

from tritonsmith.ensembles.draw.core import Box, Edge, Graph, Tensor
from tritonsmith.generator.errors import RepositoryError, UsageError
from tritonsmith.perf.document import (
    Cell,
    Sweep,
    SweepPlan,
    cell_digest,
    read_cell,
    read_sweep,
    write_cell,
    write_sweep,
)
from tritonsmith.perf.measure.kept import Kept
from tritonsmith.perf.measure.load import Load
from tritonsmith.perf.measure.measurement import CacheUse, Latency, Measurement, Step
from tritonsmith.perf.measure.replayed import Replayed
from tritonsmith.perf.measure.streams import Goals, Quantiles, Streams
from tritonsmith.perf.report import render_report
from tritonsmith.perf.slo.core import Answer
from tritonsmith.perf.summary import summarise
from tritonsmith.perf.trace import Replay

RECORDED = Path(__file__).parent / "recorded"
LOAD = Load("concurrency", 4)
PLAN = SweepPlan("digits", (LOAD,))


def test_a_sweep_is_read_as_it_was_written(make_sweep: Callable[..., Sweep], tmp_path: Path) -> None:
    sweep = make_sweep(counts=(1, 2))
    path = write_sweep(sweep, tmp_path)
    assert read_sweep(tmp_path) == read_sweep(path) == sweep


def test_the_document_names_its_schema(make_sweep: Callable[..., Sweep], tmp_path: Path) -> None:
    assert json.loads(write_sweep(make_sweep(), tmp_path).read_bytes())["schema"] == "tritonsmith.sweep/5"


def test_the_document_keeps_what_was_measured_to_be_drawn(
    make_drawn_sweep: Callable[..., Sweep], tmp_path: Path
) -> None:
    sweep = make_drawn_sweep(counts=(1, 2))
    write_sweep(sweep, tmp_path)
    assert read_sweep(tmp_path) == sweep
    assert [graph.name for graph in sweep.pipelines.values()] == ["digits", "digits"]


def test_a_document_without_pipelines_is_read(make_drawn_sweep: Callable[..., Sweep], tmp_path: Path) -> None:
    path = write_sweep(make_drawn_sweep(), tmp_path)
    document = json.loads(path.read_bytes())
    del document["pipelines"]
    path.write_text(json.dumps(document))
    assert read_sweep(path).pipelines == {}
    assert 'id="pipeline"' not in render_report(read_sweep(path), "html")


def test_another_schema_is_refused(make_sweep: Callable[..., Sweep], tmp_path: Path) -> None:
    path = write_sweep(make_sweep(), tmp_path)
    path.write_text(path.read_text().replace("tritonsmith.sweep/5", "tritonsmith.sweep/6"))
    with pytest.raises(RepositoryError, match=r"sweep/6.* is not"):
        read_sweep(path)


def test_a_wrong_field_is_named(make_sweep: Callable[..., Sweep], tmp_path: Path) -> None:
    path = write_sweep(make_sweep(), tmp_path)
    document = json.loads(path.read_bytes())
    document["cells"][1]["measurement"]["latency"]["p99_us"] = "soon"
    path.write_text(json.dumps(document))
    with pytest.raises(RepositoryError, match=r"cells\.1\.measurement\.latency\.p99_us"):
        read_sweep(path)


@pytest.mark.parametrize("content", ["", "{", "[]", "3"])
def test_what_is_no_document_is_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "sweep.json").write_text(content)
    with pytest.raises(RepositoryError):
        read_sweep(tmp_path)


def test_a_folder_without_a_sweep_is_wrong_usage(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no sweep in"):
        read_sweep(tmp_path)


def test_a_cell_is_found_by_its_digest(make_sweep: Callable[..., Sweep], tmp_path: Path) -> None:
    cell = replace(make_sweep().cells[0], digest="abc")
    write_cell(cell, tmp_path)
    assert read_cell(tmp_path, "abc") == cell
    assert read_cell(tmp_path, "abd") is None


def test_a_damaged_cell_is_measured_again(make_sweep: Callable[..., Sweep], tmp_path: Path) -> None:
    write_cell(replace(make_sweep().cells[0], digest="abc"), tmp_path)
    path = tmp_path / "cells" / "abc.json"
    path.write_bytes(path.read_bytes()[:200])
    assert read_cell(tmp_path, "abc") is None


def test_a_digest_depends_on_all_that_changes_numbers() -> None:
    base = cell_digest(PLAN, LOAD, {}, 0, "identity")
    others = [
        cell_digest(replace(PLAN, window_ms=200), LOAD, {}, 0, "identity"),
        cell_digest(replace(PLAN, protocol="http"), LOAD, {}, 0, "identity"),
        cell_digest(replace(PLAN, seed=1), LOAD, {}, 0, "identity"),
        cell_digest(PLAN, Load("request_rate", 4), {}, 0, "identity"),
        cell_digest(PLAN, LOAD, {"models.a.max_batch_size": 2}, 0, "identity"),
        cell_digest(PLAN, LOAD, {}, 1, "identity"),
        cell_digest(PLAN, LOAD, {}, 0, "another"),
    ]
    assert len({base, *others}) == 8


def test_more_loads_and_repeats_keep_the_cells_that_are_there() -> None:
    more = replace(PLAN, loads=(LOAD, Load("concurrency", 8)), repeats=9)
    assert cell_digest(more, LOAD, {}, 0, "identity") == cell_digest(PLAN, LOAD, {}, 0, "identity")


def test_a_file_that_cannot_be_written_leaves_the_old_one(make_sweep: Callable[..., Sweep], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot write"):
        write_sweep(make_sweep(), tmp_path / "missing")
    assert list(tmp_path.iterdir()) == []


def test_a_load_is_named_by_its_value_not_by_its_type() -> None:
    one, same = (cell_digest(PLAN, Load("concurrency", value), {}, 0, "") for value in (1, 1.0))
    assert one == same


def test_fewer_than_three_repeats_are_refused() -> None:
    with pytest.raises(UsageError, match="2 repeats"):
        SweepPlan("digits", (LOAD,), repeats=2)


def test_a_sweep_without_a_load_is_refused() -> None:
    with pytest.raises(UsageError, match="level of load"):
        SweepPlan("digits", ())


def test_a_full_disk_leaves_the_old_document(make_sweep: Callable[..., Sweep], tmp_path: Path) -> None:
    path = write_sweep(make_sweep(), tmp_path)
    before, limits = path.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        with pytest.raises(UsageError, match="cannot write"):
            write_sweep(make_sweep(repeats=9), tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_document_of_the_schemas_first_day_is_still_read() -> None:
    sweep = read_sweep(RECORDED / "sweep.json")
    assert [str(point.load) for point in summarise(sweep)] == ["concurrency 1", "concurrency 4", "50 requests/s"]
    assert render_report(sweep, "html").count("<svg") == 11  # 3 of them by step, 3 of batch sizes


def test_a_document_of_the_first_day_has_no_notices_and_knows_of_no_cache() -> None:
    sweep = read_sweep(RECORDED / "sweep.json")
    assert (sweep.schema, sweep.notices) == ("tritonsmith.sweep/1", ())
    assert {cell.measurement.caches for cell in sweep.cells} == {()}


def test_a_recorded_sweep_of_the_second_schema_is_read() -> None:
    without, cached = summarise(read_sweep(RECORDED / "sweep_2.json"))
    assert (without.variant, without.caches, without.remarks) == ("first.response_cache.enable=false", (), ())
    assert cached.variant == "first.response_cache.enable=true"
    [use] = cached.caches
    assert use.model == "first"
    assert use.hits > 200 > use.misses


def test_a_recorded_sweep_of_the_third_schema_is_read() -> None:
    sweep = read_sweep(RECORDED / "sweep_3.json")
    [point] = summarise(sweep)
    assert str(sweep.plan.goals) == "TTFT 100 ms, TPOT 6 ms"
    assert point.streams
    assert 20_000 < point.streams.times["ttft_p50_us"].value < 30_000
    assert 5_000 < point.streams.times["inter_token_p50_us"].value < 6_000


def test_a_recorded_sweep_of_the_fourth_schema_is_read_and_drawn() -> None:
    sweep = read_sweep(RECORDED / "sweep_4.json")
    assert [box.name for box in sweep.pipelines[""].boxes] == [
        "request", "preprocessing", "classifier", "postprocessing", "response",
    ]  # fmt: skip
    assert 'id="pipeline"' in render_report(sweep, "html")


def test_a_document_of_the_third_schema_has_nothing_to_draw_and_its_cells_are_kept() -> None:
    sweep = read_sweep(RECORDED / "sweep_3.json")
    assert sweep.pipelines == {}
    assert 'id="pipeline"' not in render_report(sweep, "html")
    for cell in sweep.cells:
        load = cell.measurement.load
        assert cell.digest == cell_digest(sweep.plan, load, cell.variant, cell.repeat, sweep.identity)


def test_documents_before_the_third_schema_know_of_no_streams() -> None:
    for name in ("sweep.json", "sweep_2.json"):
        sweep = read_sweep(RECORDED / name)
        assert {cell.measurement.streams for cell in sweep.cells} == {None}
        assert not sweep.plan.goals


def test_the_schema_changes_only_with_its_version() -> None:
    kinds = (
        Sweep,
        SweepPlan,
        Cell,
        Measurement,
        Latency,
        Step,
        CacheUse,
        Streams,
        Quantiles,
        Goals,
        Graph,
        Box,
        Edge,
        Tensor,
        Answer,
        Kept,
        Replay,
        Replayed,
    )
    names = {field.name for kind in kinds for field in fields(kind)}
    recorded = json.loads((RECORDED / "sweep_3.json").read_bytes())
    cell = recorded["cells"][0]
    measurement = cell["measurement"]
    cached = json.loads((RECORDED / "sweep_2.json").read_bytes())["cells"]
    caches = next(one["measurement"]["caches"] for one in cached if one["measurement"]["caches"])
    parts: list[dict[str, object]] = [recorded, recorded["plan"], recorded["plan"]["goals"], cell, measurement]
    parts += [measurement["latency"], measurement["steps"][0], caches[0]]
    parts += [measurement["streams"], measurement["streams"]["ttft"]]
    drawn = json.loads((RECORDED / "sweep_4.json").read_bytes())
    pipeline = drawn["pipelines"][""]
    edge = pipeline["edges"][0]
    parts += [drawn, pipeline, pipeline["boxes"][0], edge, edge["tensors"][0]]
    searched, replayed = (
        json.loads((RECORDED / name).read_bytes()) for name in ("sweep_5.json", "sweep_5_replay.json")
    )
    kept, compared = searched["cells"][0]["measurement"], replayed["cells"][0]["measurement"]
    parts += [searched, searched["plan"], searched["answers"][0], kept, kept["kept"][0], searched["cells"][0]]
    parts += [replayed["plan"]["replay"], compared["replayed"]]
    assert names == {name for part in parts for name in part}


def test_recorded_sweeps_of_the_fifth_schema_are_read() -> None:
    searched, replayed = read_sweep(RECORDED / "sweep_5.json"), read_sweep(RECORDED / "sweep_5_replay.json")
    assert searched.plan.slo == {"p90_ms": 15.0}
    assert [answer.outcome for answer in searched.answers] == ["found"]
    assert searched.is_complete
    assert replayed.plan.replay
    assert replayed.plan.replay.requests == 10
    assert all(cell.measurement.replayed for cell in replayed.cells)


def test_cells_that_were_measured_for_other_limits_are_others() -> None:
    plain, limited = cell_digest(PLAN, LOAD, {}, 0, "identity"), replace(PLAN, slo={"p99_ms": 50.0})
    assert cell_digest(limited, LOAD, {}, 0, "identity") != plain
    assert cell_digest(replace(PLAN, price_per_hour=2.0), LOAD, {}, 0, "identity") == plain


def test_another_goal_measures_nothing_anew() -> None:
    judged = replace(PLAN, goals=Goals(ttft_ms=100))
    assert cell_digest(judged, LOAD, {}, 0, "identity") == cell_digest(PLAN, LOAD, {}, 0, "identity")
