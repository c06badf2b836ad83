"""A sweep's Job, run here as its manifest says: each index's own command, its mounts being folders of ours."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from tritonsmith.generator.errors import UnstableError
from tritonsmith.generator.home import home_folder
from tritonsmith.perf.commands import report, sweep
from tritonsmith.perf.document import read_sweep
from tritonsmith.perf.summary import summarise

pytestmark = [pytest.mark.live, pytest.mark.slow]

MODEL = """import time
import triton_python_backend_utils as pb


class TritonPythonModel:
    def execute(self, requests):
        time.sleep(0.002)
        tensors = [pb.get_input_tensor_by_name(request, "x").as_numpy() for request in requests]
        return [pb.InferenceResponse([pb.Tensor("y", tensor)]) for tensor in tensors]
"""
CONFIG = """backend: "python" max_batch_size: 4
input { name: "x" data_type: TYPE_FP32 dims: 4 } output { name: "y" data_type: TYPE_FP32 dims: 4 }"""
OPTIONS = ("--concurrency", "1", "--repeats", "3", "--window-ms", "20")
VARY = ("--vary", "models.passing.instance_group.count=1,2")
POD_LIMIT_S = 120


@dataclass
class Node:
    """Runs pods of a Job as a kubelet would: `claims` are folders by the claim's name, `image` what an image holds."""

    job: Path
    scratch: Path
    claims: Mapping[str, Path]
    image: Mapping[str, Path]
    said: list[str] = field(default_factory=list)

    def start(self, index: int, node: str) -> subprocess.Popen[str]:
        """Start the pod of an index on a node of this name."""
        job = yaml.safe_load((self.job / "job.yaml").read_text())
        pod = job["spec"]["template"]["spec"]
        [container] = pod["containers"]
        places = {**self.image, **self._mounted(pod, container)}
        variables = {"JOB_COMPLETION_INDEX": str(index)}
        for variable in container["env"]:
            told = variable.get("value") or {"spec.nodeName": node}[variable["valueFrom"]["fieldRef"]["fieldPath"]]
            variables[variable["name"]] = _placed(told, places)
        argv = [_placed(_expanded(word, variables), places) for word in container["command"]]
        # what an image with the tools in it says; `python` is the first on its PATH
        has = {"PATH": os.environ["PATH"], "TRITONSMITH_HOME": str(home_folder())}
        argv[0] = sys.executable if argv[0] == "python" else argv[0]
        return subprocess.Popen(argv, env={**has, **variables}, stderr=subprocess.PIPE, text=True)

    def run(self, index: int, node: str) -> int:
        """Run the pod of an index to its end and return its exit status."""
        with self.start(index, node) as process:
            _, said = process.communicate(timeout=POD_LIMIT_S)
        self.said.append(said)
        return process.returncode

    def run_and_kill(self, index: int, node: str, results: Path) -> int:
        """Kill the pod of an index as soon as it has written another cell."""
        before = set(results.rglob("*.cell.json"))
        with self.start(index, node) as process:
            deadline_s = time.monotonic() + POD_LIMIT_S
            while set(results.rglob("*.cell.json")) == before and process.poll() is None:
                assert time.monotonic() < deadline_s
                time.sleep(0.01)
            process.kill()
            process.communicate()
        return process.returncode

    def _mounted(self, pod: dict[str, Any], container: dict[str, Any]) -> dict[str, Path]:
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        return {mount["mountPath"]: self._folder(volumes[mount["name"]]) for mount in container["volumeMounts"]}

    def _folder(self, volume: Mapping[str, Any]) -> Path:
        if "persistentVolumeClaim" in volume:
            return self.claims[volume["persistentVolumeClaim"]["claimName"]]
        folder = self.scratch / f"{volume['name']}-{time.monotonic_ns()}"
        folder.mkdir(parents=True)
        if "configMap" in volume:
            config_map = yaml.safe_load((self.job / "tasks.yaml").read_text())
            assert config_map["metadata"]["name"] == volume["configMap"]["name"]
            for name, content in config_map["data"].items():
                (folder / name).write_text(content)
        return folder


