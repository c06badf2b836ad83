"""A real Prometheus on 127.0.0.1 with the rules of `deploy --kubernetes`, scraping servers as if they were pods."""

from __future__ import annotations

import json
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tritonsmith.backends.server.ports import choose_ports
from tritonsmith.backends.toolchain.prometheus import Prometheus
from tritonsmith.generator.errors import ServerError
from tritonsmith.generator.manifests.kubernetes.core import Manifest
from tritonsmith.generator.manifests.kubernetes.monitoring import rule_groups
from tritonsmith.generator.manifests.workload import Workload
from tritonsmith.generator.manifests.yaml_text import to_yaml

START_LIMIT_S = 60.0
END_LIMIT_S = 10.0
HOST = "127.0.0.1"


@dataclass(frozen=True)
class Scraping:
    """A running Prometheus, scraping every `interval_s` seconds."""

    address: str  # HOST:PORT
    interval_s: int

    def query(self, expression: str, at_s: float | None = None) -> list[tuple[dict[str, str], float]]:
        """Return a query's series with their values, now or at a time."""
        return [(row["metric"], float(row["value"][1])) for row in self._result(expression, at_s)]

    def by_pod(self, expression: str, at_s: float | None = None) -> dict[str, float]:
        """Return a query's values by pod."""
        return {labels.get("pod", ""): value for labels, value in self.query(expression, at_s)}

    def wait_for(self, expression: str) -> None:
        """Return once a query has an answer: Prometheus looks for its targets every 5 s only, at first too.

        Raises: ServerError where it has none for long.
        """
        deadline_s = time.monotonic() + START_LIMIT_S
        while not self.query(expression):
            if time.monotonic() > deadline_s:
                raise ServerError("Prometheus has no value", where=expression)
            time.sleep(0.1)

    def samples(self, selector: str, span_s: float) -> list[tuple[float, float]]:
        """Return the (time, value) pairs of one series of the last `span_s` seconds, as they were stored."""
        rows = self._result(f"{selector}[{max(1, round(span_s))}s]", None)
        return [(float(at), float(value)) for row in rows[:1] for at, value in row["values"]]

    def _result(self, expression: str, at_s: float | None) -> list[dict[str, Any]]:
        words = {"query": expression} | ({} if at_s is None else {"time": f"{at_s:.3f}"})
        try:
            question = urllib.parse.urlencode(words)
            with urllib.request.urlopen(f"http://{self.address}/api/v1/query?{question}", timeout=30) as got:
                result: list[dict[str, Any]] = json.load(got)["data"]["result"]
                return result
        except urllib.error.HTTPError as problem:
            raise ServerError(problem.read().decode(errors="replace"), where=expression) from None


@contextmanager
def scraping(
    programs: Prometheus,
    folder: Path,
    workload: Workload,
    pods: Mapping[str, str],
    *,
    interval_s: int,
    more: Sequence[Manifest] = (),
) -> Iterator[Scraping]:
    """Scrape servers, HOST:PORT of their metrics by the pod's name, while the block runs.

    The workload's rules are evaluated at the same interval, and the groups of rules in `more`.

    Raises: ServerError where Prometheus does not start.
    """
    port = choose_ports(HOST, {"http": 0})["http"]
    folder.mkdir(parents=True, exist_ok=True)
    rules = {"groups": [*rule_groups(workload, interval_s), *more]}
    (folder / "rules.yaml").write_text(to_yaml([rules]))
    (folder / "prometheus.yaml").write_text(to_yaml([_config(workload, pods, interval_s)]))
    argv = [str(programs.server), "--config.file=prometheus.yaml", "--storage.tsdb.path=data", "--log.level=warn"]
    argv += [f"--web.listen-address={HOST}:{port}"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            argv, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    try:
        found = Scraping(f"{HOST}:{port}", interval_s)
        _wait_until_ready(found, process, folder / "log")
        yield found
    finally:
        process.terminate()
        try:
            process.wait(timeout=END_LIMIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _config(workload: Workload, pods: Mapping[str, str], interval_s: int) -> Manifest:
    """Return Prometheus' configuration; the labels are those that a PodMonitor's targets have."""
    targets = [
        {"targets": [address], "labels": {"namespace": workload.deploy.namespace, "pod": name}}
        for name, address in pods.items()
    ]
    every = dict.fromkeys(("scrape_interval", "scrape_timeout", "evaluation_interval"), f"{interval_s}s")
    return {
        "global": every,
        "rule_files": ["rules.yaml"],
        "scrape_configs": [{"job_name": workload.name, "static_configs": targets}],
    }


def _wait_until_ready(found: Scraping, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline_s = time.monotonic() + START_LIMIT_S
    while time.monotonic() < deadline_s and process.poll() is None:
        try:
            with urllib.request.urlopen(f"http://{found.address}/-/ready", timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
    raise ServerError(f"Prometheus did not start: {log.read_text(errors='replace')[-500:]}", where=found.address)
