"""What is to be done by hand is told as commands that can be typed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tritonsmith.generator.errors import UnstableError, UsageError
from tritonsmith.perf.executors.kubernetes.cli import OutstandingJob
from tritonsmith.perf.executors.kubernetes.core import MAX_CONFIG_MAP_BYTES, SweepJob, Wish
from tritonsmith.perf.executors.kubernetes.files import write_files

MakeSweepJob = Callable[..., SweepJob]
CLAIM = Wish("image", "sweeps")


def verbs(steps: list[str]) -> list[str]:
    """What each command does, without where."""
    return [" ".join(word for word in step.split()[1:4] if word not in ("-n", "triton"))[:6] for step in steps]


def test_from_a_claim_results_are_copied_and_from_a_store_they_are_read(make_sweep_job: MakeSweepJob) -> None:
    steps = OutstandingJob(make_sweep_job(CLAIM), Path("s/kubernetes/j"), ()).steps()
    assert verbs(steps) == ["apply ", "get", "apply ", "wait", "cp", "delete"]
    assert steps[4].endswith(" s/results")
    assert "--timeout=" in steps[3], "30 s are kubectl's own, and the image is gigabytes"
    steps = OutstandingJob(make_sweep_job(Wish("image", "s3://bucket/x")), Path("s/kubernetes/j"), ()).steps()
    assert verbs(steps) == ["apply ", "get"]


def test_tasks_that_no_config_map_takes_are_copied_before(make_sweep_job: MakeSweepJob) -> None:
    sweep_job = make_sweep_job(CLAIM, requests=bytes(MAX_CONFIG_MAP_BYTES))
    steps = OutstandingJob(sweep_job, Path("a folder/kubernetes/j"), ()).steps()
    assert verbs(steps)[:5] == ["apply ", "wait", "cp", "delete", "apply "]
    assert f"cp 'a folder/kubernetes/j/tasks' {sweep_job.folder}-copy:{sweep_job.results}/{sweep_job.name}" in steps[2]


def test_a_job_that_was_written_before_is_deleted_first_since_it_would_not_run_again(
    make_sweep_job: MakeSweepJob, tmp_path: Path
) -> None:
    sweep_job = make_sweep_job(CLAIM)
    assert write_files(sweep_job, tmp_path / "j")
    (tmp_path / "j" / "job.yaml").write_text("edited")
    assert not write_files(sweep_job, tmp_path / "j")
    assert (tmp_path / "j" / "job.yaml").read_text() == "edited"
    steps = OutstandingJob(sweep_job, tmp_path / "j", (), was_written=True).steps()
    assert steps[0] == f"kubectl delete --ignore-not-found -k {tmp_path / 'j'}  # where it has run"


def test_nothing_yet_is_no_failure_and_something_missing_is(make_sweep_job: MakeSweepJob) -> None:
    sweep_job = make_sweep_job(CLAIM)
    OutstandingJob(sweep_job, Path("j"), ("index 0 (repeat 1): 2 of 2 cells",)).require_all()
    failed = OutstandingJob(sweep_job, Path("j"), ("index 0 (repeat 1): 2 of 2 cells; failed on a: why",))
    with pytest.raises(UnstableError, match="6 of 6 cells are missing"):
        failed.require_all()
    assert "failed on a: why" in failed.text()
    assert failed.as_json()["lacking"] == list(failed.lacking)


def test_a_kubernetes_that_is_too_old_is_refused(make_sweep_job: MakeSweepJob) -> None:
    with pytest.raises(UsageError, match=r"Kubernetes 1\.28 does not retry a Job's indices one by one"):
        make_sweep_job(CLAIM, deploy={"kubernetes": "1.28"})
    assert make_sweep_job(replace(CLAIM, workers=1), deploy={"kubernetes": "1.29"}).blocks
