"""Sweeps of real models on a real server with the real perf_analyzer."""

import base64
import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tritonsmith.backends.server.embedded import Server, embedded_server
from tritonsmith.generator import console
from tritonsmith.generator.errors import ServerError, UsageError
from tritonsmith.perf.document import Sweep, SweepPlan, Variation, read_sweep
from tritonsmith.perf.folder import sweep_folder
from tritonsmith.perf.measure.input_data import write_input_data
from tritonsmith.perf.measure.lengths import Lengths
from tritonsmith.perf.measure.load import Load
from tritonsmith.perf.measure.streams import Goals
from tritonsmith.perf.prompting import PromptWishes, write_prompts
from tritonsmith.perf.served import only_model
from tritonsmith.perf.summary import summarise
from tritonsmith.perf.sweep import run_sweep
from tritonsmith.perf.target import Target, embedded_target

pytestmark = [pytest.mark.live, pytest.mark.slow]

HEAD = """import json
import time
import numpy as np
import triton_python_backend_utils as pb


class TritonPythonModel:
"""
PASS_ON = (
    HEAD
    + """    def execute(self, requests):
        time.sleep({sleep_s})
        tensors = [pb.get_input_tensor_by_name(request, "x").as_numpy() for request in requests]
        return [pb.InferenceResponse([pb.Tensor("y", tensor)]) for tensor in tensors]
"""
)
# appended to a model: refuses a parameter `least` that is no number
INITIALIZE = """
    def initialize(self, args):
        parameters = json.loads(args["model_config"])["parameters"]
        int(parameters.get("least", {}).get("string_value", "0"))
"""
TO_NAN = PASS_ON.replace('"y", tensor)', '"y", tensor * np.float32("nan"))').format(sleep_s=0)
ONLY_PNG = (
    HEAD
    + """    def execute(self, requests):
        images = [pb.get_input_tensor_by_name(request, "image").as_numpy() for request in requests]
        good = all(value[:4] == bytes([137, 80, 78, 71]) for image in images for value in image.ravel())
        error = None if good else pb.TritonError("no PNG: " + repr(images[0].ravel()[0][:8]))
        return [pb.InferenceResponse([pb.Tensor("y", np.ones((1, 1), np.int32))], error) for _ in requests]
"""
)
STREAM = (
    HEAD
    + """    def execute(self, requests):
        for request in requests:
            sender = request.get_response_sender()
            for index in range(3):
                time.sleep(0.004)
                sender.send(pb.InferenceResponse([pb.Tensor("y", np.array([index], np.int32))]))
            sender.send(flags=pb.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
"""
)
FLOATS = 'input { name: "x" data_type: TYPE_FP32 dims: 4 } output { name: "y" data_type: TYPE_FP32 dims: 4 }'
PIPE = f"""platform: "ensemble" max_batch_size: 8 {FLOATS}
ensemble_scheduling {{
  step {{
    model_name: "first" model_version: -1
    input_map {{ key: "x" value: "x" }} output_map {{ key: "y" value: "m" }}
  }}
  step {{
    model_name: "second" model_version: -1
    input_map {{ key: "x" value: "m" }} output_map {{ key: "y" value: "y" }}
  }}
}}"""
ONE, FOUR, RATE = Load("concurrency", 1), Load("concurrency", 4), Load("request_rate", 50)


def write_model(repository: Path, name: str, config: str, code: str = "") -> None:
    (repository / name / "1").mkdir(parents=True)
    (repository / name / "config.pbtxt").write_text(config)
    (repository / name / "1" / ("model.py" if code else "ensemble")).write_text(code)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    batched = f'backend: "python" max_batch_size: 8 {FLOATS}'
    write_model(folder, "first", f"{batched} dynamic_batching {{}}", PASS_ON.format(sleep_s=0.001))
    write_model(folder, "second", f"{batched} dynamic_batching {{}}", PASS_ON.format(sleep_s=0.003))
    write_model(folder, "pipe", PIPE)
    return folder


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("others")
    write_model(
        folder, "alone", f'backend: "python" max_batch_size: 1 {FLOATS}', PASS_ON.format(sleep_s=0.01) + INITIALIZE
    )
    write_model(folder, "tonan", f'backend: "python" max_batch_size: 8 {FLOATS}', TO_NAN)
    integer = 'output { name: "y" data_type: TYPE_INT32 dims: 1 }'
    png = f'backend: "python" max_batch_size: 8 input {{ name: "image" data_type: TYPE_STRING dims: 1 }} {integer}'
    write_model(folder, "png", png, ONLY_PNG)
    decoupled = "model_transaction_policy { decoupled: true }"
    stream = f'backend: "python" input {{ name: "x" data_type: TYPE_INT32 dims: 1 }} {integer} {decoupled}'
    write_model(folder, "stream", stream, STREAM)
    return folder


