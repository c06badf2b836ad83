"""The verb simulate: from options to a question, and what it prints."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tritonclient.grpc.model_config_pb2 import ModelConfig

from tritonsmith.backends.client.control import Control
from tritonsmith.backends.client.counters import parse_counters
from tritonsmith.ensembles.source import given_or_found, read_source
from tritonsmith.generator import console
from tritonsmith.generator.checks import Case, Target
from tritonsmith.generator.errors import UsageError
from tritonsmith.perf.commands import DEFAULT_CONCURRENCY
from tritonsmith.perf.document import read_sweep
from tritonsmith.perf.levels import parse_levels
from tritonsmith.perf.limits import name_of as name_of_metric
from tritonsmith.perf.limits import parse_limit
from tritonsmith.perf.measure.load import Load
from tritonsmith.perf.served import computing, ready_configs, the_model
from tritonsmith.perf.simulate.from_sweep import times_in
from tritonsmith.perf.simulate.given_times import (
    EXAMPLE,
    OPTION,
    Known,
    is_given,
    parse_times,
    require_times,
    with_given,
)
from tritonsmith.perf.simulate.predict import Question, fleets, simulate_points
from tritonsmith.perf.simulate.service import service_times
from tritonsmith.perf.simulate.traffic import RHYTHMS, Rhythm, Trace
from tritonsmith.perf.simulate.words import QUANTILES, fleet_data, fleets_text, point_data, points_text, times_text
from tritonsmith.perf.trace import read_trace
from tritonsmith.perf.variants import Variant, parse_variation

MOST_VARIANTS = 1000


@dataclass(frozen=True)
class SimulateOptions:
    """The options of the verb, as given."""

    path: Path | None
    service: tuple[str, ...]
    url: str | None
    model: str | None
    vary: tuple[str, ...]
    concurrency: str | None
    request_rate: str | None
    arrivals: str
    cores: int
    replicas_for: float | None
    slo: str | None
    down: int
    seed: int


def answer(options: SimulateOptions, *, is_json: bool) -> str:
    """Simulate what the options ask for and return what is printed.

    Raises: UsageError; AnswerIsNo where no number of replicas is enough; what reading the spec, repository or sweep and
    asking the server raise.
    """
    _require_sense(options)
    loads, trace = _loads(options)
    question = ask(options)
    for note in question.known.notes:
        console.say(f"note: {note}")
    if options.replicas_for is not None:
        return _fleets(question, options, options.replicas_for, is_json=is_json)
    rhythm: Rhythm = next((known for known in RHYTHMS if known == options.arrivals), "poisson")
    points = list(simulate_points(question, loads, rhythm, trace))
    if is_json:
        return json.dumps(_document(question, {"points": [point_data(point) for point in points]}), indent=2)
    return f"{points_text(points)}\n{times_text(question.known)}"


def ask(options: SimulateOptions) -> Question:
    """Return the question that the options ask, with configurations and service times read.

    Raises: as `answer`.
    """
    configs, has_gpu = _configs(options)
    model = the_model(configs, options.model)
    working = computing(model, configs)
    known = _known(options, working)
    known = replace(known, services={name: known.services[name] for name in working if name in known.services})
    limits = {name: configs[name].max_batch_size for name in working}
    notes = [*known.notes, *require_times(known, working, limits)]
    if not known.has_spread:
        notes.append("how much durations vary is not known: they are taken as constant, and p99 is too low; say ~20%")
    if not options.cores and not has_gpu:
        notes.append("every instance is taken to have a core of its own; --cores N lets those on the CPU share N")
    return Question(
        model, configs, replace(known, notes=tuple(notes)), _variants(options), options.cores, has_gpu, options.seed
    )


def _known(options: SimulateOptions, computing: Sequence[str]) -> Known:
    """Return service times: of the server, then of sweeps, then those by hand, each in the place of the one before."""
    known = _times_of_server(options.url, computing) if options.url else Known()
    for text in options.service:
        if not is_given(text):
            if not Path(text).exists():
                raise UsageError(f"{OPTION}: '{text}' is neither service times nor a sweep's path", hint=EXAMPLE)
            known = times_in(read_sweep(Path(text)))
    return with_given(known, [parse_times(text) for text in options.service if is_given(text)], computing)


def _times_of_server(url: str, computing: Sequence[str]) -> Known:
    control = Control(_host(url))
    counters = {name: parse_counters(control.statistics(name), name) for name in computing}
    counted = {name: service_times(found) for name, found in counters.items() if found.executions}
    return Known(counted, has_spread=False)


def _configs(options: SimulateOptions) -> tuple[Mapping[str, ModelConfig], bool]:
    """Return the configurations by model, as Triton completes them, and whether there is a GPU."""
    if options.path is None and options.url:
        return ready_configs(Control(_host(options.url))), False
    repository = read_source(given_or_found(options.path))
    target = Target.of(repository)
    return Case(repository, target).configs, bool(target.gpus)


def _variants(options: SimulateOptions) -> tuple[Variant, ...]:
    variations = [parse_variation(text) for text in options.vary]
    products = itertools.product(*(variation.values for variation in variations))
    found = [dict(zip((v.field for v in variations), values, strict=True)) for values in products]
    if len(found) > MOST_VARIANTS:
        raise UsageError(f"--vary: {len(found):,} combinations are too many", hint=f"at most {MOST_VARIANTS:,}")
    return tuple(found)


def _loads(options: SimulateOptions) -> tuple[tuple[Load, ...], Trace | None]:
    """Return the levels of load, or the trace where arrivals are one."""
    if options.arrivals not in RHYTHMS:
        return (), _recorded(Path(options.arrivals))
    return parse_levels(options.concurrency, options.request_rate, DEFAULT_CONCURRENCY), None


def _recorded(path: Path) -> Trace:
    if not path.exists():
        raise UsageError(f"--arrivals: cannot read {path}: no such file", hint="name a file, or bursty, constant")
    arrivals = read_trace(path, "--arrivals")
    return Trace(
        tuple(one.time_s for one in arrivals),
        tuple(one.rows for one in arrivals),
        tuple(one.priority for one in arrivals),
    )


def _require_sense(options: SimulateOptions) -> None:
    """Refuse options that exclude or need each other."""
    has_load = bool(options.concurrency or options.request_rate)
    if options.replicas_for is None and (options.slo or options.down):
        raise UsageError("--slo and --down belong to --replicas-for", hint="--replicas-for 50000 --slo p99=50ms")
    if options.replicas_for is not None and not options.slo:
        raise UsageError("--replicas-for needs a limit", hint="--slo p99=50ms")
    if options.replicas_for is not None and (has_load or options.arrivals != "poisson"):
        hint = "leave out --concurrency, --request-rate and --arrivals: arrivals are random there"
        raise UsageError("--replicas-for sets the load itself", hint=hint)
    if options.arrivals not in RHYTHMS and has_load:
        raise UsageError("a trace sets the load itself", hint="leave out --concurrency and --request-rate")
    if options.arrivals in ("bursty", "constant") and not options.request_rate:
        raise UsageError(f"--arrivals {options.arrivals} is about a rate", hint="--request-rate 100,200")


def _fleets(question: Question, options: SimulateOptions, rate_per_s: float, *, is_json: bool) -> str:
    limit = parse_limit(options.slo or "", "--slo", tuple(QUANTILES))
    quantile = name_of_metric(limit.metric)
    found = fleets(question, rate_per_s, limit.at_most * 1e3, QUANTILES[quantile], options.down)
    if is_json:
        answers = {"rate_per_s": rate_per_s, "slo": str(limit), "fleets": [fleet_data(fleet) for fleet in found]}
        return json.dumps(_document(question, answers), indent=2)
    return f"{fleets_text(found, rate_per_s, quantile)}\n{times_text(question.known)}"


def _document(question: Question, answers: Mapping[str, object]) -> dict[str, object]:
    services = {name: {str(k): v for k, v in times.mean_us.items()} for name, times in question.known.services.items()}
    notes = list(question.known.notes)
    return {"model": question.model, **answers, "service_us": services, "notes": notes, "seed": question.seed}


def _host(url: str) -> str:
    return url.removeprefix("http://").rstrip("/")
