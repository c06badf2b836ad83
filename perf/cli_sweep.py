"""The verb sweep: from options to a target and a plan, and what it prints."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal

from tritonsmith.backends.server.embedded import embedded_server
from tritonsmith.generator import console
from tritonsmith.generator.errors import AnswerIsNo, RepositoryError, UnstableError, UsageError
from tritonsmith.generator.suggest import did_you_mean
from tritonsmith.perf.commands import DEFAULT_CONCURRENCY
from tritonsmith.perf.document import DOCUMENT_NAME, Sweep, SweepPlan
from tritonsmith.perf.executors.cli import require_executor, spread
from tritonsmith.perf.folder import sweep_folder
from tritonsmith.perf.limits import TIMES, parse_limits
from tritonsmith.perf.measure.given_inputs import expand_inputs, write_given_inputs
from tritonsmith.perf.measure.input_data import INPUT_NAME, require_input_data
from tritonsmith.perf.measure.lengths import parse_lengths
from tritonsmith.perf.measure.load import MAX_LOAD, Load, LoadKind
from tritonsmith.perf.measure.streams import Goals
from tritonsmith.perf.overrides import running_target
from tritonsmith.perf.prompting import PromptWishes, write_prompts
from tritonsmith.perf.replay import replay_plan, run_replay
from tritonsmith.perf.report.answers import answer_line
from tritonsmith.perf.report.tables import as_report_json, name_of, table_text
from tritonsmith.perf.report.write import write_report
from tritonsmith.perf.served import is_decoupled, only_model, read_configs
from tritonsmith.perf.slo.core import Span
from tritonsmith.perf.slo.run import run_search
from tritonsmith.perf.slo.spans import read_spans
from tritonsmith.perf.summary import UNSTABLE_SHARE, summarise
from tritonsmith.perf.sweep import find_analyzer, run_sweep, set_up
from tritonsmith.perf.target import Target, embedded_target
from tritonsmith.perf.trace import parse_speed, read_trace, replayed_times, require_replayable
from tritonsmith.perf.variants import parse_variation, require_variations


@dataclass(frozen=True)
class SweepOptions:
    """The options of the verb, as given."""

    model: str | None
    url: str | None
    grpc_url: str | None
    repository: Path
    concurrency: str | None
    request_rate: str | None
    repeats: int
    window_ms: int
    vary: tuple[str, ...]
    inputs: tuple[str, ...]
    input_data: Path | None
    prompts: Path | None
    prompt_tokens: str | None
    output_tokens: str | None
    tokenizer: Path | None
    goals: tuple[str, ...]
    protocol: Literal["grpc", "http"]
    seed: int
    output: Path
    slo: tuple[str, ...] = ()
    mix: str | None = None
    trace: Path | None = None
    speed: str = "1x"
    price_per_hour: float = 0.0
    executor: Literal["local", "ray"] = "local"
    ray_address: str | None = None
    workers: int | None = None


def measure(options: SweepOptions) -> Sweep:
    """Run the sweep that the options ask for; what is wrong with them is told before a server is started."""
    require_executor(options)
    limits_ms, spans = read_search(options)
    times_s = read_replay(options)
    loads = tuple(Load(span.kind, span.start or span.low) for span in spans) or read_loads(options)
    variations = tuple(parse_variation(text) for text in options.vary)
    goals = read_goals(options.goals)
    require_inputs(options)
    if not options.url:
        require_variations(variations, models_of(options.repository))
    find_analyzer()
    with sweep_folder(options.output) as folder, ExitStack() as serving:
        target = serving.enter_context(target_of(options))
        model = options.model or only_model(target.control)
        input_data, prompts = _input_data(options, model, target, folder)
        plan = SweepPlan(
            model=model,
            loads=loads,
            repeats=options.repeats,
            window_ms=options.window_ms,
            protocol=options.protocol,
            input_data=input_data,
            seed=options.seed,
            variations=variations,
            goals=goals,
            prompts=prompts,
            slo=limits_ms,
            price_per_hour=options.price_per_hour,
        )
        if spans:
            return search(plan, spans, target, folder)
        if times_s and options.trace:
            plan = replay_plan(plan, options.trace.name, times_s, parse_speed(options.speed))
        if options.executor == "ray":
            return spread(options, set_up(plan, target, folder), serving)
        console.say(f"{plan.model}: {plan.cells} cells, about {plan.seconds:.0f} s")
        with console.progress("sweep", plan.cells) as progress:
            if times_s:
                return run_replay(plan, times_s, target, folder, progress)
            return run_sweep(plan, target, folder, progress)


def read_replay(options: SweepOptions) -> tuple[float, ...]:
    """Return when the requests of --trace are to be sent, in seconds; nothing without it.

    Raises: UsageError.
    """
    if options.trace is None:
        if options.speed != "1x":
            raise UsageError("--speed is that of a --trace", hint="name one: --trace FILE")
        return ()
    for name in ("concurrency", "request_rate", "slo"):
        if getattr(options, name):
            raise UsageError(f"--{name.replace('_', '-')} and --trace exclude each other", hint="a trace is a load")
    arrivals = read_trace(options.trace)
    require_replayable(arrivals)
    if any(one.prompt_tokens or one.output_tokens for one in arrivals):
        console.say(
            "note: the trace's arrivals are replayed, not its lengths; --prompt-tokens, --output-tokens say them"
        )
    return replayed_times(arrivals, parse_speed(options.speed))


def read_search(options: SweepOptions) -> tuple[dict[str, float], tuple[Span, ...]]:
    """Return the limits of --slo by metric ("p99_ms": 50), and what is searched for them; nothing without --slo.

    Raises: UsageError.
    """
    limits = parse_limits(options.slo, "--slo", tuple(TIMES))
    if not limits:
        return {}, ()
    if options.vary:
        hint = "`tritonsmith tune` finds the best configuration under limits"
        raise UsageError("--slo and --vary exclude each other", hint=hint)
    return {limit.metric: limit.at_most for limit in limits}, read_spans(options.concurrency, options.request_rate)


def search(plan: SweepPlan, spans: Sequence[Span], target: Target, folder: Path) -> Sweep:
    """Find the highest load within the plan's limits."""
    if {"ttft_ms", "tpot_ms"} & plan.slo.keys() and not is_decoupled(read_configs(target.control, plan.model)):
        hint = "limit p99 instead: --slo p99=50ms"
        raise UsageError(f"--slo: '{plan.model}' is not decoupled, so its answers have no TTFT or TPOT", hint=hint)
    console.say(f"{plan.model}: {' and '.join(map(str, spans))}, at most {plan.repeats} measurements of a level")
    with console.progress("sweep", 0) as progress:
        done = run_search(plan, spans, target, folder, progress)
    if not done.cells:  # the server refused requests at every level: there is nothing to report
        require_answer(done)
    return done


