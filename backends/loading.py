"""Load models one by one, each under a limit, and say of each that fails why: in Triton's own words."""

from __future__ import annotations

import queue
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tritonsmith.backends import log
from tritonsmith.backends.control import ServerTimeoutError
from tritonsmith.backends.prepare import Prepared
from tritonsmith.generator import console
from tritonsmith.generator.errors import ServerError

CRASH_HINTS = {
    -signal.SIGKILL: "memory may have run out (`dmesg` says so): give the model fewer instances, or the machine more",
    -signal.SIGSEGV: "a Python model that raises during model_warmup can crash release 24.10: load it without",
}
LOG_DELAY_S = 1.0  # how long the log may lag behind the answer


@dataclass(frozen=True)
class LoadSite:
    """What a load can be watched by: the server's process, its log, and the call that loads one model."""

    process: subprocess.Popen[bytes]
    log: Path
    load: Callable[[str], None]
    limit_s: float


def load_models(prepared: Prepared, site: LoadSite) -> dict[str, str]:
    """Load every model in order and return those that failed, with the reason.

    Raises: ServerError at once where the server hangs or crashes: it cannot be used any more.
    """
    failed: dict[str, str] = dict(prepared.refused)
    with console.progress("loading models", total=len(prepared.order)) as bar:
        for done, name in enumerate(prepared.order):
            bar.update(done, name)
            if name in failed:
                continue
            if missing := [step for step in prepared.needed[name] if step in failed]:
                failed[name] = f"not tried, because '{missing[0]}' did not load"
            elif reason := _load(name, prepared, site, bar):
                failed[name] = reason
    return failed


def failure(failed: Mapping[str, str], prepared: Prepared) -> ServerError:
    """Return the error for models that did not load, all of them at once."""
    lines = [f"  {name}: {reason}" for name, reason in failed.items()]
    what = f"model '{next(iter(failed))}'" if len(failed) == 1 else f"{len(failed)} of {len(prepared.order)} models"
    return ServerError(
        "\n".join([f"{what} did not load", *lines]),
        where=str(prepared.repository),
        hint=f"`tritonsmith check {prepared.repository}` finds most causes without a server",
    )


def _load(name: str, prepared: Prepared, site: LoadSite, bar: console.Progress) -> str:
    """Load one model; returns why it failed, or nothing."""
    offset = site.log.stat().st_size
    outcome: queue.SimpleQueue[ServerError | None] = queue.SimpleQueue()
    # In a thread, because a crash does not end the connection: the model's process has inherited the server's socket.
    threading.Thread(target=_call, args=(site.load, name, outcome), daemon=True).start()
    try:
        if (problem := _await(outcome, name, site.process, bar)) is not None:
            raise problem
    except ServerTimeoutError:
        raise _hung(name, prepared, site, offset) from None
    except ServerError as problem:
        if _has_ended(site.process):
            raise _crashed(name, prepared, site, offset) from problem
        return prepared.in_users_words(_reason(name, problem.message, site.log, offset))
    return ""


def _call(load: Callable[[str], None], name: str, outcome: queue.SimpleQueue[ServerError | None]) -> None:
    answer: ServerError | None = ServerError("the load ended without an answer")
    try:
        load(name)
        answer = None
    except ServerError as problem:
        answer = problem
    finally:
        outcome.put(answer)


def _await(
    outcome: queue.SimpleQueue[ServerError | None], name: str, process: subprocess.Popen[bytes], bar: console.Progress
) -> ServerError | None:
    """Return how a load went; a server that has ended counts as a failure at once."""
    while True:
        try:
            return outcome.get(timeout=0.1)
        except queue.Empty:
            bar.update(text=name)
            if process.poll() is not None:
                return ServerError("the server has ended")


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
    if missing := [line for line in text.splitlines() if "Python model file not found in" in line]:
        reason = missing[-1].partition("stub: ")[2]
    elif crash := re.search(r"Signal \(\d+\) received", text):
        reason = f"the server crashed and hung ({crash[0]})"
    elif f"TRITONBACKEND_ModelInstanceInitialize: {name}" in text:
        reason = "its initialize() has not returned"
    else:
        reason = "; ".join(log.last_errors(text)) or "the server's log gives no reason"
    return ServerError(
        prepared.in_users_words(f"model '{name}' did not load within {site.limit_s:g} s: {reason}"),
        where=str(prepared.repository / name),
        hint="if it only needs longer, raise --load-limit; the server was killed, since such a load cannot be stopped",
    )


def _crashed(name: str, prepared: Prepared, site: LoadSite, offset: int) -> ServerError:
    """Return the error for a server that ended while it loaded a model."""
    status = site.process.returncode
    how = f"was ended by signal {-status}" if status < 0 else f"ended with status {status}"
    reasons = "\n  ".join(log.last_errors(log.read_since(site.log, offset)))
    return ServerError(
        prepared.in_users_words(f"tritonserver {how} while it loaded model '{name}'\n  {reasons}".rstrip()),
        where=str(prepared.repository / name),
        hint=CRASH_HINTS.get(status, "look at the model's own code; `--log-file` keeps the server's log"),
    )


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    """Return whether the server ended, just now or about to: a crash prints its stack first."""
    try:
        process.wait(timeout=0.5)
    except subprocess.TimeoutExpired:
        return False
    return True
