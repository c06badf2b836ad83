"""What went wrong, dug out of tritonserver's log: the load API keeps the reason for bad configurations to itself."""

from __future__ import annotations

import re
from pathlib import Path

# E1120 19:51:07.527221 10884 model_repository_manager.cc:1460] "Poll failed for model directory 'm': <detail>"
_POLL_FAILED = r"(?m)\] \"?Poll failed for model directory '{name}': (?P<detail>.*?)\"?$"
# libprotobuf's own line comes without Triton's prefix, and before the line above:
# [libprotobuf ERROR .../text_format.cc:337] Error parsing text-format inference.ModelConfig: 5:4: Message type ...
_PROTOBUF = re.compile(
    r"^\[libprotobuf ERROR [^]]*\] Error parsing text-format \S+: (?P<line>\d+):(?P<column>\d+): (?P<message>.*)$",
    re.MULTILINE,
)
PREFIX = re.compile(r"^[IWEF]\d{4} [\d:.]+ \d+ (?P<source>[\w.]+:\d+)\] (?P<text>.*)$")
_ANSWER = re.compile(r"^load failed for model '[^']*': (?P<rest>.*)$", re.DOTALL)
# server.cc: once a second, while models are being unloaded
_LIVE_MODELS = re.compile(r"Timeout \d+: Found (?P<count>\d+) live models and 0 in-flight")
PYTHON_STACK = "\n\nAt:\n"  # how pybind11 ends the message of a Python exception
STUCK_AFTER = 3  # such lines with one count, and nothing between them
_VERSION_STATE = re.compile(r"version \d+ is at UNAVAILABLE state: (?:\w+(?: \w+)?: )?", re.DOTALL)


def read_since(log: Path, offset: int) -> str:
    """Return what was logged after `offset` bytes."""
    with log.open("rb") as file:
        file.seek(offset)
        return file.read().decode("utf-8", "replace")


def poll_failure(text: str, name: str) -> str:
    """Return why the repository poll refused a model, empty where the log says nothing of it."""
    polls = list(re.finditer(_POLL_FAILED.format(name=re.escape(name)), text))
    if not polls:
        missing = re.search(rf"(?m)failed to poll model '{re.escape(name)}': (?P<detail>.*?)\"?$", text)
        return _unquoted(missing["detail"]) if missing else ""
    last = polls[-1]
    detail = _unquoted(last["detail"])
    parse_errors = list(_PROTOBUF.finditer(text, 0, last.start()))
    if detail.startswith("failed to read text proto") and parse_errors:
        place = parse_errors[-1]
        return f"config.pbtxt:{place['line']}:{place['column']}: {place['message'].strip()}"
    return detail


def answer_reason(answer: str) -> str:
    """Return the reason inside the load API's answer: what stands behind "version 1 is at UNAVAILABLE state"."""
    match = _ANSWER.match(answer.strip())
    rest = match["rest"] if match else answer.strip()
    return _VERSION_STATE.sub("", rest).strip("; \n")


def is_poll_failure(answer: str) -> bool:
    """Return whether the answer is the one that hides a reason in the log."""
    return "failed to poll from model repository" in answer


def last_errors(text: str, limit: int = 6) -> list[str]:
    """Return the last errors and warnings of a log, the bare lines of libprotobuf, Python and signals included."""
    picked: list[str] = []
    for line in text.splitlines():
        match = PREFIX.match(line)
        if match is None:
            if line.startswith(("[libprotobuf ERROR", "Signal (", "error:", "Traceback", "terminate called")):
                picked.append(line.strip())
        elif line[0] in "EWF":
            picked.append(_unquoted(match["text"]))
    return list(dict.fromkeys(picked))[-limit:]


def has_stopped_models(text: str) -> bool:
    """Return whether a server that was told to end has answered its last request and only unloads now."""
    return "All models are stopped" in text


def is_unloading_stuck(text: str) -> bool:
    """Return whether the unloading, at the end of a log, has come to nothing for two seconds."""
    matches = [_LIVE_MODELS.search(line) for line in text.splitlines()[-STUCK_AFTER:]]
    counts = [match["count"] for match in matches if match]
    return len(counts) == STUCK_AFTER and len(set(counts)) == 1


def _unquoted(text: str) -> str:
    """Return a log message without the quotes that Triton 24.08 and later put around it."""
    text = text.strip()
    text = text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' else text
    return text.replace('\\"', '"').replace("\\n", "\n")
