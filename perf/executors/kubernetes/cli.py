"""`sweep --executor kubernetes`: collects what is there, and writes the Job that measures the rest."""

from __future__ import annotations

import hashlib
import shlex
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tritonsmith.generator.errors import UnstableError, UsageError
from tritonsmith.generator.repository.read import read_repository
from tritonsmith.perf.cells import Bench
from tritonsmith.perf.document import Sweep
from tritonsmith.perf.executors.kubernetes.collect import collect, missing_lines
from tritonsmith.perf.executors.kubernetes.core import RESULTS_FOLDER, SweepJob, Wish, blocks_of, job_folder
from tritonsmith.perf.executors.kubernetes.files import copy_name, write_files
from tritonsmith.perf.executors.kubernetes.job import PULL_S
from tritonsmith.perf.executors.kubernetes.measured import machines_of, measured_workload, planned_workload
from tritonsmith.perf.executors.kubernetes.order import order_files
from tritonsmith.perf.executors.kubernetes.shelf import Shelf, shelf_at
from tritonsmith.perf.executors.parcel import parcel_of
from tritonsmith.perf.sweep import begin_sweep, missing_tasks


@dataclass(frozen=True)
class OutstandingJob:
    """A sweep that lacks cells, the Job that measures them, and what each of its indices lacks, in words.

    `was_written` where an earlier command wrote the same Job, which may have run since.
    """

    sweep_job: SweepJob
    folder: Path
    lacking: tuple[str, ...]
    was_written: bool = False

    @property
    def sweep(self) -> Sweep:
        """The sweep so far."""
        return self.sweep_job.sweep

    def text(self) -> str:
        """Return what is to be done, as one would type it."""
        plan = self.sweep.plan
        head = f"{plan.model}: {len(self.sweep.cells)} of {plan.cells} cells are measured"
        lacking = [f"  {line}" for line in self.lacking] if self.sweep.cells or _has_reasons(self.lacking) else []
        job = f"the Job {self.sweep_job.name} measures the rest in {len(self.sweep_job.blocks)} indices:"
        return "\n".join(
            [head, *lacking, job, "", *(f"  {line}" for line in self.steps()), "", "then the same command again"]
        )

    def steps(self) -> list[str]:
        """Return the commands that measure, and bring what was measured here."""
        here, kubectl = self.folder, ["kubectl", "-n", self.sweep_job.workload.deploy.namespace]
        apply = ["kubectl", "apply", "--server-side", "-k", str(here)]
        wait = [*kubectl, "get", "job", self.sweep_job.name, "--watch"]
        measuring = [shlex.join(apply), f"{shlex.join(wait)}  # until it is Complete, or Failed"]
        if self.was_written:  # what is applied again as it was does not run again
            again = ["kubectl", "delete", "--ignore-not-found", "-k", str(here)]
            measuring.insert(0, f"{shlex.join(again)}  # where it has run")
        if self.sweep_job.wish.is_store:
            return measuring
        pod = copy_name(self.sweep_job)
        results = f"{pod}:{self.sweep_job.results}"
        begin = [["kubectl", "apply", "-f", str(here / "copy.yaml")]]
        begin.append([*kubectl, "wait", "--for=condition=Ready", f"pod/{pod}", f"--timeout={PULL_S}s"])
        end = [*kubectl, "delete", "pod", pod]
        give = [*kubectl, "cp", str(here / "tasks"), f"{results}/{self.sweep_job.name}"]
        bring = [*kubectl, "cp", results, str(here.parent.parent / RESULTS_FOLDER)]
        before = [] if self.sweep_job.fits_config_map else map(shlex.join, [*begin, give, end])
        return [*before, *measuring, *map(shlex.join, [*begin, bring, end])]

    def require_all(self) -> None:
        """End with 7 where some cells were measured and others are missing; nothing yet is no reason to.

        Raises: UnstableError.
        """
        measured, cells = len(self.sweep.cells), self.sweep.plan.cells
        if measured or _has_reasons(self.lacking):
            raise UnstableError(
                f"{cells - measured} of {cells} cells are missing",
                hint="where the Job before is over, apply this one: it measures them alone",
            )

    def as_json(self) -> dict[str, Any]:
        """Return the same for machines."""
        return {
            "job": self.sweep_job.name,
            "folder": str(self.folder),
            "cells": self.sweep.plan.cells,
            "measured": len(self.sweep.cells),
            "lacking": list(self.lacking),
            "commands": self.steps(),
        }


def sweep_on_kubernetes(
    bench: Bench, repository: Path, wish: Wish, folder: Path, serving: ExitStack
) -> Sweep | OutstandingJob:
    """Return the sweep with what its pods have measured; where cells lack, a Job that measures them is written.

    `serving` ends the server that planned it.

    Raises: UsageError for a repository that no single pod serves, or what cannot be written; RepositoryError.
    """
    workload = measured_workload(planned_workload(read_repository(repository), bench.plan), wish)
    sweep = begin_sweep(bench, machines=machines_of(workload, wish), repository=repository)
    parcel = parcel_of(repository).content_digest
    tasks = [replace(task, url="", parcel=parcel) for task in missing_tasks(replace(sweep, cells=()), bench)]
    serving.close()
    requests = bench.input_data.read_bytes()
    if tasks and hashlib.sha256(requests).hexdigest() != tasks[0].input_sha256:
        raise UsageError(f"{bench.input_data} was changed meanwhile", hint="plan again: the same command")
    whole, planner = SweepJob(sweep, workload, wish, (), {}), sweep.environment
    shelf = shelf_at(whole.results) if wish.is_store else shelf_at(str(folder / RESULTS_FOLDER))
    sweep = collect(sweep, tasks, shelf, folder)
    if sweep.is_complete:
        return sweep
    have = {cell.digest for cell in sweep.cells}
    blocks = blocks_of(tasks, [task for task in tasks if task.digest not in have])
    orders = order_files(blocks, planner, requests)
    return _written(replace(whole, sweep=sweep, blocks=blocks, orders=orders), shelf, folder)


def _written(sweep_job: SweepJob, shelf: Shelf, folder: Path) -> OutstandingJob:
    where = job_folder(folder, sweep_job.name)
    was_written = not write_files(sweep_job, where)
    if sweep_job.wish.is_store and not sweep_job.fits_config_map:
        for name, content in sweep_job.orders.items():
            shelf.write(f"{sweep_job.name}/{name}", content)
    return OutstandingJob(sweep_job, where, tuple(missing_lines(sweep_job.blocks, sweep_job.sweep, shelf)), was_written)


def _has_reasons(lines: tuple[str, ...]) -> bool:
    return any("; failed on" in line for line in lines)
