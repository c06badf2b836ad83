"""A roll-out step by step: put, load, verify; and the way back, from wherever it stands."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from tritonsmith.backends.client.alone import server_key
from tritonsmith.backends.client.base import Client
from tritonsmith.backends.client.control import Control
from tritonsmith.backends.client.infer import Call
from tritonsmith.backends.deploy.live import smoke
from tritonsmith.backends.deploy.live.core import Channel, Plan, Proof, Running, Unit, Wanted
from tritonsmith.backends.deploy.live.differences import differences
from tritonsmith.backends.deploy.live.journal import Entry, Journal
from tritonsmith.backends.deploy.live.judge import Smoke, judge, prove
from tritonsmith.backends.deploy.live.observe import observe
from tritonsmith.backends.deploy.live.plan import affected
from tritonsmith.backends.deploy.live.upload import mark
from tritonsmith.backends.deploy.live.verify import (
    is_as_before,
    is_loading,
    ready_versions,
    reason_of,
    require_ready,
    wait_until_loaded,
)
from tritonsmith.backends.server import log
from tritonsmith.generator import console
from tritonsmith.generator.errors import AnswerIsNo, ServerError, UsageError

LIVE_LIMIT_S = 5.0  # so long a server may be silent
LIVE_PERIOD_S = 0.25
RETRIES = 2  # of a way back: Triton may still be ending what was half loaded


@dataclass(frozen=True)
class Site:
    """Where a roll-out happens: the server over both protocols, the channel to it, the journal, the limits.

    `requests` are the user's, by model; `explain` says what is known of why a model's configuration is refused.
    """

    control: Control
    client: Client
    channel: Channel
    journal: Journal
    load_limit_s: float
    requests: smoke.Requests = field(default_factory=dict)
    folder: Path = Path()  # to which "@FILE" in them is relative
    explain: Callable[[str], str] = lambda _: ""

    def ask(self, model: str, version: str = "") -> Smoke:
        """Send a model its request, or one of its versions that is not the newest."""

        def is_served() -> bool:
            ready = ready_versions(self.control, model)
            return int(version) in ready if version else bool(ready)

        call = Call(model, version, rows=self.requests.get(model, ()), folder=self.folder)
        return smoke.ask(self.client, call, is_served=is_served)


def roll_out(plan: Plan, wanted: Mapping[str, Wanted], running: Mapping[str, Running], site: Site) -> Proof:
    """Carry out a plan and return what is to be said of it; where anything fails, all is as it was before.

    Raises: AnswerIsNo where it was rolled back, with Triton's reason; ServerError where that failed too; whatever
    interrupted it, rolled back.
    """
    stuck: set[str] = set()
    changed = {change.model for change in plan.changes}
    above = affected(changed, running, wanted)
    again = [name for unit in plan.units for name in unit.loads]
    before = {name: running.get(name, Running({})) for name in (*changed, *above, *again)}
    answers = {name: site.ask(name) for name, one in before.items() if one.ready}
    wait_until_loaded(site.control, changed, site.load_limit_s)
    after = {change.model: site.channel.after(change, wanted[change.model]) for change in plan.changes}
    entry = Entry(server_key(site.control.url), (), before, after)
    site.journal.write(entry)
    try:
        site.channel.prepare(plan, wanted, running)
        asked: dict[str, Smoke] = {}
        with console.progress("rolling out", total=len(plan.units)) as bar:
            for unit in plan.units:
                bar.update(len(entry.touched), ", ".join(unit.models))
                entry = replace(entry, touched=(*entry.touched, unit))
                site.journal.write(entry)
                site.channel.put(unit)
                for model in unit.loads:
                    _load(model, site, stuck)
                others = [name for name in affected(unit.models, running, wanted) if name not in changed]
                asked |= _verify(unit, others, answers, before, site)
        for change in plan.changes:
            require_ready(site.control, change.model, change.expected, site.load_limit_s)
        site.journal.write(replace(entry, is_settled=True))
    except BaseException as problem:
        with contextlib.suppress(UsageError):  # a full disk keeps nobody from the way back
            site.journal.write(entry)
        left = roll_back(entry, site, stuck)
        if isinstance(problem, ServerError):
            raise AnswerIsNo(
                f"rolled back: {problem.message}{left}", hint=problem.hint, where=problem.where
            ) from problem
        raise
    proof = prove(asked)
    return replace(proof, notes=(*proof.notes, *_finished(plan, site)))


def _finished(plan: Plan, site: Site) -> list[str]:
    """Forget what the way back needed; all is verified, so what stands in its way is only said."""
    try:
        site.channel.finish(plan)
        site.journal.remove()
    except ServerError as problem:
        return [f"all is served; what only a way back needed stays until the next deploy: {problem.message}"]
    return []


def roll_back(entry: Entry, site: Site, stuck: Collection[str] = ()) -> str:
    """Bring back what ran before, the last change first; return what is to be said of it, mostly nothing.

    Of the models in `stuck` a load has not ended: the one that brings back what was there has to stand behind it.

    Raises: ServerError with the state of what could not be brought back; then it stays written down.
    """
    if not entry.touched:
        return _forget(site)
    _wait_for_loads([name for name in entry.models if name not in stuck], site)
    stays = _take_back(entry, site)
    if not _is_live(site):
        raise ServerError(
            "the server has ended, or answers no more; what it loads models from is "
            + (f"not all as before: {stays}" if stays else "as before"),
            where=site.control.url,
            hint="restart it, and deploy again: what was served before is brought back first, uploads too",
        )
    said: dict[str, str] = {}
    for unit in reversed(entry.touched):
        for model in _ways_back(unit, entry.before):
            said[model] = _restore(model, entry.before[model], site, is_stuck=model in stuck)
    left = _not_as_before(entry, site)
    for model in left * RETRIES:
        said[model] = _restore(model, entry.before[model], site)
    left = _not_as_before(entry, site) if left else []
    why = "".join(dict.fromkeys(said.values()))
    if left or stays:
        states = [f"'{name}' {_state(name, entry.before[name], site)}" for name in left]
        raise ServerError(
            f"could not roll back: {'; '.join([*states, *([stays] if stays else [])])}{why}",
            where=site.control.url,
            hint="run deploy again: it finds what is left to be undone and tries it first",
        )
    return why + _forget(site)


def _take_back(entry: Entry, site: Site) -> str:
    """Return what of it does not go back where it was; the rest does."""
    try:
        site.channel.take_back(entry.models)
    except ServerError as problem:
        return problem.message
    return ""


def _forget(site: Site) -> str:
    """Remove what was prepared, and the journal; return what stands in the way."""
    try:
        site.channel.discard()
        site.journal.remove()
    except ServerError as problem:
        return f"; {problem.message}"
    return ""


def _is_live(site: Site) -> bool:
    """Return whether the server answers, if not at once: what it is asked for may keep it busy."""
    deadline_s = time.monotonic() + LIVE_LIMIT_S
    while not (is_live := site.control.is_live()) and time.monotonic() < deadline_s:
        time.sleep(LIVE_PERIOD_S)
    return is_live


def recover(site: Site, *, is_dry: bool, is_forced: bool = False) -> str:
    """Finish or undo what a killed deploy left, and return what was done, or would be; empty where nothing was left.

    Models that serve something else than that deploy had loaded were changed by somebody since: they are left alone.

    Raises: ServerError where it cannot be undone; UsageError where that deploy went to another server, unless forced:
    then what that one loads models from is as before, and nothing is loaded.
    """
    entry = site.journal.read()
    if entry is None:
        if not is_dry:
            _forget(site)
        return ""
    models = ", ".join(f"'{name}'" for name in entry.models) or "nothing"
    if entry.is_settled:
        if not is_dry:
            _finished(Plan(entry.touched), site)
        return f"an earlier deploy was interrupted once {models} had been verified: {_verb(is_dry)} finished"
    said = f"an earlier deploy was interrupted while it changed {models}: {_verb(is_dry)} rolled back"
    if entry.touched and entry.url != server_key(site.control.url):
        if not is_forced:
            raise UsageError(
                f"an earlier deploy to {entry.url} was interrupted while it changed {models}",
                hint=f"deploy to {entry.url} first, which undoes it there; --force where that server is gone",
            )
        if not is_dry and (stays := _take_back(entry, site) or _forget(site)):
            raise ServerError(f"could not roll back: {stays}", where=entry.url)
        return f"{said} in the folder; {entry.url} was not asked"
    others = _of_others(entry, site)
    if not is_dry:
        _wait_for_loads(entry.models, site)
        others = _of_others(entry, site)
        roll_back(_without(entry, others), site)
    named = ", ".join(f"'{name}'" for name in others)
    return f"{said}; {named}, changed by somebody since, left alone" if others else said


def _of_others(entry: Entry, site: Site) -> list[str]:
    """Return the models that serve neither what was there before nor what that deploy put."""
    found = observe(site.control)
    again = {name for unit in entry.touched for name in unit.loads if name not in unit.models}
    others = []
    for name, before in entry.before.items():
        now = found.get(name, Running({}))
        is_fallen = name in again and not mark(now)  # loading an ensemble puts its steps back to the server's disk
        if now.ready and not is_fallen and not _is_like(now, before) and not _is_like(now, entry.after.get(name)):
            others.append(name)
    return others


def _is_like(now: Running, known: Running | None) -> bool:
    """Whether a model is served as is known, or is on the way there: the old versions go one after the other."""
    if known is None or known.config is None or now.config is None or mark(now) != mark(known):
        return False
    return bool({*now.ready} & {*known.ready}) and (bool(mark(known)) or not differences(known.config, now.config))


def _without(entry: Entry, others: Collection[str]) -> Entry:
    """Return what is written down without what is asked of some models; their folders go back all the same."""
    before = {name: one for name, one in entry.before.items() if name not in others}
    return replace(entry, before=before)


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
        site.channel.load(model, site.load_limit_s)
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
) -> dict[str, Smoke]:
    """Return how models that changed answer, and those above them, all of which are accepted.

    Raises: ServerError for the first that does not.
    """
    for change in unit.changes:
        require_ready(site.control, change.model, change.expected, site.load_limit_s)
    for name in above:
        require_ready(site.control, name, before[name].ready, site.load_limit_s)
    asked = {}
    for name in (*unit.models, *above):
        asked[name] = site.ask(name)
        if why := judge(asked[name], answers.get(name), is_given=name in site.requests):
            raise ServerError(f"'{name}' {why}")
    for change in unit.changes:
        for version in {*change.fresh} & {*change.expected[:-1]}:  # the newest has been asked
            now = site.ask(change.model, str(version))
            if why := judge(now, answers.get(change.model), is_given=change.model in site.requests):
                raise ServerError(f"version {version} of '{change.model}' {why}")
    return asked


def _ways_back(unit: Unit, before: Mapping[str, Running]) -> list[str]:
    """Return the models by whose loading a unit comes back: first those that were there, together as they were put."""
    loads = [name for name in reversed(unit.loads) if name in before and before[name].ready]
    rest = [name for name in reversed(unit.models) if name in before and name not in loads]
    return list(dict.fromkeys([*loads, *rest]))


def _restore(model: str, before: Running, site: Site, *, is_stuck: bool = False) -> str:
    """Load a model as it was, unless it is; return what is to be said of it."""
    try:
        if is_stuck or is_loading(site.control, model) or not is_as_before(site.control, model, before):
            site.channel.restore(model, before, site.load_limit_s)
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
