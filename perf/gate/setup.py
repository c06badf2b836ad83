"""What is found out before the first pair: which model is compared, on which machine, and whether both answer alike."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from tritonsmith.backends.client.control import Control
from tritonsmith.backends.server.embedded import Server
from tritonsmith.generator.errors import ServerError
from tritonsmith.perf.gate.answers import ask, find_difference
from tritonsmith.perf.gate.core import Failure, Side
from tritonsmith.perf.gate.document import Contender, GatePlan
from tritonsmith.perf.gate.fingerprint import Fingerprint, fingerprint_here
from tritonsmith.perf.gate.measure import PROBE_MS, Bench, choose_window_ms, warm_up
from tritonsmith.perf.gate.ratios import SIDES
from tritonsmith.perf.gate.servers import SideError, generation
from tritonsmith.perf.gate.settled import Configs, served_configs, write_settled
from tritonsmith.perf.measure.analyzer import AnalyzerTool, analyzer_version
from tritonsmith.perf.measure.machine import read_environment
from tritonsmith.perf.sweep import is_decoupled, only_model, read_configs, repository_digest
from tritonsmith.perf.target import Target, embedded_target

# Writes the input data for a served model and returns the file, and what it is called in the report.
WriteInputs = Callable[[str, Target], tuple[Path, str]]


@dataclass(frozen=True)
class Wish:
    """What is to be compared; the plan's `model` is empty where it is the only one.

    `answers_within` is a share of the largest value.
    """

    plan: GatePlan
    names: Mapping[Side, str]
    repositories: Mapping[Side, Path]
    write_inputs: WriteInputs
    answers_within: float
    is_self_test: bool = False


@dataclass(frozen=True)
class Setting:
    """What every pair of a gate has in common.

    `bench` is None and `failures` say why where there is nothing to measure. `configs` are those that `settled`
    repositories have to be served with; these are empty where they cannot be made.
    """

    plan: GatePlan
    machine: Fingerprint
    contenders: Mapping[Side, Contender]
    bench: Bench | None = None
    configs: Mapping[Side, Configs] | None = None
    settled: Mapping[Side, Path] | None = None
    failures: tuple[Failure, ...] = ()

    @property
    def identity(self) -> str:
        """Return a digest of what the numbers depend on: both sides, the load, the inputs and the machine."""
        inputs = hashlib.sha256(self.bench.input_data.read_bytes()).hexdigest() if self.bench else ""
        plan = replace(self.plan, budget_s=0.0, window_ms=0, tolerances=(self.plan.tolerances[0],))
        facts = [repr(plan), repr(self.machine), *(self.contenders[side].identity for side in SIDES), inputs]
        return hashlib.sha256("\n".join(facts).encode()).hexdigest()


def find_setting(wish: Wish, tool: AnalyzerTool, folder: Path, scratch: Path) -> Setting:
    """Serve both sides once and return what is to be measured; settled repositories are written into `scratch`.

    Raises: ServerError where the baseline does not serve, or lacks the model; UsageError.
    """
    try:
        with generation(wish.repositories, "baseline") as servers:
            return _look_at(wish, tool, folder, scratch, servers)
    except SideError as problem:
        if problem.side == "baseline":
            raise
        return _nothing(wish, Failure("missing point", "candidate", "it does not serve", problem.message))


def _look_at(wish: Wish, tool: AnalyzerTool, folder: Path, scratch: Path, servers: Mapping[Side, Server]) -> Setting:
    targets = {side: embedded_target(server) for side, server in servers.items()}
    model = wish.plan.model or only_model(targets["baseline"].control)
    plan = replace(wish.plan, model=model)
    baseline = read_configs(targets["baseline"].control, model)
    candidate = _candidate_configs(targets["candidate"].control, model)
    if candidate is None:
        missing = Failure("missing point", "candidate", model, "the candidate does not have this model")
        return _nothing(replace(wish, plan=plan), missing)
    configs: dict[Side, Configs] = {"baseline": baseline, "candidate": candidate}
    contenders = {side: _contender(wish, side, configs[side], targets[side]) for side in SIDES}
    bench = _bench(plan, wish, tool, folder, targets["baseline"], is_decoupled(baseline))
    failures = _compare_answers(bench, servers, wish.answers_within)
    if not failures:
        bench = _with_window(bench, servers["baseline"])
    server = str(targets["baseline"].control.server_metadata().get("version", "unknown"))
    machine = fingerprint_here(read_environment(server, analyzer_version(tool)))
    served = {side: served_configs(targets[side].control) for side in SIDES}
    settled = _settle(wish, served, scratch)
    return Setting(bench.plan, machine, contenders, bench, served, settled, tuple(failures))


def _nothing(wish: Wish, failure: Failure) -> Setting:
    contenders = {side: Contender(wish.names[side], "") for side in SIDES}
    machine = fingerprint_here(read_environment("unknown", "unknown"))
    return Setting(wish.plan, machine, contenders, failures=(failure,))


def _candidate_configs(control: Control, model: str) -> Configs | None:
    try:
        return read_configs(control, model)
    except ServerError:
        return None


def _contender(wish: Wish, side: Side, configs: Configs, target: Target) -> Contender:
    models = tuple(configs)
    facts = [configs, repository_digest(wish.repositories[side], models)]
    identity = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
    return Contender(wish.names[side], identity, target.notices(models))


def _bench(plan: GatePlan, wish: Wish, tool: AnalyzerTool, folder: Path, baseline: Target, decoupled: bool) -> Bench:
    input_data, called = wish.write_inputs(plan.model, baseline)
    cores = read_environment("", "").cores
    return Bench(replace(plan, input_data=called), tool, folder, input_data, decoupled, cores)


def _with_window(bench: Bench, server: Server) -> Bench:
    """Warm the server up and choose the window where none was asked for."""
    if bench.plan.window_ms:
        return bench
    warm_up(replace(bench, plan=replace(bench.plan, window_ms=PROBE_MS)), server, bench.plan.loads[0])
    return replace(bench, plan=replace(bench.plan, window_ms=choose_window_ms(bench, server)))


def _settle(wish: Wish, served: Mapping[Side, Configs], scratch: Path) -> dict[Side, Path] | None:
    settled: dict[Side, Path] = {}
    for side in SIDES:
        written = write_settled(wish.repositories[side], served[side], scratch / side)
        if written is None:
            return None
        settled[side] = written
    return settled


def _compare_answers(bench: Bench, servers: Mapping[Side, Server], within: float) -> list[Failure]:
    """Return what the candidate answers otherwise than the baseline, which is asked twice.

    Where the baseline itself does not answer twice alike (a model that samples), there is nothing to compare with.

    Raises: ServerError where the baseline fails a request.
    """
    urls = {side: server.grpc_url for side, server in servers.items()}
    expected = ask(urls["baseline"], bench.plan.model, bench.input_data)
    if find_difference(expected, ask(urls["baseline"], bench.plan.model, bench.input_data), within):
        return []
    try:
        got = ask(urls["candidate"], bench.plan.model, bench.input_data)
    except ServerError as problem:
        return [Failure("errors", "candidate", "the first rows of the input", problem.message)]
    said = find_difference(expected, got, within)
    return [Failure("wrong outputs", "candidate", "the first rows of the input", said)] if said else []
