"""What the server made of a model: its verdict, and the lines of its log that give the reason."""

from __future__ import annotations

import re
from dataclasses import dataclass

from tritonsmith.backends.server import log
from tritonsmith.generator.checks.verdict import Verdict

MISSING_FILE = "Python model file not found in"  # after which the load never returns (server#8766)
_SIGNAL = re.compile(r"(?m)^.*Signal \(\d+\) received.*$")
# Said on the way to every answer, or about this machine.
_NOTICES = ("unable to create stream for", "CUDA driver version", "CudaDriverHelper has not been initialized")
# An exception, as the log has it on one line; a process that ended; an execute() that refused a warm-up sample.
_OWN_CODE = re.compile(
    re.escape(log.PYTHON_STACK.replace("\n", "\\n")) + "|Stub process '.*' is not healthy|failed to run warmup sample"
)


@dataclass(frozen=True)
class Answer:
    """The server's verdict on a model, and why: `is_logged` where `lines` are its log's and not only its answer.

    `is_own_code` says whether the model's own code decided.
    """

    model: str
    verdict: Verdict
    lines: tuple[str, ...] = ()
    is_own_code: bool = False
    is_logged: bool = True


def loaded(model: str) -> Answer:
    """Return the answer for a model that loads."""
    return Answer(model, Verdict.LOADS)


def refused(model: str, text: str, said: str) -> Answer:
    """Return the answer for a model that does not load: `text` is the log of the load, `said` the load API's answer."""
    logged = reason_lines(text)
    lines = logged or (said,)
    return Answer(model, Verdict.FAILS, lines, any(map(_OWN_CODE.search, lines)), is_logged=bool(logged))


def hung(model: str, text: str) -> Answer:
    """Return the answer for a load that did not return."""
    missing = tuple(_message(line) for line in text.splitlines() if MISSING_FILE in line)
    has_begun = f"TRITONBACKEND_ModelInstanceInitialize: {model}_" in text
    lines = missing or reason_lines(text)
    return Answer(model, Verdict.HANGS, lines or ("the log gives no reason",), has_begun and not missing)


def crashed(model: str, text: str) -> Answer:
    """Return the answer for a load in which the server ended."""
    signals = tuple(found[0].strip() for found in _SIGNAL.finditer(text))
    return Answer(model, Verdict.CRASHES, (*reason_lines(text), *signals) or ("the log gives no reason",))


def reason_lines(text: str) -> tuple[str, ...]:
    """Return the errors in the log of a load: Triton's without time and process, libprotobuf's bare ones."""
    return tuple(dict.fromkeys(_message(line) for line in text.splitlines() if _is_error(line)))


def _is_error(line: str) -> bool:
    if any(notice in line for notice in _NOTICES):
        return False
    return line.startswith("[libprotobuf ERROR") or (line[:1] in "EF" and log.PREFIX.match(line) is not None)


def _message(line: str) -> str:
    match = log.PREFIX.match(line)
    if match:
        return f"{match['source']}] {match['text']}"
    return re.sub(r"^\[libprotobuf ERROR \S*/(\S+)\]", r"[libprotobuf ERROR \1]", line.strip())
