"""Ask the server about each model: servers side by side load one model at a time, and are replaced when one breaks."""

from __future__ import annotations

import os
import queue
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from tritonsmith.backends.live_check.answer import MISSING_FILE, Answer, crashed, hung, loaded, refused
from tritonsmith.backends.live_check.stage import LiveStage
from tritonsmith.backends.server import log
from tritonsmith.backends.server.embedded import Server, start_server
from tritonsmith.backends.server.leftovers import run_folder
from tritonsmith.backends.server.prepare import Prepared
from tritonsmith.generator import console
from tritonsmith.generator.checks.verdict import Verdict
from tritonsmith.generator.errors import ServerError
from tritonsmith.generator.manifests.server import ServerOptions

LOADS_PER_SERVER = 16  # each Python model that stays loaded is a process or more
WIDTH = 4
GRACE_S = 2.0  # for a load to return, or a server to end, after the log has said how it goes
SETTLE_S = 0.3  # in which a crash, which prints its stack first, shows after the last answer
LOOK_S = 0.01


@dataclass
class Asking:
    """The work that the servers share: the models still to be asked about, and the answers."""

    stage: LiveStage
    options: ServerOptions
    pending: queue.SimpleQueue[str] = field(default_factory=queue.SimpleQueue)
    alone: queue.SimpleQueue[str] = field(default_factory=queue.SimpleQueue)  # each to be asked of a fresh server
    answers: queue.SimpleQueue[Answer | BaseException] = field(default_factory=queue.SimpleQueue)
    is_over: threading.Event = field(default_factory=threading.Event)


def ask_server(stage: LiveStage, names: Sequence[str], options: ServerOptions) -> dict[str, Answer]:
    """Return the server's verdict on each model, each loaded under `options.load_limit_s`.

    Raises: ServerError where a server does not start at all.
    """
    asking = Asking(stage, options)
    for name in names:
        asking.pending.put(name)
    width = min(WIDTH, os.cpu_count() or 1, len(names))
    workers = [threading.Thread(target=_work, args=(asking,)) for _ in range(width)]
    answers: dict[str, Answer] = {}
    with console.progress("asking tritonserver", total=len(names)) as bar, ExitStack() as stack:
        for worker in workers:
            worker.start()
            stack.callback(worker.join)
        stack.callback(asking.is_over.set)
        while len(answers) < len(names):
            bar.update(len(answers))
            try:
                answer = asking.answers.get(timeout=0.5)
            except queue.Empty:
                continue
            if isinstance(answer, BaseException):
                raise answer
            answers[answer.model] = answer
            if answer.verdict is Verdict.HANGS:
                left = len(names) - len(answers)
                console.say(f"{answer.model} hangs; models left: {left}")
    return {name: answers[name] for name in names}


def _work(asking: Asking) -> None:
    """Ask about models until none is left, each server up to its last load, its hang or its crash."""
    try:
        while not asking.is_over.is_set() and not (asking.pending.empty() and asking.alone.empty()):
            _ask_one_server(asking)
    except BaseException as problem:  # nobody stands above a thread: `ask_server` raises it
        asking.answers.put(problem)


def _ask_one_server(asking: Asking) -> None:
    with run_folder() as run:
        (run / "backends").symlink_to(asking.stage.folder / "backends")
        server = start_server(asking.stage.toolchain, asking.options, asking.stage.prepared, run)
        try:
            for answer in _answers(asking, server):
                lines = [_in_users_words(line, server.prepared, run) for line in answer.lines]
                asking.answers.put(replace(answer, lines=tuple(lines)))
        finally:
            server.process.kill()
            server.process.wait()


def _answers(asking: Asking, server: Server) -> Iterator[Answer]:
    """Yield what one server answers; each once the server has outlived the next load, for a crash can come late.

    What may be another model's doing is asked again, of a server that has seen nothing else.
    """
    if name := _next(asking.alone):
        yield settled(server, ask_about(server, name, asking.is_over))
        return
    before: Answer | None = None
    for _ in range(LOADS_PER_SERVER):
        if not (name := _next(asking.pending)):
            break
        answer = ask_about(server, name, asking.is_over)
        if before and (answer.verdict is Verdict.CRASHES or not answer.is_logged):
            asking.alone.put(name)
            if answer.verdict is Verdict.CRASHES:
                asking.alone.put(before.model)
            else:
                yield before
            return
        if before:
            yield before
        before = answer
        if answer.verdict in (Verdict.HANGS, Verdict.CRASHES):
            break  # a hung model stays in LOADING for good
    if before:
        yield settled(server, before)


def settled(server: Server, answer: Answer) -> Answer:
    """Return an answer, or that the model crashed the server where that ends soon after."""
    if answer.verdict in (Verdict.HANGS, Verdict.CRASHES):
        return answer
    try:
        server.process.wait(timeout=SETTLE_S)
        ended = True
    except subprocess.TimeoutExpired:
        ended = "Signal (" in log.read_since(server.log, 0)
    return crashed(answer.model, log.read_since(server.log, 0)) if ended else answer


def _next(names: queue.SimpleQueue[str]) -> str:
    try:
        return names.get_nowait()
    except queue.Empty:
        return ""


def _in_users_words(line: str, prepared: Prepared, run: Path) -> str:
    return prepared.in_users_words(line).replace(str(run / "backends"), "<backends>")


def ask_about(server: Server, name: str, is_over: threading.Event) -> Answer:
    """Load a model and return how that ended; one that loads stays loaded."""
    offset = server.log.stat().st_size
    ended: queue.SimpleQueue[ServerError | None] = queue.SimpleQueue()
    # a crash does not end the connection, for the model's process has inherited it: the thread may stay behind
    threading.Thread(target=_load, args=(server, name, ended), daemon=True).start()
    deadline_s = time.monotonic() + server.options.load_limit_s
    is_doomed = False
    while time.monotonic() < deadline_s and not is_over.is_set():
        try:
            problem = ended.get(timeout=LOOK_S)
        except queue.Empty:
            if server.process.poll() is not None:
                return crashed(name, log.read_since(server.log, offset))
            if not is_doomed and _is_doomed(log.read_since(server.log, offset)):
                is_doomed, deadline_s = True, min(deadline_s, time.monotonic() + GRACE_S)
            continue
        return _ended(server, name, problem, offset)
    text = log.read_since(server.log, offset)
    return crashed(name, text) if "Signal (" in text else hung(name, text)


def _is_doomed(text: str) -> bool:
    return MISSING_FILE in text or "Signal (" in text


def _load(server: Server, name: str, ended: queue.SimpleQueue[ServerError | None]) -> None:
    try:
        server.control.load(name, timeout_s=server.options.load_limit_s + GRACE_S)
    except ServerError as problem:
        ended.put(problem)
    else:
        ended.put(None)


def _ended(server: Server, name: str, problem: ServerError | None, offset: int) -> Answer:
    if problem is None:
        return loaded(name)
    deadline_s = time.monotonic() + GRACE_S
    while "no Triton answers" in problem.message and time.monotonic() < deadline_s:  # the connection broke
        if server.process.poll() is not None:
            return crashed(name, log.read_since(server.log, offset))
        time.sleep(LOOK_S)
    return refused(name, log.read_since(server.log, offset), problem.message)
