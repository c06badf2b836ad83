"""A real Prometheus with our rules scrapes the real server under load: what an HPA is given is true."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tritonsmith.backends.server.embedded import embedded_server
from tritonsmith.backends.server.ports import choose_ports
from tritonsmith.backends.toolchain.prometheus import find_prometheus
from tritonsmith.generator.home import home_folder
from tritonsmith.generator.manifests.kubernetes.adapter import adapter_rule
from tritonsmith.generator.manifests.kubernetes.rules import RATIO, series
from tritonsmith.generator.manifests.kubernetes.scaling import METRICS, fleet_query
from tritonsmith.generator.manifests.server import ServerOptions
from tritonsmith.generator.manifests.workload import plan_workload
from tritonsmith.generator.repository.read import read_repository
from tritonsmith.perf.bench.scaling import GOAL_ERROR, LEAST, Fleet, clients, watching, write_chain
from tritonsmith.perf.bench.scraping import scraping

pytestmark = pytest.mark.live


def test_what_the_adapter_asks_prometheus_for_is_the_true_ratio_of_the_pod(tmp_path: Path) -> None:
    programs = find_prometheus(home_folder())
    if programs is None:
        pytest.skip("Prometheus is missing: Debian's package prometheus")
    repository = write_chain(tmp_path / "repository")
    workload = plan_workload(read_repository(repository))
    port = choose_ports("127.0.0.1", {"metrics": 0})["metrics"]
    options = ServerOptions(disable_auto_complete_config=True, exit_timeout_secs=2, metrics_port=port)
    query = adapter_rule(RATIO)["metricsQuery"].replace("<<.Series>>", RATIO).replace("<<.GroupBy>>", "pod")
    query = query.replace("<<.LabelMatchers>>", 'pod=~"busy",namespace="triton"')
    with (
        scraping(programs, tmp_path, workload, {"busy": f"127.0.0.1:{port}"}, interval_s=1) as prometheus,
        embedded_server(repository, options) as server,
    ):
        with watching(server) as watch, clients(server, 4, ms=4):
            begin_s = time.time()
            prometheus.wait_for(series(workload, RATIO))
            seen = Fleet(workload, prometheus, watch).look(3, begin_s)
            now_s = time.time()
            asked, recorded = (prometheus.by_pod(one, now_s) for one in (query, series(workload, RATIO)))
            [(_, fleet)] = prometheus.query(fleet_query(workload, METRICS["queue_to_compute"]), now_s)
        server.process.kill()  # how it ends is another test's
    assert seen["truth"] > 0.5, "nothing waited"  # four clients before one instance
    assert seen["evaluations"] >= LEAST
    assert seen["worst_error"] < GOAL_ERROR
    assert asked == recorded
    assert asked.keys() == {"busy"}
    assert fleet == pytest.approx(asked["busy"])  # what KEDA divides by the target: the sum over one pod
