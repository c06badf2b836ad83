"""The verb gate: from options to two repositories and a plan; what it writes and prints, and how it ends."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tritonsmith.generator import console
from tritonsmith.generator.errors import AnswerIsNo, UnstableError, UsageError
from tritonsmith.perf.files import write_by_rename, writing
from tritonsmith.perf.folder import sweep_folder
from tritonsmith.perf.gate.contenders import contender
from tritonsmith.perf.gate.core import DEFAULT_TOLERANCES, Side, Tolerance, Word
from tritonsmith.perf.gate.document import DOCUMENT_NAME, GATES, Gate, GatePlan
from tritonsmith.perf.gate.page import render_page
from tritonsmith.perf.gate.run import run_gate
from tritonsmith.perf.gate.self_test import SelfTests, count_verdicts
from tritonsmith.perf.gate.session import GENERATIONS, run_against_stored, store_session
from tritonsmith.perf.gate.setup import Wish
from tritonsmith.perf.gate.spending import LOOKS
from tritonsmith.perf.gate.stored import LEAST_SESSIONS, StoredBaseline, read_baseline, session_values, trend_only
from tritonsmith.perf.gate.text import as_junit, as_markdown, as_step_summary, as_text
from tritonsmith.perf.inputs import Inputs, require_inputs, write_inputs
from tritonsmith.perf.levels import parse_levels
from tritonsmith.perf.measure.input_data import INPUT_NAME
from tritonsmith.perf.prompting import PromptWishes
from tritonsmith.perf.sweep import find_analyzer
from tritonsmith.perf.target import Target

STORED_SUFFIX = ".json"
RECORD_NAME = "self_tests.json"


@dataclass(frozen=True)
class GateOptions:
    """The options of the verb, as given."""

    candidate: str
    baseline: str | None
    repository: Path
    model: str | None
    concurrency: str | None
    request_rate: str | None
    tolerances: tuple[str, ...]
    answers_within: str
    inputs: tuple[str, ...]
    input_data: Path | None
    window_ms: int | None
    budget_s: float
    protocol: Literal["grpc", "http"]
    seed: int
    is_self_test: bool
    output: Path
    save_baseline: Path | None = None


def save_baseline(options: GateOptions, path: Path) -> StoredBaseline:
    """Measure the candidate alone and add it to the stored baseline as one more session."""
    if options.baseline or options.is_self_test:
        raise UsageError(
            "--save-baseline measures one side alone", hint="leave out --baseline and --self-test: gate REPOSITORY"
        )
    with _prepared(options, {"candidate": options.candidate}) as (wish, folder):
        console.say(f"gate: a session of {options.candidate}")
        with console.progress("session", GENERATIONS) as progress:
            return store_session(wish, find_analyzer(), folder, progress, path)


def show_saved(stored: StoredBaseline, path: Path) -> str:
    """Return what was stored, and what it is good for so far."""
    point = (stored.plan.tolerances[0].metric, stored.plan.loads[0])
    sessions = len(session_values(stored.sessions, point))
    count = len(stored.sessions)
    lines = [f"{path}: {stored.plan.model} of {stored.name}, {count} session{'' if count == 1 else 's'}"]
    return "\n".join([*lines, *([trend_only(sessions)] if sessions < LEAST_SESSIONS else [])])


def compare(options: GateOptions) -> Gate:
    """Run the gate that the options ask for; what is wrong with them is told before a server is started."""
    names = _names(options)
    stored = Path(names["baseline"]) if names["baseline"].endswith(STORED_SUFFIX) else None
    if stored:
        read_baseline(stored)
        names = {"candidate": names["candidate"]}
    with _prepared(options, names) as (wish, folder):
        console.say(
            f"gate: {wish.names['candidate']} against {_names(options)['baseline']}, {options.budget_s:g} s at most"
        )
        if stored:
            with console.progress("gate", GENERATIONS) as progress:
                gate = run_against_stored(wish, find_analyzer(), folder, progress, stored)
        else:
            with console.progress("gate", LOOKS[-1]) as progress:
                gate = run_gate(wish, find_analyzer(), folder, progress)
        GATES.write(gate, folder)
        return gate


@contextmanager
def _prepared(options: GateOptions, names: dict[Side, str]) -> Iterator[tuple[Wish, Path]]:
    """Yield what is wished and the folder to work in; what is wrong with the options is told before."""
    plan = _plan(options)
    answers_within = read_share(options.answers_within, "--answers-within")
    inputs = Inputs(options.inputs, options.input_data, PromptWishes(seed=options.seed))
    require_inputs(inputs)
    with ExitStack() as stack:
        folder = stack.enter_context(sweep_folder(options.output))

        def write(model: str, target: Target) -> tuple[Path, str]:
            return write_inputs(inputs, model, target, folder / INPUT_NAME)

        repositories = {side: stack.enter_context(contender(name, options.repository)) for side, name in names.items()}
        yield Wish(plan, names, repositories, write, answers_within, options.is_self_test), folder


def show(gate: Gate, folder: Path, *, form: str) -> str:
    """Write the page, the Markdown and the JUnit file, and the step summary in a GitHub workflow; return the answer."""
    files = {"gate.html": render_page(gate), "gate.md": as_markdown(gate), "gate.xml": as_junit(gate) + "\n"}
    for name, content in files.items():
        write_by_rename(folder / name, content.encode())
    summary = os.environ.get("GITHUB_STEP_SUMMARY")
    if summary:
        with writing(Path(summary)), Path(summary).open("a", encoding="utf-8") as file:
            file.write(as_step_summary(gate))
    record = [str(add_to_record(gate, folder))] if gate.is_self_test else []
    if form == "json":
        return json.dumps(GATES.as_json(gate), indent=2)
    if form == "markdown":
        return files["gate.md"].rstrip()
    page = [f"report: {folder / 'gate.html'}", f"document: {folder / DOCUMENT_NAME}"]
    return "\n".join([as_text(gate), *record, "", *page])


def require_pass(gate: Gate) -> None:
    """End with 1 where the candidate regresses, with 7 where nothing is shown; why was said already.

    Raises: AnswerIsNo, UnstableError.
    """
    if gate.verdict.word == "regress":
        raise AnswerIsNo("")
    if gate.verdict.word == "inconclusive":
        raise UnstableError("")


def add_to_record(gate: Gate, folder: Path) -> SelfTests:
    """Add a self-test's verdict to those before it in the same folder, and return the record."""
    path = folder / RECORD_NAME
    words: list[Word] = json.loads(path.read_bytes()) if path.exists() else []
    words.append(gate.verdict.word)
    write_by_rename(path, (json.dumps(words) + "\n").encode())
    return count_verdicts(words)


