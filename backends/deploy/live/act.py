"""A roll-out step by step: put, load, verify; and the way back, from wherever it stands."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tritonsmith.backends.client.base import Client
from tritonsmith.backends.client.control import Control
from tritonsmith.backends.deploy.live import smoke
from tritonsmith.backends.deploy.live.core import Place, Plan, Running, Unit, Wanted
from tritonsmith.backends.deploy.live.journal import Entry, Journal
from tritonsmith.backends.deploy.live.plan import affected
from tritonsmith.backends.deploy.live.smoke import Smoke
from tritonsmith.backends.deploy.live.verify import (
    is_as_before,
    is_loading,
    reason_of,
    require_ready,
    wait_until_loaded,
)
from tritonsmith.backends.server import log
from tritonsmith.generator import console
from tritonsmith.generator.errors import AnswerIsNo, ServerError

LIVE_TRIES = 3
RETRIES = 2  # of a way back: Triton may still be ending what was half loaded


@dataclass(frozen=True)
class Site:
    """Where a roll-out happens: the server over both protocols, the place of the models, the journal, the limits.

    `requests` are the user's, by model; `explain` says what is known of why a model's configuration is refused.
    """

    control: Control
    client: Client
    place: Place
    journal: Journal
    load_limit_s: float
    requests: smoke.Requests = field(default_factory=dict)
    folder: Path = Path()  # to which "@FILE" in them is relative
    explain: Callable[[str], str] = lambda _: ""

    def ask(self, model: str) -> Smoke:
        """Send a model its request."""
        return smoke.ask(self.client, model, self.requests.get(model, ()), self.folder)


def roll_out(plan: Plan, wanted: Mapping[str, Wanted], running: Mapping[str, Running], site: Site) -> list[str]:
    """Carry out a plan and return what is to be said of it; where anything fails, all is as it was before.

    Raises: AnswerIsNo where it was rolled back, with Triton's reason; ServerError where that failed too; whatever
    interrupted it, rolled back.
    """
    begun: list[Unit] = []
    stuck: set[str] = set()
    changed = {step.model for step in plan.steps}
    above = affected(changed, running, wanted)
    again = [name for unit in plan.units for name in unit.loads]
    before = {name: running.get(name, Running({})) for name in (*changed, *above, *again)}
    answers = {name: site.ask(name) for name, one in before.items() if one.ready}
    wait_until_loaded(site.control, changed, site.load_limit_s)
    site.journal.write(begun, before)
    try:
        site.place.prepare(plan, wanted, running)
        notes = []
        with console.progress("rolling out", total=len(plan.units)) as bar:
            for unit in plan.units:
                bar.update(len(begun), ", ".join(unit.models))
                begun.append(unit)
                site.journal.write(begun, before)
                site.place.put(unit)
                for model in unit.loads:
                    _load(model, site, stuck)
                others = [name for name in affected(unit.models, running, wanted) if name not in changed]
                notes += _verify(unit, others, answers, before, site)
        for step in plan.steps:
            require_ready(site.control, step.model, step.expected, site.load_limit_s)
        site.journal.write(begun, before, is_settled=True)
    except BaseException as problem:
        left = roll_back(Entry(False, tuple(begun), before), site, stuck)
        if isinstance(problem, ServerError):
            raise AnswerIsNo(
                f"rolled back: {problem.message}{left}", hint=problem.hint, where=problem.where
            ) from problem
        raise
    site.place.finish(plan)
    site.journal.remove()
    return list(dict.fromkeys(notes))


def roll_back(entry: Entry, site: Site, stuck: Collection[str] = ()) -> str:
    """Bring back what ran before, the last change first; return what is to be said of it, mostly nothing.

    Of the models in `stuck` a load has not ended: the one that brings back what was there has to stand behind it.

    Raises: ServerError with the state of what could not be brought back; then it stays written down.
    """
    if not entry.touched:
        site.place.discard()
        site.journal.remove()
        return ""
    _wait_for_loads([name for name in entry.models if name not in stuck], site)
    site.place.take_back(entry.models)
    if not any(site.control.is_live() for _ in range(LIVE_TRIES)):
        site.place.discard()
        site.journal.remove()
        raise ServerError(
            "the server has ended, or answers no more; what it loads models from is as before",
            where=site.control.url,
            hint="restart it: it then serves what lies there; what was uploaded to it earlier is gone",
        )
    said = ""
    for unit in reversed(entry.touched):
        for model in _ways_back(unit, entry.before):
            said = _restore(model, entry.before[model], site, is_stuck=model in stuck) or said
    left = _not_as_before(entry, site)
    for model in left * RETRIES:
        said = _restore(model, entry.before[model], site) or said
    if left and (left := _not_as_before(entry, site)):
        states = "; ".join(f"'{name}' {_state(name, entry.before[name], site)}" for name in left)
        raise ServerError(
            f"could not roll back: {states}{said}",
            where=site.control.url,
            hint="run deploy again: it finds what is left to be undone and tries it first",
        )
    site.place.discard()
    site.journal.remove()
    return said


def recover(site: Site, *, is_dry: bool) -> str:
    """Finish or undo what a killed deploy left, and return what was done, or would be; empty where nothing was left.

    Raises: ServerError where it cannot be undone.
    """
    entry = site.journal.read()
    if entry is None:
        if not is_dry:
            site.place.discard()
        return ""
    models = ", ".join(f"'{name}'" for name in entry.models) or "nothing"
    if entry.is_settled:
        if not is_dry:
            site.place.finish(Plan(entry.touched))
            site.journal.remove()
        return f"an earlier deploy was interrupted once {models} had been verified: {_verb(is_dry)} finished"
    if not is_dry:
        roll_back(entry, site)
    return f"an earlier deploy was interrupted while it changed {models}: {_verb(is_dry)} rolled back"


def _wait_for_loads(models: Collection[str], site: Site) -> None:
    """Wait for loads that go on, of a command that was killed or interrupted, as long as a load may take.

    A Python model whose files are taken away while its process starts is waited for by Triton without end.
    """
    with contextlib.suppress(ServerError):
        wait_until_loaded(site.control, models, site.load_limit_s)


def _verb(is_dry: bool) -> str:
    return "it would be" if is_dry else "it was"


def _load(model: str, site: Site, stuck: set[str]) -> None:
    """Load a model; one whose load does not end is added to `stuck`.

    Raises: ServerError in words that say what is to be done.
    """
    try:
        site.place.load(model, site.load_limit_s)
    except ServerError as problem:
        if isinstance(problem.__cause__, TimeoutError):
            stuck.add(model)
            raise ServerError(
                f"'{model}' did not load within {site.load_limit_s:g} s",
                hint="if it only needs longer, raise --load-limit",
            ) from problem
        raise ServerError(f"'{model}' does not load: {_why(model, problem, site)}", hint=problem.hint) from problem


def _why(model: str, problem: ServerError, site: Site) -> str:
    if not log.is_poll_failure(problem.message):
        return reason_of(problem.message)
    known = site.explain(model)
    return known or (
        "Triton refuses its configuration or its folder and gives the reason in its log alone "
        f"(\"Poll failed for model directory '{model}'\")"
    )


def _verify(
    unit: Unit, above: list[str], answers: Mapping[str, Smoke], before: Mapping[str, Running], site: Site
) -> list[str]:
    """Return what is to be said of models that changed, and of those above them, all of which answer.

    Raises: ServerError for the first that does not.
    """
    notes = []
    for step in unit.steps:
        require_ready(site.control, step.model, step.expected, site.load_limit_s)
    for name in above:
        require_ready(site.control, name, before[name].ready, site.load_limit_s)
    for name in (*unit.models, *above):
        now = site.ask(name)
        if why := smoke.judge(now, answers.get(name), is_given=name in site.requests):
            raise ServerError(f"'{name}' {why}")
        notes.append(smoke.note_of(name, now))
    return [note for note in notes if note]


def _ways_back(unit: Unit, before: Mapping[str, Running]) -> list[str]:
    """Return the models by whose loading a unit comes back: first those that were there, together as they were put."""
    loads = [name for name in reversed(unit.loads) if before[name].ready]
    rest = [name for name in reversed(unit.models) if name not in loads]
    return list(dict.fromkeys([*loads, *rest]))


def _restore(model: str, before: Running, site: Site, *, is_stuck: bool = False) -> str:
    """Load a model as it was, unless it is; return what is to be said of it."""
    try:
        if is_stuck or is_loading(site.control, model) or not is_as_before(site.control, model, before):
            site.place.restore(model, before, site.load_limit_s)
    except ServerError as problem:
        if isinstance(problem.__cause__, TimeoutError):
            return (
                f"; Triton is still busy with that load of '{model}', which nobody can stop: loads of '{model}' wait "
                "behind it, the one that brings back what was there first"
            )
        return f"; '{model}': {reason_of(problem.message)}"
    return ""


def _not_as_before(entry: Entry, site: Site) -> list[str]:
    found = []
    for name, before in entry.before.items():
        try:
            require_ready(site.control, name, before.ready, site.load_limit_s)
            is_back = is_as_before(site.control, name, before)
        except ServerError:
            is_back = False
        found += [] if is_back else [name]
    return found


def _state(name: str, before: Running, site: Site) -> str:
    lines = [line for line in site.control.index() if line.name == name and line.state]
    states = ", ".join(f"version {line.version} {line.state}" for line in lines) or "not loaded"
    return f"is {states}; before: version {', '.join(map(str, before.ready)) or 'none'}"
