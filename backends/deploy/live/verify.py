"""Whether what was loaded is there: every version that is to answer ready, within a limit."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable

from tritonsmith.backends.client.configs import as_message
from tritonsmith.backends.client.control import Control
from tritonsmith.backends.deploy.live.core import READY, Running
from tritonsmith.backends.server import log
from tritonsmith.generator.errors import ServerError

LOADING, UNLOADING = "LOADING", "UNLOADING"
PERIOD_S = 0.05


def require_ready(control: Control, model: str, versions: Iterable[int], limit_s: float) -> None:
    """Wait until versions of a model are ready.

    Raises: ServerError with Triton's own reason where one is not, within the limit.
    """
    waiting = list(versions)
    deadline_s = time.monotonic() + limit_s
    while waiting := [version for version in waiting if not control.is_ready(model, version)]:
        state, reason = state_of(control, model, waiting[0])
        if state not in (LOADING, UNLOADING) or time.monotonic() > deadline_s:
            said = f": {reason}" if reason else ""
            raise ServerError(f"version {waiting[0]} of '{model}' is {state or 'not loaded'}{said}")
        time.sleep(PERIOD_S)


def state_of(control: Control, model: str, version: int) -> tuple[str, str]:
    """Return a version's state in the index and the reason for it, Triton's own words without a stack."""
    for line in control.index():
        if line.name == model and line.version == str(version):
            return line.state, reason_of(line.reason)
    return "", ""


def is_as_before(control: Control, model: str, before: Running) -> bool:
    """Return whether a model answers as it did: with the same versions and the same configuration."""
    if ready_versions(control, model) != set(before.ready):
        return False
    return not before.ready or as_message(control.config(model)) == before.config


def ready_versions(control: Control, model: str) -> set[int]:
    """Return the versions that answer, of a model that was uploaded too: the index does not know it."""
    states = {line.version: line.state for line in control.index() if line.name == model and line.version}
    try:
        entries = control.statistics(model).get("model_stats", [])
    except ServerError:  # no such model
        entries = []
    states |= {str(entry["version"]): READY for entry in entries if states.get(str(entry["version"]), "") == ""}
    return {int(version) for version, state in states.items() if state == READY}


def is_loading(control: Control, model: str) -> bool:
    """Return whether a version of a model is being loaded."""
    return any(line.name == model and line.state == LOADING for line in control.index())


def wait_until_loaded(control: Control, models: Collection[str], limit_s: float) -> None:
    """Wait until nobody loads one of the models any more: a load of ours would stand behind it.

    Raises: ServerError where that does not end.
    """
    deadline_s = time.monotonic() + limit_s
    while busy := [line for line in control.index() if line.name in models and line.state == LOADING]:
        if time.monotonic() > deadline_s:
            raise ServerError(
                f"version {busy[0].version} of '{busy[0].name}' has been loading for more than {limit_s:g} s",
                where=control.url,
                hint="Triton cannot stop a load: wait for its end, or restart the server",
            )
        time.sleep(PERIOD_S)


def reason_of(text: str) -> str:
    """Return a reason of Triton's in its own words, without the stack of a Python model."""
    return log.answer_reason(text).partition(log.PYTHON_STACK)[0].strip("; \n")
