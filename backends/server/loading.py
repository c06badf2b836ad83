"""Load models, each under a limit, and say of each that fails why: in Triton's own words."""

from __future__ import annotations

import queue
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tritonsmith.backends.server import log
from tritonsmith.backends.server.prepare import Prepared
from tritonsmith.generator import console
from tritonsmith.generator.errors import ServerError
from tritonsmith.generator.repository.complete import backend_of
from tritonsmith.generator.repository.read import read_model

CRASH_HINTS = {
    -signal.SIGKILL: "memory may have run out (`dmesg` says so): give the model fewer instances, or the machine more",
    -signal.SIGSEGV: "a Python model that raises during model_warmup can crash release 24.10: load it without",
}
NOT_TRIED = "not tried, because"
LOG_DELAY_S = 1.0  # how long the log may lag behind the answer


@dataclass(frozen=True)
class LoadSite:
    """What a load can be watched by: the server's process, its log, and the call that loads one model.

    `width` is how many models are loaded at the same time: most of a Python model's load is waiting for processes.
    """

    process: subprocess.Popen[bytes]
    log: Path
    load: Callable[[str], None]
    limit_s: float
    width: int


@dataclass(frozen=True)
class Outcome:
    """How one load ended: why it failed, or nothing; `is_timeout` where the server did not answer in time."""

    name: str
    reason: str = ""
    is_timeout: bool = False


Outcomes = queue.SimpleQueue[Outcome | BaseException]


def load_models(prepared: Prepared, site: LoadSite) -> dict[str, str]:
    """Load every model, each after those that it needs, and return those that failed, with the reason.

    Raises: ServerError at once where the server hangs or crashes: it cannot be used any more.
    """
    failed = dict(prepared.refused)
    pending = [name for name in prepared.order if name not in failed]
    running: dict[str, int] = {}  # name -> how long the log was when its load began
    outcomes: Outcomes = queue.SimpleQueue()
    with console.progress("loading models", total=len(prepared.order)) as bar:
        while pending or running:
            for name in startable(pending, running, prepared.needed)[: site.width - len(running)]:
                pending.remove(name)
                if missing := [needed for needed in prepared.needed[name] if needed in failed]:
                    failed[name] = f"{NOT_TRIED} '{missing[0]}' did not load"
                else:
                    running[name] = site.log.stat().st_size
                    _start(name, running[name], prepared, site, outcomes)
            bar.update(len(prepared.order) - len(pending) - len(running), ", ".join(running))
            if running and (outcome := _next(outcomes, running, prepared, site)):
                offset = running.pop(outcome.name)
                if outcome.is_timeout:
                    raise _hung(outcome.name, prepared, site, offset)
                if outcome.reason:
                    failed[outcome.name] = outcome.reason
    return {name: failed[name] for name in prepared.order if name in failed}