def require_inputs(options: SweepOptions) -> None:
    """Refuse inputs that need no server to be refused.

    Raises: UsageError.
    """
    if options.inputs and options.input_data:
        raise UsageError("--input and --input-data exclude each other", hint="--input-data holds every input")
    read_prompt_wishes(options)
    expand_inputs(options.inputs)
    if options.input_data:
        require_input_data(options.input_data)


def read_prompt_wishes(options: SweepOptions) -> PromptWishes:
    """Return what the options ask of prompts.

    Raises: UsageError for lengths that are none, and for options that exclude each other.
    """
    wishes = PromptWishes(
        options.prompts,
        parse_lengths(options.prompt_tokens, "--prompt-tokens") if options.prompt_tokens is not None else None,
        parse_lengths(options.output_tokens, "--output-tokens") if options.output_tokens is not None else None,
        options.tokenizer,
        options.seed,
    )
    if wishes and (options.inputs or options.input_data):
        given = "--input" if options.inputs else "--input-data"
        raise UsageError(f"{given} leaves no room for prompts", hint=f"leave out {given}, or the options on prompts")
    if wishes.file and wishes.prompt_tokens:
        raise UsageError("--prompts and --prompt-tokens exclude each other", hint="the file's prompts are as they are")
    return wishes


def models_of(repository: Path) -> list[str]:
    """Return the names of a repository's models.

    Raises: RepositoryError where there is no repository.
    """
    if not repository.is_dir():
        hint = "`tritonsmith build` makes one, --repository names another, --url measures a running server"
        raise RepositoryError(f"no model repository in {repository}", hint=hint)
    return sorted(entry.name for entry in repository.iterdir() if entry.is_dir() and entry.name[0] != ".")


def show(sweep: Sweep, folder: Path, *, is_json: bool) -> str:
    """Write the page and return what is printed."""
    page = write_report(sweep, folder / "report.html")
    if is_json:
        return json.dumps(as_report_json(sweep), indent=2)
    return f"{table_text(sweep)}\n\nreport: {page}\ndocument: {folder / DOCUMENT_NAME}"