@pytest.fixture(scope="module")
def server(repository: Path) -> Iterator[Server]:
    with embedded_server(repository) as running:
        yield running


@pytest.fixture(scope="module")
def other_server(others: Path) -> Iterator[Server]:
    with embedded_server(others) as running:
        yield running


def sweep_of(plan: SweepPlan, server: Server, folder: Path) -> Sweep:
    with sweep_folder(folder), console.progress("sweep", plan.cells) as progress:
        return run_sweep(plan, embedded_target(server), folder, progress)


def cell_times(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in (folder / "cells").iterdir()}


def test_an_ensemble_is_measured_step_by_step(server: Server, repository: Path, tmp_path: Path) -> None:
    plan = SweepPlan("pipe", (ONE, FOUR, RATE), repeats=3, window_ms=120)
    sweep = sweep_of(plan, server, tmp_path)
    assert sweep.is_complete
    assert read_sweep(tmp_path) == sweep
    one, four, rate = summarise(sweep)
    for point in (one, four, rate):
        assert [step.model for step in point.steps] == ["first", "second"]
        times_us = {step.model: step.compute_infer_us for step in point.steps}
        assert 1_000 < times_us["first"] < times_us["second"]
    for cell in sweep.cells:  # the server's time for a request is that of its steps, and little more
        steps_us = sum(step.total_us for step in cell.measurement.steps)
        assert 0.6 * cell.measurement.server_us < steps_us < 1.05 * cell.measurement.server_us
    assert four.steps[1].mean_batch_size > 1.1 > one.steps[1].mean_batch_size
    assert four.throughput_per_s.value > one.throughput_per_s.value
    assert rate.throughput_per_s.value == pytest.approx(50, rel=0.2)
    assert sweep.environment.perf_analyzer == sweep.environment.server == "2.51.0"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cells", "input.json", "sweep.json"]

    before = cell_times(tmp_path)
    again = sweep_of(plan, server, tmp_path)
    assert again.cells == sweep.cells  # nothing is measured twice
    assert again.started_at == sweep.cells[0].started_at
    assert cell_times(tmp_path) == before