def read_tolerances(texts: tuple[str, ...]) -> tuple[Tolerance, ...]:
    """Return the tolerances of "p50=5%" and the like; without any, the default.

    Raises: UsageError.
    """
    pairs = (text.partition("=") for text in texts)
    found = tuple(Tolerance(name, read_share(share, f"--tolerance {name}")) for name, _, share in pairs)
    return found or DEFAULT_TOLERANCES


def read_share(text: str, option: str) -> float:
    """Return the share that "5%" or "0.05" is.

    Raises: UsageError.
    """
    try:
        share = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        share = -1.0
    if not 0 <= share < 1:
        raise UsageError(f"{option}: '{text}' is no share", hint="write 5% or 0.05")
    return share


def _plan(options: GateOptions) -> GatePlan:
    return GatePlan(
        model=options.model or "",
        loads=parse_levels(options.concurrency, options.request_rate, "4"),
        tolerances=read_tolerances(options.tolerances),
        window_ms=options.window_ms or 0,
        budget_s=options.budget_s,
        seed=options.seed,
        protocol=options.protocol,
    )


def _names(options: GateOptions) -> dict[Side, str]:
    if options.is_self_test:
        if options.baseline:
            raise UsageError("--self-test compares the candidate with itself", hint="leave out --baseline")
        return {"baseline": options.candidate, "candidate": options.candidate}
    if not options.baseline:
        hint = "--baseline REPOSITORY, or a git revision such as main; --self-test compares it with itself"
        raise UsageError("compared with what?", hint=hint)
    return {"baseline": options.baseline, "candidate": options.candidate}
