"""The verb tune: from options to a server and candidates; what it writes, prints, and how it ends."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tritonsmith.ensembles.commands import DEFAULT_SPEC
from tritonsmith.generator import console
from tritonsmith.generator.errors import AnswerIsNo, UnstableError
from tritonsmith.perf.folder import keeping, sweep_folder
from tritonsmith.perf.inputs import require_inputs, write_inputs
from tritonsmith.perf.measure.analyzer import AnalyzerTool, analyzer_version
from tritonsmith.perf.measure.input_data import INPUT_NAME
from tritonsmith.perf.measure.machine import read_environment
from tritonsmith.perf.served import only_model, read_configs, the_model
from tritonsmith.perf.sweep import find_analyzer
from tritonsmith.perf.target import Target, embedded_target
from tritonsmith.perf.tune.arena.journal import JOURNAL_NAME
from tritonsmith.perf.tune.arena.live import live_arena
from tritonsmith.perf.tune.arena.server import tuning_server
from tritonsmith.perf.tune.arena.watched import Watched
from tritonsmith.perf.tune.clock import Clock
from tritonsmith.perf.tune.core import Arena, Candidate, Found, Predict, Wish
from tritonsmith.perf.tune.document import DOCUMENT_NAME, TUNINGS, Expectation, TunePlan, Tuning
from tritonsmith.perf.tune.options import (
    TuneOptions,
    read_inputs,
    read_variations,
    read_wish,
    require_place,
    words_of,
)
from tritonsmith.perf.tune.report.page import write_page
from tritonsmith.perf.tune.report.text import as_text
from tritonsmith.perf.tune.search.search import search
from tritonsmith.perf.tune.space.candidates import Space, candidates_of, configs_of
from tritonsmith.perf.tune.subject import Subject, built_subject, served_subject
from tritonsmith.perf.tune.write_back import patch_of, write_pick
from tritonsmith.perf.undoing import running_target

END_S = 3.0  # of the budget: to write what was found, and to end the server and this process
CALIBRATION_SHARE = 1 / 3  # of the budget that is left once a server runs; less does where that is plenty
UNDO_S = 1.5  # for each model of a server that is not ours


@dataclass(frozen=True)
class Measured:
    """What came of the search on a server, before anything is written."""

    plan: TunePlan
    found: Found
    server: str
    expectations: tuple[Expectation, ...]
    notices: tuple[str, ...]


def tune(options: TuneOptions) -> Tuning:
    """Find what the options ask for and write it into the spec; what is wrong with them is told before a server starts.

    Raises: UsageError, SpecError, RepositoryError, ToolMissingError, ServerError; what was measured until then is kept.
    """
    clock = Clock()
    require_place(options)
    require_inputs(read_inputs(options))
    tool, spec = find_analyzer(), options.spec or (None if options.url else DEFAULT_SPEC)
    with sweep_folder(options.output) as folder:
        subject = built_subject(spec, folder, options.profile) if spec else None
        wish = read_wish(options, subject.wanted if subject else None)
        space = _space(subject, options) if subject else None
        with keeping(folder, lambda: "what was measured is" if _has_answers(folder) else ""):
            measured = _measure(options, wish, subject, space, tool, folder, clock)
        tuning = _written(options, measured, spec, tool, clock)
        TUNINGS.write(tuning, folder)
        return tuning


def show(tuning: Tuning, folder: Path, *, is_json: bool) -> str:
    """Write the page and return what is printed."""
    page = write_page(tuning, folder)
    if is_json:
        return json.dumps(TUNINGS.as_json(tuning), indent=2)
    return f"{as_text(tuning)}\n\nreport: {page}\ndocument: {folder / DOCUMENT_NAME}"


def require_pick(tuning: Tuning) -> None:
    """End with 7 where the budget was out before anything could be told apart, with 1 where nothing keeps the limits.

    Why was said already.

    Raises: AnswerIsNo, UnstableError.
    """
    if tuning.is_inconclusive:
        raise UnstableError("")
    if tuning.found.pick is None:
        raise AnswerIsNo("")


def _has_answers(folder: Path) -> bool:
    journal = folder / JOURNAL_NAME
    return journal.exists() and len(journal.read_bytes().splitlines()) > 1  # beyond the head


def _space(subject: Subject, options: TuneOptions) -> Space:
    """Return the candidates of a subject, and say what was left out of them."""
    model = options.model or the_model(configs_of(subject.repository))
    variations = read_variations(options, subject.wanted)
    cores = len(os.sched_getaffinity(0))
    space = candidates_of(subject.repository, model, variations, cores=cores, variants=subject.variants)
    for note in space.notes:
        console.say(f"note: {note}")
    for reason, count in space.dropped.items():
        console.say(f"note: {count} combination{'s'[: count != 1]} left out: {reason}")
    return space


def _measure(
    options: TuneOptions,
    wish: Wish,
    subject: Subject | None,
    space: Space | None,
    tool: AnalyzerTool,
    folder: Path,
    clock: Clock,
) -> Measured:
    with _target(options, subject) as target:
        model = options.model or (the_model(configs_of(subject.repository)) if subject else only_model(target.control))
        space = space or _space(served_subject(target, model), options)
        inputs, sent = write_inputs(read_inputs(options), model, target, folder / INPUT_NAME)
        plan = _plan(options, wish, subject, model, sent)
        version = str(target.control.server_metadata().get("version", "unknown"))
        notices = target.notices(list(read_configs(target.control, model)))
        with live_arena(
            target, model, inputs, tool, folder, limits=wish.limits, begun_s=clock.begun_s, seed=options.seed
        ) as arena:
            clock.add("build and start" if subject else "start", arena.spent_s)
            console.say(f"{model}: {len(space.candidates)} configurations, {options.budget_s:g} s at most")
            budget_s = options.budget_s - (END_S if target.server else END_S + UNDO_S * len(arena.bench.changes.base))
            until_s = clock.spent_s + CALIBRATION_SHARE * (budget_s - clock.spent_s)
            predict = arena.calibrate(space.candidates, until_s=until_s)
            clock.add("calibration", arena.spent_s)
            found = _search(arena, space.candidates, wish, predict, options, budget_s=budget_s)
            clock.add("search", found.spent_s)
            clock.earlier_s = max(0.0, found.spent_s - (time.monotonic() - clock.begun_s))
            measured = Measured(plan, found, version, tuple(_expectations(found, predict)), notices)
            if target.server is not None:
                target.server.process.kill()  # no request is in flight, nobody else uses it: nothing is to be undone
        return measured


def _plan(options: TuneOptions, wish: Wish, subject: Subject | None, model: str, sent: str) -> TunePlan:
    """Return what is asked for, as the document keeps it; `sent` says in words what the input was."""
    return TunePlan(
        model=model,
        wish=wish,
        budget_s=options.budget_s,
        seed=options.seed,
        spec=str(options.spec or ("" if options.url else DEFAULT_SPEC)),
        profile=options.profile,
        url=options.url or "",
        vary=tuple(map(words_of, read_variations(options, subject.wanted if subject else None))),
        input_data=sent,
    )


def _search(
    arena: Arena,
    candidates: Sequence[Candidate],
    wish: Wish,
    predict: Predict,
    options: TuneOptions,
    *,
    budget_s: float,
) -> Found:
    with console.progress("tune", round(options.budget_s)) as progress:
        watched = Watched(arena, progress)
        return search(candidates, wish, watched, predict, budget_s=budget_s, seed=options.seed)


def _expectations(found: Found, predict: Predict) -> Iterator[Expectation]:
    """Yield what is predicted wherever something was measured."""
    candidates = {standing.candidate.name: standing.candidate for standing in found.standings}
    for name, load in dict.fromkeys((trial.candidate, trial.load) for trial in found.trials if not trial.failure):
        yield Expectation(name, load, predict(candidates[name], load))


def _written(options: TuneOptions, measured: Measured, spec: Path | None, tool: AnalyzerTool, clock: Clock) -> Tuning:
    """Return the tuning; its pick is in the spec then, where one is to be written."""
    tuning = Tuning(
        plan=measured.plan,
        environment=read_environment(measured.server, analyzer_version(tool)),
        found=measured.found,
        started_at=clock.started_at,
        seconds=0.0,
        phases=(),
        expectations=measured.expectations,
        notices=measured.notices,
    )
    pick, change, is_written = measured.found.pick, "", False
    if pick is not None and spec is not None:
        change = patch_of(spec, pick, profile=options.profile)
        if change and not options.is_patch and not tuning.is_inconclusive:
            is_written = write_pick(spec, pick, profile=options.profile)
    clock.add("end", max(clock.spent_s, clock.earlier_s + time.monotonic() - clock.begun_s))
    return replace(
        tuning, seconds=round(clock.spent_s, 1), phases=tuple(clock.phases), change=change, is_written=is_written
    )


@contextlib.contextmanager
def _target(options: TuneOptions, subject: Subject | None) -> Iterator[Target]:
    """Give the running server that is named, else one of our own for what was built."""
    if options.url:
        yield running_target(options.url, options.grpc_url)
    elif subject is not None and subject.folder is not None:
        with tuning_server(subject.folder) as server:
            yield embedded_target(server)
