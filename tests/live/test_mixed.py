"""Several models measured at once on a real server."""

from collections.abc import Callable
from pathlib import Path
from statistics import median

import pytest

from tritonsmith.backends.server.embedded import embedded_server
from tritonsmith.generator import console
from tritonsmith.generator.errors import UsageError
from tritonsmith.perf.document import SweepPlan, read_sweep
from tritonsmith.perf.measure.load import Load
from tritonsmith.perf.mixed import parse_mix, run_mix, wholes
from tritonsmith.perf.target import embedded_target

pytestmark = [pytest.mark.live, pytest.mark.slow]

ENSEMBLE = """platform: "ensemble" max_batch_size: 8
input { name: "x" data_type: TYPE_FP32 dims: -1 } output { name: "y" data_type: TYPE_FP32 dims: -1 }
ensemble_scheduling { step {
  model_name: "first" model_version: -1
  input_map { key: "x" value: "x" } output_map { key: "y" value: "y" }
} }"""


def test_each_model_gets_its_share_at_the_same_time(tmp_path: Path, write_model: Callable[..., Path]) -> None:
    models, folder = tmp_path / "models", tmp_path / "sweep"
    write_model(models, "first")
    write_model(models, "second")
    (models / "around" / "1").mkdir(parents=True)
    (models / "around" / "config.pbtxt").write_text(ENSEMBLE)
    mix, total = parse_mix("first=75%,second=25%"), Load("request_rate", 80)
    totals = SweepPlan("", (total,), repeats=3, window_ms=300)
    plans = {
        name: SweepPlan(name, (mix.load_of(name, total),), repeats=3, window_ms=300) for name in ("first", "second")
    }
    with embedded_server(models) as server:
        target = embedded_target(server)
        with console.progress("sweep") as progress:
            sweeps = run_mix(mix, plans, totals, target, folder, progress)
            again = run_mix(mix, plans, totals, target, folder, progress)
            shared = {"first": plans["first"], "around": SweepPlan("around", (total,), repeats=3)}
            with pytest.raises(UsageError, match="both use 'first'"):
                run_mix(mix, shared, totals, target, tmp_path / "shared", progress)
    assert again == {name: read_sweep(folder / name) for name in sweeps}
    for name, rate in (("first", 60), ("second", 20)):
        cells = sweeps[name].cells
        throughputs = [cell.measurement.throughput_per_s for cell in cells]
        assert len(throughputs) == 3
        assert median(throughputs) == pytest.approx(rate, rel=0.35)  # one window of a busy machine may fall short
        assert again[name].cells == cells  # nothing is measured twice
    pairs = zip(sweeps["first"].cells, sweeps["second"].cells, strict=True)
    for one, other in pairs:
        assert one.measurement.measured_s == pytest.approx(other.measurement.measured_s, abs=1e-3)
    assert wholes(sweeps, mix, [total])[0].throughput_per_s.value == pytest.approx(80, rel=0.3)
