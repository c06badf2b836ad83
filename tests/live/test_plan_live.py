"""A plan from one sweep of a model that waits instead of computing: as many instances as loads need, and no fewer."""

from pathlib import Path

import pytest

from tritonsmith.backends.server.embedded import embedded_server
from tritonsmith.generator.manifests.server import ServerOptions
from tritonsmith.perf.bench.plan_instances import OBJECTIVES, WAIT_S, Bench, calibrate, write_model
from tritonsmith.perf.plan.core import Traffic
from tritonsmith.perf.plan.replicas.instances import instances_for
from tritonsmith.perf.served import ready_configs

pytestmark = [pytest.mark.live, pytest.mark.slow]

# Instances' worth of work by how many it needs: fewer cannot answer it, as each answers 1 / WAIT_S a second at most.
LOADS = {1: 0.5, 3: 2.4, 5: 4.3, 8: 7.2}


def test_one_sweep_says_how_many_instances_loads_need(tmp_path: Path) -> None:
    write_model(tmp_path / "models")
    with embedded_server(tmp_path / "models", ServerOptions(allow_metrics=False, exit_timeout_secs=1)) as server:
        sweep = calibrate(server, tmp_path / "sweep")
        configs = ready_configs(server.control)
        bench = Bench(server, configs, tmp_path / "sweep" / "input.json", tmp_path, window_ms=400)
        for needed, load in LOADS.items():
            rate_per_s = load / WAIT_S
            plan = instances_for(sweep, configs, Traffic(rate_per_s, 0, 0), OBJECTIVES)
            assert needed <= plan.instances <= needed + 1, load
            # of fewer than a hundred requests, one may be late that is not one of a hundred
            assert bench.share_within(rate_per_s, plan.instances) >= 0.95, (load, plan.instances)