def require_answer(sweep: Sweep) -> None:
    """End with 1 where not even the lowest load keeps the limits, with 7 where the highest cannot be told.

    Raises: AnswerIsNo, UnstableError.
    """
    for answer in sweep.answers:
        if answer.outcome == "none":
            raise AnswerIsNo(answer_line(sweep.plan, answer))
        if answer.outcome == "unclear":
            hint = "measure longer: a longer --window-ms or more --repeats; or on a quieter machine"
            raise UnstableError(answer_line(sweep.plan, answer), hint=hint)


def require_stable(sweep: Sweep) -> None:
    """End with 7 where a point is unstable; a search has weighed that itself.

    Raises: UnstableError.
    """
    if sweep.plan.slo:
        require_answer(sweep)
        return
    unstable = [name_of(point) for point in summarise(sweep) if point.is_unstable]
    if unstable:
        raise UnstableError(
            f"throughput or p50 varies by more than {UNSTABLE_SHARE:.0%} between repeats at {'; '.join(unstable)}",
            hint="measure on a quieter machine, or with more --repeats or a longer --window-ms",
        )


def read_loads(options: SweepOptions) -> tuple[Load, ...]:
    """Return the levels of load, each once; without any, the default concurrencies.

    Raises: UsageError.
    """
    concurrency = options.concurrency or ("" if options.request_rate else DEFAULT_CONCURRENCY)
    return parse_levels(concurrency, options.request_rate or "")


def parse_levels(concurrency: str, request_rate: str) -> tuple[Load, ...]:
    """Return the levels of "1,2,4" and of "100,200", each once.

    Raises: UsageError.
    """
    return tuple(dict.fromkeys([*_levels("concurrency", concurrency), *_levels("request_rate", request_rate)]))


def read_goals(texts: Sequence[str]) -> Goals:
    """Return the goals of `ttft_ms=200`, `tpot_ms=50`, `latency_ms=2000`, each given once at most.

    Raises: UsageError.
    """
    names = [field.name for field in fields(Goals)]
    limits: dict[str, float] = {}
    for text in texts:
        name, _, value = text.partition("=")
        if name not in names:
            hint = f"there are {', '.join(names)}; write --goal {names[0]}=200"
            raise UsageError(f"--goal: '{name}' is no time of an answer.{did_you_mean(name, names)}", hint=hint)
        try:
            limit_ms = float(value)
        except ValueError:
            limit_ms = math.nan
        if not 0 < limit_ms < math.inf or name in limits:
            why = "is given twice" if name in limits else "is no number of milliseconds above 0"
            raise UsageError(f"--goal: '{text}' {why}", hint=f"write --goal {name}=200")
        limits[name] = limit_ms
    return Goals(**limits)


def grpc_beside(http_url: str) -> str:
    """Return where Triton answers gRPC by default: the port after HTTP's.

    Raises: UsageError where the URL has no port.
    """
    host, separator, port = http_url.removeprefix("http://").rstrip("/").rpartition(":")
    if not separator or not port.isdigit():
        raise UsageError(f"--url '{http_url}' has no port", hint="write HOST:PORT, e.g. localhost:8000")
    return f"{host}:{int(port) + 1}"


def _levels(kind: LoadKind, text: str) -> Iterator[Load]:
    for word in filter(None, text.split(",")):
        try:
            value = float(word)
        except ValueError:
            value = math.nan
        is_good = 0 < value <= MAX_LOAD[kind] and (kind == "request_rate" or value == int(value))  # not where it is NaN
        if not is_good:
            number = "a whole number" if kind == "concurrency" else "a number"
            limits = f"{number} above 0, up to {MAX_LOAD[kind]:,}"
            raise UsageError(f"--{kind.replace('_', '-')}: '{word}' is not {limits}", hint="e.g. 1,2,4")
        yield Load(kind, value)


def _input_data(options: SweepOptions, model: str, target: Target, folder: Path) -> tuple[Path | None, str]:
    """Return the input data's file, None where all is to be made up, and how its prompts were made."""
    if options.inputs:
        return write_given_inputs(options.inputs, model, target.http_url, folder / INPUT_NAME), ""
    if options.input_data:
        return options.input_data, ""
    return write_prompts(read_prompt_wishes(options), model, target, folder / INPUT_NAME)


@contextmanager
def target_of(options: SweepOptions) -> Iterator[Target]:
    """Give the server that is named, else serve the repository meanwhile."""
    if options.url:
        http_url = options.url.removeprefix("http://").rstrip("/")
        yield running_target(http_url, options.grpc_url or grpc_beside(options.url))
        return
    with embedded_server(options.repository) as server:
        yield embedded_target(server)
