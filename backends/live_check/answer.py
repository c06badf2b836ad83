"""What the server made of a model: its verdict, and the lines of its log that give the reason."""

from __future__ import annotations

import re
from dataclasses import dataclass

from tritonsmith.backends.server import log
from tritonsmith.generator.checks.verdict import Verdict

MISSING_FILE = "Python model file not found in"  # after which the load never returns (server#8766)
_SIGNAL = re.compile(r"(?m)^.*Signal \(\d+\) received.*$")
# Said on the way to every answer, or about this machine.
_NOTICES = ("unable to create stream for", "CUDA driver version", "Cuda driver", "failed to poll from model repository")
_PYTHON_STACK = log.PYTHON_STACK.replace("\n", "\\n")  # as the log has it, on one line


@dataclass(frozen=True)
class Answer:
    """The server's verdict on a model; `lines` are its log's, `is_own_code` whether the model's own code decided."""

    model: str
    verdict: Verdict
    lines: tuple[str, ...] = ()
    is_own_code: bool = False


def loaded(model: str) -> Answer:
    """Return the answer for a model that loads."""
    return Answer(model, Verdict.LOADS)


def refused(model: str, text: str, said: str) -> Answer:
    """Return the answer for a model that does not load: `text` is the log of the load, `said` the load API's answer."""
    lines = reason_lines(text) or ((said,) if said else ())
    return Answer(model, Verdict.FAILS, lines, any(_PYTHON_STACK in line for line in lines))


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
    """Return the errors in the log of one load: Triton's without time and process, libprotobuf's bare ones as they are.

    Warnings count where there is no error.
    """
    errors = [_message(line) for line in text.splitlines() if _is_said(line, "EF")]
    warnings = [_message(line) for line in text.splitlines() if _is_said(line, "W")]
    return tuple(dict.fromkeys(errors or warnings))


def _is_said(line: str, levels: str) -> bool:
    if any(notice in line for notice in _NOTICES):
        return False
    match = log.PREFIX.match(line)
    return line.startswith("[libprotobuf ERROR") if match is None else line[0] in levels


def _message(line: str) -> str:
    match = log.PREFIX.match(line)
    if match:
        return f"{match['source']}] {match['text']}"
    return re.sub(r"^\[libprotobuf ERROR \S*/(\S+)\]", r"[libprotobuf ERROR \1]", line.strip())
