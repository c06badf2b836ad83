"""What is found out before the first pair: which model is compared, on which machine, and whether both answer alike."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from tritonsmith.backends.client.control import Control
from tritonsmith.backends.server.embedded import Server
from tritonsmith.generator.errors import ServerError, UsageError
from tritonsmith.perf.gate.answers import Answers, ask, find_difference
from tritonsmith.perf.gate.core import Failure, Side
from tritonsmith.perf.gate.document import Contender, GatePlan
from tritonsmith.perf.gate.measure import PROBE_MS, Bench, choose_window_ms, warm_up
from tritonsmith.perf.gate.servers import SideError, generation
from tritonsmith.perf.gate.settled import Configs, served_configs, write_settled
from tritonsmith.perf.identity import digest_of, repository_digest
from tritonsmith.perf.measure.analyzer import AnalyzerTool, analyzer_version
from tritonsmith.perf.measure.fingerprint import Fingerprint, fingerprint_here
from tritonsmith.perf.measure.machine import read_environment
from tritonsmith.perf.served import is_decoupled, only_model, read_configs
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
    repositories have to be served with; these are None where they cannot be made. `answers` are the first side's to the
    first rows of the input.
    """

    plan: GatePlan
    machine: Fingerprint
    contenders: Mapping[Side, Contender]
    bench: Bench | None = None
    configs: Mapping[Side, Configs] | None = None
    settled: Mapping[Side, Path] | None = None
    failures: tuple[Failure, ...] = ()
    answers: Answers = field(default_factory=list)

    @property
    def input_digest(self) -> str:
        """Return a digest of the input data; empty where there is none."""
        return hashlib.sha256(self.bench.input_data.read_bytes()).hexdigest() if self.bench else ""

    @property
    def identity(self) -> str:
        """Return a digest of what the numbers depend on: both sides, the load, the inputs and the machine."""
        plan = replace(self.plan, budget_s=0.0, window_ms=0, tolerances=(self.plan.tolerances[0],))
        facts = [repr(plan), repr(self.machine), *(one.identity for one in self.contenders.values()), self.input_digest]
        return hashlib.sha256("\n".join(facts).encode()).hexdigest()


def find_setting(wish: Wish, tool: AnalyzerTool, folder: Path, scratch: Path) -> Setting:
    """Serve each side once and return what is to be measured; settled repositories are written into `scratch`.

    Without a baseline among the wish's repositories the candidate is all there is.

    Raises: ServerError where the baseline does not serve, or lacks the model; UsageError.
    """
    try:
        with generation(wish.repositories, next(iter(wish.repositories))) as servers:
            return _look_at(wish, tool, folder, scratch, servers)
    except SideError as problem:
        if problem.side == "baseline":
            raise
        return _nothing(wish, Failure("missing point", "candidate", "it does not serve", problem.message))


def _look_at(wish: Wish, tool: AnalyzerTool, folder: Path, scratch: Path, servers: Mapping[Side, Server]) -> Setting:
    targets = {side: embedded_target(server) for side, server in servers.items()}
    first: Side = "baseline" if "baseline" in targets else "candidate"
    model = wish.plan.model or only_model(targets[first].control)
    plan = replace(wish.plan, model=model)
    configs = {side: _model_configs(targets[side].control, model, side) for side in targets}
    found = {side: one for side, one in configs.items() if one is not None}
    if len(found) < len(configs):
        missing = Failure("missing point", "candidate", model, "the candidate does not have this model")
        return _nothing(replace(wish, plan=plan), missing)
    contenders = {side: _contender(wish, side, found[side], targets[side]) for side in targets}
    bench = _bench(plan, wish, tool, folder, targets[first], is_decoupled(found[first]))
    answers = ask(servers[first].grpc_url, model, bench.input_data)
    failures = _compare_answers(bench, servers, answers, wish.answers_within) if len(servers) > 1 else []
    if not failures:
        bench = _with_window(bench, servers[first])
    server = str(targets[first].control.server_metadata().get("version", "unknown"))
    machine = fingerprint_here(read_environment(server, analyzer_version(tool)))
    served = {side: served_configs(targets[side].control) for side in targets}
    settled = _settle(wish, served, scratch)
    return Setting(bench.plan, machine, contenders, bench, served, settled, tuple(failures), answers)


def _nothing(wish: Wish, failure: Failure) -> Setting:
    contenders = {side: Contender(wish.names[side], "") for side in wish.repositories}
    machine = fingerprint_here(read_environment("unknown", "unknown"))
    return Setting(wish.plan, machine, contenders, failures=(failure,))


def _model_configs(control: Control, model: str, side: Side) -> Configs | None:
    """Return the configurations of the model and its steps; None where the candidate does not have it.

    Raises: ServerError where the baseline does not.
    """
    try:
        return read_configs(control, model)
    except ServerError:
        if side == "baseline":
            raise
        return None


def _contender(wish: Wish, side: Side, configs: Configs, target: Target) -> Contender:
    models = tuple(configs)
    facts = [configs, repository_digest(wish.repositories[side], models)]
    return Contender(wish.names[side], digest_of(facts), target.notices(models))


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
    for side in served:
        written = write_settled(wish.repositories[side], served[side], scratch / side)
        if written is None:
            return None
        settled[side] = written
    return settled


def _compare_answers(bench: Bench, servers: Mapping[Side, Server], expected: Answers, within: float) -> list[Failure]:
    """Return what the candidate answers otherwise than the baseline, which is asked again.

    Where the baseline itself does not answer twice alike (a model that samples), there is nothing to compare with.

    Raises: ServerError where the baseline fails a request.
    """
    if find_difference(expected, ask(servers["baseline"].grpc_url, bench.plan.model, bench.input_data), within):
        return []
    try:
        got = ask(servers["candidate"].grpc_url, bench.plan.model, bench.input_data)
    except (ServerError, UsageError) as problem:
        return [Failure("errors", "candidate", "the first rows of the input", problem.message)]
    return wrong_outputs(expected, got, within)


def wrong_outputs(expected: Answers, got: Answers, within: float) -> list[Failure]:
    """Return what of the candidate's answers differs, as a failure."""
    said = find_difference(expected, got, within)
    return [Failure("wrong outputs", "candidate", "the first rows of the input", said)] if said else []