def test_an_interrupted_continuation_forgets_nothing(
    server: Server, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = SweepPlan("second", (ONE, FOUR), repeats=3, window_ms=100)
    sweep = sweep_of(plan, server, tmp_path)
    first, *later = [tmp_path / "cells" / f"{cell.digest}.json" for cell in sweep.cells]
    first.unlink()
    monkeypatch.setattr("tritonsmith.perf.executors.local.measure_cell", raise_interrupt)
    with pytest.raises(KeyboardInterrupt):
        sweep_of(plan, server, tmp_path)
    assert read_sweep(tmp_path).cells == sweep.cells[1:]
    assert all(path.exists() for path in later)


def raise_interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def test_another_repository_shares_no_cells(server: Server, repository: Path, tmp_path: Path) -> None:
    plan = SweepPlan("second", (ONE,), repeats=3, window_ms=100)
    first = sweep_of(plan, server, tmp_path)
    marker = repository / "second" / "1" / "weights"
    marker.write_text("new")
    try:
        assert sweep_of(plan, server, tmp_path).identity != first.identity
    finally:
        marker.unlink()
    assert len(cell_times(tmp_path)) == 6


def test_variants_are_set_on_the_live_server_and_undone(other_server: Server, tmp_path: Path) -> None:
    before = other_server.control.config("alone")
    counts = Variation("models.alone.instance_group.count", (1, 3))
    plan = SweepPlan("alone", (Load("concurrency", 6),), repeats=3, window_ms=150, variations=(counts,))
    single, triple = summarise(sweep_of(plan, other_server, tmp_path))
    assert triple.variant == "alone.instance_group.count=3"
    assert triple.throughput_per_s.value > 2 * single.throughput_per_s.value  # it sleeps 10 ms
    assert other_server.control.config("alone") == before


def test_a_server_that_is_not_ours_gets_its_configuration_back(other_server: Server, tmp_path: Path) -> None:
    before = other_server.control.config("alone")
    counts = Variation("models.alone.instance_group.count", (2,))
    plan = SweepPlan("alone", (ONE,), repeats=3, window_ms=100, variations=(counts,))
    target = Target(other_server.http_url, other_server.grpc_url)
    with sweep_folder(tmp_path), console.progress("sweep", plan.cells) as progress:
        assert run_sweep(plan, target, tmp_path, progress).is_complete
    assert other_server.control.config("alone") == before


def test_a_failing_variant_is_undone_and_says_why_without_our_own_paths(other_server: Server, tmp_path: Path) -> None:
    before = other_server.control.config("alone")
    least = Variation("models.alone.parameters.least", (1, "none"))
    with pytest.raises(ServerError, match=r"parameters\.least=none: model 'alone' does not load: .*: 'none'") as caught:
        sweep_of(SweepPlan("alone", (ONE,), repeats=3, window_ms=100, variations=(least,)), other_server, tmp_path)
    assert "tritonsmith-run" not in str(caught.value)
    assert "At:" not in str(caught.value)
    assert other_server.control.config("alone") == before


def test_a_variant_for_a_gpu_is_fitted_to_this_machine_and_it_is_said(
    other_server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kinds = Variation("models.alone.instance_group.kind", ("KIND_GPU",))
    plan = SweepPlan("alone", (ONE,), repeats=3, window_ms=100, variations=(kinds,))
    assert sweep_of(plan, other_server, tmp_path).is_complete
    changed = "alone: instance_group[0] KIND_GPU -> KIND_CPU (no GPU here)"
    assert f"note: {changed}" in capsys.readouterr().err
    assert read_sweep(tmp_path).notices == (changed,)  # and nothing of models that are not measured
    assert sweep_of(plan, other_server, tmp_path).notices == (changed,)  # though the variant is not loaded again


def test_requests_that_the_response_cache_answered_are_told_for_steps_and_ensembles(tmp_path: Path) -> None:
    models = tmp_path / "models"
    cached = "response_cache { enable: true }"
    write_model(models, "first", f'backend: "python" max_batch_size: 8 {FLOATS} {cached}', PASS_ON.format(sleep_s=0))
    write_model(models, "second", f'backend: "python" max_batch_size: 8 {FLOATS}', PASS_ON.format(sleep_s=0))
    write_model(models, "pipe", PIPE)
    write_model(models, "whole", f"{PIPE} {cached}")
    shares: dict[str, dict[str, float]] = {}
    with embedded_server(models) as server:
        for model in ("pipe", "second", "whole"):
            sweep = sweep_of(SweepPlan(model, (FOUR,), repeats=3, window_ms=100), server, tmp_path / model)
            [point] = summarise(sweep)
            shares[model] = {use.model: use.hit_share for use in point.caches}
            assert ("from the response cache" in " ".join(point.remarks)) == bool(shares[model])
            assert any("response cache of 64 MiB was opened" in line for line in sweep.notices)
    assert shares["pipe"] == {"first": pytest.approx(1, abs=0.1)}  # 16 rows, again and again
    assert shares["second"] == {}
    assert shares["whole"] == {"whole": pytest.approx(1, abs=0.1)}  # its steps hardly saw a request


def test_a_decoupled_model_is_streamed_and_its_final_flag_is_no_answer(other_server: Server, tmp_path: Path) -> None:
    [point, *_] = summarise(
        sweep_of(SweepPlan("stream", (Load("concurrency", 2),), repeats=3, window_ms=250), other_server, tmp_path)
    )
    assert point.is_streamed
    assert point.responses_per_s.value == pytest.approx(3 * point.throughput_per_s.value, rel=0.01)
    assert point.first_response_p50_us.value < point.latencies["p50_us"].value - 5_000


def test_goals_and_prompts_are_refused_where_nothing_streams_and_nothing_is_said(
    server: Server, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=r"goals \(TTFT 20 ms\) are for models whose answers stream, and 'second' is"):
        sweep_of(SweepPlan("second", (ONE,), goals=Goals(ttft_ms=20)), server, tmp_path)
    assert not (tmp_path / "cells").exists()
    target, length = embedded_target(server), Lengths("uniform", 8, 8)
    with pytest.raises(UsageError, match="'second' takes no prompt: it has none of text_input and max_tokens"):
        write_prompts(PromptWishes(prompt_tokens=length), "second", target, tmp_path / "input.json")
    assert write_prompts(PromptWishes(), "second", target, tmp_path / "input.json") == (None, "")


def test_images_arrive_as_they_are(other_server: Server, tmp_path: Path) -> None:
    image = np.array([b"\x89PNG\r\n" + bytes(range(256))], dtype=object)
    path = write_input_data(tmp_path / "images.json", [{"image": image}] * 3)
    plan = SweepPlan("png", (FOUR,), repeats=3, window_ms=100, input_data=path)
    assert sweep_of(plan, other_server, tmp_path / "sweep").is_complete
    with pytest.raises(ServerError, match="no PNG") as caught:  # the letters that are made up without it
        sweep_of(SweepPlan("png", (FOUR,), window_ms=100), other_server, tmp_path / "other")
    assert "the inputs were made up" in caught.value.hint
    assert "--input image=@FILE for each input, or --input-data FILE" in caught.value.hint


def test_the_command_takes_images_from_their_files(other_server: Server, tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(b"\x89PNG\r\n" + name.encode())
    words = ["sweep", "png", "--url", other_server.http_url, "--grpc-url", other_server.grpc_url, "--concurrency", "2"]
    words += ["--repeats", "3", "--window-ms", "100", "-o", str(tmp_path / "sweep")]
    child = start_command(*words, "--input", f"image=@{tmp_path}/*.png")
    stdout, stderr = child.communicate(timeout=120)
    assert child.returncode in (0, 7), stderr
    assert "concurrency 2" in stdout
    rows = json.loads((tmp_path / "sweep" / "input.json").read_text())["data"]
    assert [base64.b64decode(row["image"]["content"]["b64"])[-5:] for row in rows] == [b"a.png", b"b.png"]


def test_http_measures_too(server: Server, tmp_path: Path) -> None:
    plan = SweepPlan("second", (ONE,), repeats=3, window_ms=100, protocol="http")
    sweep = sweep_of(plan, server, tmp_path)
    assert sweep.cells[0].command[sweep.cells[0].command.index("-i") + 1] == "http"
    assert summarise(sweep)[0].throughput_per_s.value > 50


def test_a_model_that_answers_nan_is_named_as_such(other_server: Server, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="NaN"):
        sweep_of(SweepPlan("tonan", (ONE,), window_ms=100), other_server, tmp_path)


def test_a_model_that_is_not_there_is_the_servers_answer(server: Server, tmp_path: Path) -> None:
    with pytest.raises(ServerError, match="nosuch"):
        sweep_of(SweepPlan("nosuch", (ONE,)), server, tmp_path)


def test_the_only_ensemble_is_what_is_meant(server: Server, other_server: Server) -> None:
    assert only_model(server.control) == "pipe"
    with pytest.raises(UsageError, match="alone, png, stream, tonan"):
        only_model(other_server.control)


def wait_for_cells(folder: Path, count: int, limit_s: float = 60) -> None:
    deadline_s = time.monotonic() + limit_s
    while time.monotonic() < deadline_s:
        if (folder / "cells").is_dir() and len(list((folder / "cells").glob("*.json"))) >= count:
            return
        time.sleep(0.02)
    raise AssertionError(f"no {count} cells in {folder} within {limit_s} s")


def test_a_server_killed_in_the_middle_costs_one_cell(repository: Path, tmp_path: Path) -> None:
    plan = SweepPlan("pipe", (ONE, FOUR), repeats=3, window_ms=150)

    def kill_after_two_cells(pid: int) -> None:
        wait_for_cells(tmp_path, 2)
        time.sleep(0.2)  # in the middle of the third
        os.kill(pid, signal.SIGKILL)

    with embedded_server(repository) as server:
        killer = threading.Thread(target=kill_after_two_cells, args=(server.pid,))
        killer.start()
        with pytest.raises(ServerError) as caught:
            sweep_of(plan, server, tmp_path)
        killer.join()
    assert caught.value.exit_code == 6
    kept = cell_times(tmp_path)
    assert len(kept) == 2
    assert len(read_sweep(tmp_path).cells) == 2
    assert not list(tmp_path.glob(".*"))

    with embedded_server(repository) as server:
        assert sweep_of(plan, server, tmp_path).is_complete
    assert kept.items() <= cell_times(tmp_path).items()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 128 KiB, which no export fits on."""
    folder = tmp_path / "small"
    folder.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(words, capture_output=True, check=False).returncode != 0:
        pytest.skip("only root may mount a small disk")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_disk_that_fills_up_is_named_and_nothing_is_left_half_written(server: Server, small_disk: Path) -> None:
    with pytest.raises(
        UsageError, match=f"cannot write {small_disk}/kept: the disk at {small_disk} is full: .* of 128"
    ):
        sweep_of(SweepPlan("second", (FOUR,), repeats=3, window_ms=400), server, small_disk / "kept")
    assert sorted(path.name for path in (small_disk / "kept").iterdir()) == ["input.json", "sweep.json"]
    assert read_sweep(small_disk / "kept").cells == ()


@pytest.mark.parametrize("limit_bytes", [32 << 10, 96 << 10])  # below and above what is written to see if there is room
def test_a_limit_of_file_sizes_is_named(server: Server, tmp_path: Path, limit_bytes: int) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, limits[1]))
    try:
        with pytest.raises(UsageError, match=rf"files may have {limit_bytes:,} bytes at most here \(ulimit -f\)"):
            sweep_of(SweepPlan("second", (FOUR,), repeats=3, window_ms=800), server, tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["input.json", "sweep.json"]


def start_command(*words: str) -> "subprocess.Popen[str]":
    argv = [sys.executable, "-m", "tritonsmith.generator", *words]
    return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)


def processes_that_mention(word: str) -> Iterator[str]:
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            argv = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if word in argv and path.parent.name != str(os.getpid()):
            yield argv


def test_ctrl_c_keeps_what_was_measured_and_the_command_continues(repository: Path, tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    words = ["sweep", "pipe", "--repository", str(repository), "--concurrency", "1,3", "--repeats", "3"]
    words += ["--window-ms", "150", "--output", str(folder)]
    child = start_command(*words)
    wait_for_cells(folder, 2)
    time.sleep(0.2)
    child.send_signal(signal.SIGINT)
    stdout, stderr = child.communicate(timeout=60)
    assert child.returncode == 130, stderr
    assert stdout == ""
    assert "2 of 6 cells are kept" in stderr
    assert list(processes_that_mention(str(folder))) == []
    kept = cell_times(folder)

    again = start_command(*words)
    stdout, stderr = again.communicate(timeout=120)
    assert again.returncode in (0, 7), stderr  # 7: this machine was too busy, which is said
    assert kept.items() <= cell_times(folder).items()
    assert [line.split("  ")[0] for line in stdout.splitlines() if line.startswith("conc")][:2] == [
        "concurrency 1",
        "concurrency 3",
    ]
    assert (folder / "report.html").read_text().startswith("<!doctype html>")
    assert read_sweep(folder).is_complete


def test_the_sweep_command_measures_a_server_that_runs(server: Server, tmp_path: Path) -> None:
    words = ["sweep", "--url", server.http_url, "--grpc-url", server.grpc_url, "--request-rate", "40", "--repeats", "3"]
    child = start_command(*words, "--window-ms", "100", "--output", str(tmp_path), "--json")
    stdout, stderr = child.communicate(timeout=120)
    assert child.returncode in (0, 7), stderr
    assert '"model": "pipe"' in stdout
    report = start_command("report", str(tmp_path), "--csv")
    assert report.communicate(timeout=30)[0].splitlines()[1].startswith("request_rate,40,")
    assert report.returncode == 0
