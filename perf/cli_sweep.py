"""The verb sweep: from options to a target and a plan, and what it prints."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tritonsmith.backends.server.embedded import embedded_server
from tritonsmith.generator import console
from tritonsmith.generator.errors import AnswerIsNo, RepositoryError, UnstableError, UsageError
from tritonsmith.perf.document import DOCUMENT_NAME, Sweep, SweepPlan
from tritonsmith.perf.executors.cli import require_executor, spread
from tritonsmith.perf.executors.core import Outstanding
from tritonsmith.perf.folder import sweep_folder
from tritonsmith.perf.inputs import require_inputs, write_asked
from tritonsmith.perf.measure.input_data import INPUT_NAME
from tritonsmith.perf.measure.load import Load
from tritonsmith.perf.report.answers import answer_line
from tritonsmith.perf.report.tables import as_report_json, name_of, table_text
from tritonsmith.perf.report.write import write_report
from tritonsmith.perf.served import is_decoupled, only_model, read_configs
from tritonsmith.perf.slo.core import Span
from tritonsmith.perf.slo.run import run_search
from tritonsmith.perf.summary import UNSTABLE_SHARE, summarise
from tritonsmith.perf.sweep import find_analyzer, replay_plan, run_sweep, set_up
from tritonsmith.perf.sweep_options import SweepOptions, read_goals, read_inputs, read_loads, read_replay, read_search
from tritonsmith.perf.target import Target, embedded_target
from tritonsmith.perf.trace import parse_speed
from tritonsmith.perf.undoing import running_target
from tritonsmith.perf.variants import parse_variation, require_variations


def measure(options: SweepOptions) -> Sweep | Outstanding:
    """Run the sweep that the options ask for; what is wrong with them is told before a server is started.

    Where others are to measure it, it may be outstanding.
    """
    require_executor(options)
    limits_ms, spans = read_search(options)
    times_s = read_replay(options)
    loads = tuple(Load(span.kind, span.start or span.low) for span in spans) or read_loads(options)
    variations = tuple(parse_variation(text) for text in options.vary)
    goals = read_goals(options.goals)
    inputs = read_inputs(options)
    require_inputs(inputs)
    if not options.url:
        require_variations(variations, models_of(options.repository))
    find_analyzer()
    with sweep_folder(options.output) as folder, ExitStack() as serving:
        target = serving.enter_context(target_of(options))
        model = options.model or only_model(target.control)
        input_data, words = write_asked(inputs, model, target, folder / INPUT_NAME)
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
            prompts="" if inputs.given or inputs.file else words,
            slo=limits_ms,
            price_per_hour=options.price_per_hour,
        )
        if spans:
            return search(plan, spans, target, folder)
        if times_s and options.trace:
            plan = replay_plan(plan, options.trace.name, times_s, parse_speed(options.speed))
        if options.executor != "local":
            return spread(options, set_up(plan, target, folder), serving)
        console.say(f"{plan.model}: {plan.cells} cells, about {plan.seconds:.0f} s")
        with console.progress("sweep", plan.cells) as progress:
            return run_sweep(plan, target, folder, progress, times_s)


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


def models_of(repository: Path) -> list[str]:
    """Return the names of a repository's models.

    Raises: RepositoryError where there is no repository.
    """
    if not repository.is_dir():
        hint = "`tritonsmith build` makes one, --repository names another, --url measures a running server"
        raise RepositoryError(f"no model repository in {repository}", hint=hint)
    return sorted(entry.name for entry in repository.iterdir() if entry.is_dir() and entry.name[0] != ".")


def show(sweep: Sweep | Outstanding, folder: Path, *, is_json: bool) -> str:
    """Write the page and return what is printed; of what is outstanding, what is to be done."""
    if not isinstance(sweep, Sweep):
        return json.dumps(sweep.as_json(), indent=2) if is_json else sweep.text()
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


def require_answers(sweep: Sweep | Outstanding) -> None:
    """End with another status than 0 where something is missing, a limit is not kept, or a point is unstable.

    Raises: AnswerIsNo, UnstableError.
    """
    if isinstance(sweep, Sweep):
        require_stable(sweep)
    else:
        sweep.require_all()


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


@contextmanager
def target_of(options: SweepOptions) -> Iterator[Target]:
    """Give the server that is named, else serve the repository meanwhile."""
    if options.url:
        yield running_target(options.url, options.grpc_url)
        return
    with embedded_server(options.repository) as server:
        yield embedded_target(server)