def startable(pending: Sequence[str], running: Collection[str], needed: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the models that wait for no other; of models that wait for each other the first."""
    waiting = {*pending, *running}
    free = [name for name in pending if not (waiting & set(needed[name])) - {name}]
    return free or ([] if running else list(pending[:1]))


def failure(failed: Mapping[str, str], prepared: Prepared) -> ServerError:
    """Return the error for models that did not load, all of them at once."""
    lines = [f"  {name}: {reason}" for name, reason in failed.items()]
    what = f"model '{next(iter(failed))}'" if len(failed) == 1 else f"{len(failed)} of {len(prepared.order)} models"
    hints = [next_step(name, reason, prepared) for name, reason in failed.items()]
    return ServerError(
        "\n".join([f"{what} did not load", *lines]),
        where=str(prepared.repository),
        hint="; ".join(dict.fromkeys(filter(None, hints))),
    )


def next_step(name: str, reason: str, prepared: Prepared) -> str:
    """Return what to do about a model that did not load; empty where the reason says it."""
    config = prepared.configs.get(name)
    if name in prepared.refused or reason.startswith(NOT_TRIED):
        return ""
    if missing := re.search(r"No module named '([^'.]+)", reason):
        return f"Python models import what {sys.executable} can: install the package that holds '{missing[1]}' for it"
    is_python = backend_of(replace(read_model(prepared.view / name), config=config)) == "python"
    if is_python and log.PYTHON_STACK in reason:
        return f"what stopped '{name}' was raised by its own code; --log-file keeps the server's log"
    return f"`tritonsmith check {prepared.repository}` finds most mistakes in configurations and files without a server"


def _start(name: str, offset: int, prepared: Prepared, site: LoadSite, outcomes: Outcomes) -> None:
    """Load one model in a thread, which a crash of the server leaves behind.

    A crash does not end the connection: the model's process has inherited the server's socket.
    """

    def work() -> None:
        try:
            outcomes.put(_load(name, offset, prepared, site))
        except BaseException as problem:  # nobody stands above a thread: `_next` raises it
            outcomes.put(problem)

    threading.Thread(target=work, daemon=True).start()


def _load(name: str, offset: int, prepared: Prepared, site: LoadSite) -> Outcome:
    try:
        site.load(name)
    except ServerError as problem:
        if isinstance(problem.__cause__, TimeoutError):
            return Outcome(name, is_timeout=True)
        return Outcome(name, prepared.in_users_words(_reason(name, problem.message, site.log, offset)))
    return Outcome(name)


def _next(outcomes: Outcomes, running: Mapping[str, int], prepared: Prepared, site: LoadSite) -> Outcome | None:
    """Return the next load that ended, None where none did for a moment.

    Raises: ServerError where the server has ended; whatever else a load raised.
    """
    try:
        outcome = outcomes.get(timeout=0.1)
    except queue.Empty:
        outcome = None
    if isinstance(outcome, BaseException):
        raise outcome
    if (outcome is None or outcome.reason) and _has_ended(site.process, 0.5 if outcome else 0.0):
        raise _crashed(list(running), prepared, site, min(running.values()))
    return outcome


def _reason(name: str, answer: str, log_file: Path, offset: int) -> str:
    """Return the reason from the server's answer, or from its log where the answer hides it."""
    if not log.is_poll_failure(answer):
        return log.answer_reason(answer)
    deadline_s = time.monotonic() + LOG_DELAY_S
    while time.monotonic() < deadline_s:
        if found := log.poll_failure(log.read_since(log_file, offset), name):
            return found
        time.sleep(0.02)
    return answer


def _hung(name: str, prepared: Prepared, site: LoadSite, offset: int) -> ServerError:
    """Return the error for a load that does not end; only a kill ends it (server#8766)."""
    text = log.read_since(site.log, offset)
    folder = f"Python model file not found in '{prepared.view / name}/"
    if missing := [line for line in text.splitlines() if folder in line]:
        reason = missing[-1].partition("stub: ")[2]
    elif crash := re.search(r"Signal \(\d+\) received", text):
        reason = f"the server crashed and hung ({crash[0]})"
    elif f"TRITONBACKEND_ModelInstanceInitialize: {name}_" in text:
        reason = "its initialize() has not returned"
    else:
        reason = "; ".join(log.last_errors(text)) or "the server's log gives no reason"
    return ServerError(
        prepared.in_users_words(f"model '{name}' did not load within {site.limit_s:g} s: {reason}"),
        where=str(prepared.repository / name),
        hint="if it only needs longer, raise --load-limit; the server was killed, since such a load cannot be stopped",
    )


def _crashed(names: list[str], prepared: Prepared, site: LoadSite, offset: int) -> ServerError:
    """Return the error for a server that ended while it loaded models."""
    status = site.process.returncode
    how = f"was ended by signal {-status}" if status < 0 else f"ended with status {status}"
    reasons = "\n  ".join(log.last_errors(log.read_since(site.log, offset)))
    models = f"model '{names[0]}'" if len(names) == 1 else f"one of the models {', '.join(names)}"
    return ServerError(
        prepared.in_users_words(f"tritonserver {how} while it loaded {models}\n  {reasons}".rstrip()),
        where=str(prepared.repository),
        hint=CRASH_HINTS.get(status, "look at the model's own code; `--log-file` keeps the server's log"),
    )


def _has_ended(process: subprocess.Popen[bytes], wait_s: float) -> bool:
    """Return whether the server ended, just now or about to: a crash prints its stack first."""
    try:
        process.wait(timeout=wait_s)
    except subprocess.TimeoutExpired:
        return False
    return True
