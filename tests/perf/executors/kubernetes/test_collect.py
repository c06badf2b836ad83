"""What pods have measured, wherever it lies, becomes cells of the sweep; what compares stays together."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tritonsmith.generator.errors import RepositoryError
from tritonsmith.perf.document import Cell, Place, Sweep, read_sweep
from tritonsmith.perf.executors.core import CellTask, Measured
from tritonsmith.perf.executors.kubernetes.cell import left_to_measure, require_content
from tritonsmith.perf.executors.kubernetes.collect import collect, get_cells, missing_lines, put_cell, put_failure
from tritonsmith.perf.executors.kubernetes.core import SweepJob, Wish
from tritonsmith.perf.executors.kubernetes.shelf import Shelf, shelf_at
from tritonsmith.perf.executors.parcel import parcel_of

MakeCell = Callable[[CellTask, str], Cell]


@pytest.fixture
def sweep_job(make_sweep_job: Callable[..., SweepJob]) -> SweepJob:
    return make_sweep_job(Wish("image", "claim"), counts=(1, 2))


@pytest.fixture
def tasks(sweep_job: SweepJob) -> list[CellTask]:
    return [task for block in sweep_job.blocks for task in block.tasks]


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return shelf_at(str(tmp_path / "results"))


def test_cells_are_merged_by_digest_in_the_order_in_which_they_were_measured(
    sweep_job: SweepJob, tasks: list[CellTask], shelf: Shelf, cell_of: MakeCell, tmp_path: Path
) -> None:
    for second, task in enumerate(reversed(tasks)):
        put_cell(shelf, Measured(replace(cell_of(task, "a"), started_at=f"2026-11-20T20:00:{second:02}+00:00")))
    shelf.write("strange.cell.json", b"{}")
    shelf.write(f"{'0' * 32}.cell.json", b"cut of")
    merged = collect(sweep_job.sweep, tasks, shelf, tmp_path)
    assert [cell.digest for cell in merged.cells] == [task.digest for task in reversed(tasks)]
    assert merged.is_complete
    assert read_sweep(tmp_path) == merged


def test_what_was_measured_anew_replaces_what_was_collected_before(
    sweep_job: SweepJob, tasks: list[CellTask], shelf: Shelf, cell_of: MakeCell, tmp_path: Path
) -> None:
    put_cell(shelf, Measured(cell_of(tasks[0], "a")))
    before = collect(sweep_job.sweep, tasks, shelf, tmp_path)
    put_cell(shelf, Measured(cell_of(tasks[0], "b")))
    [cell] = collect(before, tasks, shelf, tmp_path).cells
    assert cell.place and cell.place.host == "b"


def test_machines_of_another_kind_are_told(
    sweep_job: SweepJob, tasks: list[CellTask], shelf: Shelf, cell_of: MakeCell, tmp_path: Path
) -> None:
    for second, (task, gpu) in enumerate(zip(tasks[:2], ("NVIDIA H100", "NVIDIA A100"), strict=True)):
        cell = cell_of(task, f"with-{gpu[-4:]}")
        place = replace(cell.place or Place("", sweep_job.sweep.environment))
        place = replace(place, environment=replace(place.environment, gpus=(gpu,)))
        put_cell(shelf, Measured(replace(cell, place=place, started_at=f"2026-11-20T20:00:0{second}+00:00")))
    [notice] = collect(sweep_job.sweep, tasks, shelf, tmp_path).notices
    assert notice == "with-A100 differs from with-H100: gpus: NVIDIA A100 on with-A100, NVIDIA H100 on with-H100"


def test_indices_that_lack_cells_are_named_with_the_reason_that_their_pod_left(
    sweep_job: SweepJob, tasks: list[CellTask], shelf: Shelf, cell_of: MakeCell, tmp_path: Path
) -> None:
    put_cell(shelf, Measured(cell_of(tasks[0], "a")))
    put_failure(shelf, 1, "node-7", "model 'x' does not load")
    sweep = collect(sweep_job.sweep, tasks, shelf, tmp_path)
    assert missing_lines(sweep_job.blocks, sweep, shelf) == [
        "index 0 (repeat 1): 3 of 4 cells",
        "index 1 (repeat 2): 4 of 4 cells; failed on node-7: model 'x' does not load",
        "index 2 (repeat 3): 4 of 4 cells",
    ]


def test_a_block_goes_on_where_it_was_lost_on_the_same_node_and_begins_again_on_another(
    sweep_job: SweepJob, shelf: Shelf, cell_of: MakeCell
) -> None:
    block = sweep_job.blocks[0].tasks
    assert left_to_measure(block, shelf, "a") == list(block)
    put_cell(shelf, Measured(cell_of(block[0], "a")))
    assert left_to_measure(block, shelf, "a") == list(block[1:])
    assert left_to_measure(block, shelf, "b") == list(block)
    for task in block[1:]:
        put_cell(shelf, Measured(cell_of(task, "a")))
    assert left_to_measure(block, shelf, "b") == []  # it is there, whole


def test_without_variants_nothing_is_measured_twice(
    make_sweep_job: Callable[..., SweepJob], shelf: Shelf, cell_of: MakeCell
) -> None:
    block = make_sweep_job(Wish("image", "claim")).blocks[0].tasks
    put_cell(shelf, Measured(cell_of(block[0], "a")))
    assert left_to_measure(block, shelf, "b") == list(block[1:])


def test_a_copy_of_a_claim_is_read_whatever_folder_it_came_in(
    tasks: list[CellTask], cell_of: MakeCell, tmp_path: Path
) -> None:
    put_cell(shelf_at(str(tmp_path / "results" / "sweep-x")), Measured(cell_of(tasks[0], "a")))
    assert get_cells(shelf_at(str(tmp_path / "results")), [tasks[0].digest]).keys() == {tasks[0].digest}


def test_another_repository_is_refused_and_a_copy_through_a_store_is_not(tmp_path: Path) -> None:
    folder = tmp_path / "models"
    (folder / "m" / "1").mkdir(parents=True)
    (folder / "m" / "config.pbtxt").write_text("")
    (folder / "m" / "1" / "run").write_text("x")
    (folder / "m" / "1" / "run").chmod(0o755)
    (folder / "empty").mkdir()
    digest = parcel_of(folder).content_digest
    (folder / "m" / "1" / "run").chmod(0o644)
    (folder / "empty").rmdir()
    require_content(folder, digest)
    (folder / "m" / "1" / "run").write_text("y")
    with pytest.raises(RepositoryError, match="is not the repository that the sweep was planned with"):
        require_content(folder, digest)
    with pytest.raises(RepositoryError, match="no model repository in"):
        require_content(tmp_path / "nothing", digest)


@pytest.fixture
def store_url(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URL of a bucket of a store that moto plays."""
    server = pytest.importorskip("moto.server", reason="moto is not installed")
    fsspec = pytest.importorskip("s3fs", reason="s3fs is not installed")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    running = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    try:
        fsspec.S3FileSystem(endpoint_url=f"http://{host}:{port}", skip_instance_cache=True).mkdir("bucket")
        yield f"s3://{host}:{port}/bucket/sweeps"
    finally:
        running.stop()


def test_a_store_is_read_as_a_folder_is(
    sweep_job: SweepJob, tasks: list[CellTask], cell_of: MakeCell, store_url: str, tmp_path: Path
) -> None:
    shelf = shelf_at(store_url)
    assert get_cells(shelf, [tasks[0].digest]) == {}
    put_cell(shelf, Measured(cell_of(tasks[0], "a")))
    put_failure(shelf, 1, "node-7", "lost")
    [cell] = collect(sweep_job.sweep, tasks, shelf, tmp_path).cells
    assert cell == cell_of(tasks[0], "a")
    assert "failed on node-7: lost" in missing_lines(sweep_job.blocks, sweep_job.sweep, shelf)[1]


def test_a_sweep_without_results_is_as_it_was(
    sweep_job: SweepJob, tasks: list[CellTask], shelf: Shelf, tmp_path: Path
) -> None:
    merged: Sweep = collect(sweep_job.sweep, tasks, shelf, tmp_path)
    assert merged == sweep_job.sweep