def _expanded(word: str, variables: Mapping[str, str]) -> str:
    for name, value in variables.items():
        word = word.replace(f"$({name})", value)
    return word


def _placed(text: str, places: Mapping[str, Path]) -> str:
    """Return a path inside the container as the one here."""
    for inside, here in sorted(places.items(), reverse=True):
        if text == inside or text.startswith(f"{inside}/"):
            return f"{here}{text.removeprefix(inside)}"
    return text


def retries(job: Path, status: int) -> bool:
    """Whether the Job's controller tries an index again after this exit status."""
    spec = yaml.safe_load((job / "job.yaml").read_text())["spec"]
    codes = [rule["onExitCodes"]["values"] for rule in spec["podFailurePolicy"]["rules"] if "onExitCodes" in rule]
    return spec["backoffLimitPerIndex"] > 0 and status not in codes[0]


def command(repository: Path, output: Path) -> Result:
    """The command that plans, collects and plans again: it is always the same."""
    places = ("--repository", str(repository), "-o", str(output), "--image", "registry/cells:1", "--results", "sweeps")
    return CliRunner().invoke(sweep, [*OPTIONS, *VARY, "--executor", "kubernetes", *places])


def jobs(output: Path) -> list[Path]:
    return sorted((output / "kubernetes").iterdir(), key=lambda folder: folder.stat().st_mtime_ns)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    (folder / "passing" / "1").mkdir(parents=True)
    (folder / "passing" / "config.pbtxt").write_text(CONFIG)
    (folder / "passing" / "1" / "model.py").write_text(MODEL)
    return folder


def test_what_a_jobs_pods_measure_becomes_the_sweep_whatever_happens_to_them(repository: Path, tmp_path: Path) -> None:
    output, claim = tmp_path / "sweep", tmp_path / "claim"
    claim.mkdir()
    (output / "results").parent.mkdir()
    (output / "results").symlink_to(claim)  # as `kubectl cp` brings it
    planned = command(repository, output)
    assert planned.exit_code == 0, planned.output
    [job] = jobs(output)
    assert f"kubectl apply --server-side -k {job}" in planned.stdout

    other = tmp_path / "other"
    (other / "passing").mkdir(parents=True)
    node = Node(job, tmp_path / "pods", {"sweeps": claim}, {"/models": repository})
    assert node.run(0, "node-a") == 0
    assert node.run(0, "node-b") == 0
    assert "0 of 2 cells to measure" in node.said[-1]  # at once: it is there

    status = node.run_and_kill(1, "node-a", claim)
    assert retries(job, status)
    assert node.run(1, "node-b") == 0  # all of the repeat, since its variants are compared

    status = Node(job, tmp_path / "pods", {"sweeps": claim}, {"/models": other}).run(2, "node-c")
    assert status == 4
    assert not retries(job, status)

    halfway = command(repository, output)
    assert isinstance(halfway.exception, UnstableError)
    assert "index 0 (repeat 3): 2 of 2 cells; failed on node-c: " in halfway.stdout
    assert "is not the repository that the sweep was planned with" in halfway.stdout
    _, rest = jobs(output)
    assert Node(rest, tmp_path / "pods", {"sweeps": claim}, {"/models": repository}).run(0, "node-a") == 0

    done = command(repository, output)
    assert done.exception is None or isinstance(done.exception, UnstableError), done.output  # so short a window
    merged = read_sweep(output)
    assert merged.is_complete
    nodes: dict[int, set[str]] = {}
    for cell in merged.cells:
        nodes.setdefault(cell.repeat, set()).add(cell.place.host if cell.place else "")
    assert nodes == {0: {"node-a"}, 1: {"node-b"}, 2: {"node-a"}}
    assert [point.repeats for point in summarise(merged)] == [3, 3]
    assert "3 repeats each on one host: requests/s" in done.stdout
    assert (
        CliRunner().invoke(report, [str(output), "--html"], catch_exceptions=False).stdout.startswith("<!doctype html>")
    )
