"""Rules on a pod's end: who hears SIGTERM, and whether there is time to drain."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from tritonsmith.generator.catalog.options import EXIT_TIMEOUT_S
from tritonsmith.generator.checks.manifests.case import Manifests
from tritonsmith.generator.checks.manifests.nodes import at, number_at, texts_at
from tritonsmith.generator.checks.manifests.pods import Container, Pod
from tritonsmith.generator.checks.registry import check_manifests
from tritonsmith.generator.findings import Finding

GRACE_S = 30  # Kubernetes' own terminationGracePeriodSeconds
MARGIN_S = 5  # between the end of Triton's drain and SIGKILL
_SLEEPS = re.compile(r"\bsleep\s+([0-9]+)")
_FORWARDS = re.compile(r"os\.exec|signal\.signal|add_signal_handler|uvicorn")
_GIVES_WAY = re.compile(r"^\s*(exec|trap)\s", re.MULTILINE)
# Source: server: python/openai/openai_frontend/main.py (signal.signal).
_HANDLES = ("openai_frontend/main.py",)


@check_manifests("TK220", "a pod leaves its Services before its server ends")
def ends_are_announced(case: Manifests) -> Iterator[Finding]:
    """Triton closes its listener on SIGTERM at once, while the pod is still in the endpoints of its Services: requests
    of the next seconds are refused. A preStop hook that sleeps lets the endpoints be told first.

    Source: tried on 2.51: the first connection after SIGTERM is refused, /v2/health/ready too.
    """
    for pod, server in case.fleet:
        if at(server.node, "lifecycle", "preStop") is None:
            message = f"{server.name} has no preStop: requests are refused while the endpoints still name the pod"
            place = server.place("lifecycle") if at(server.node, "lifecycle") else server.place("name")
            yield pod.owner.warning(place, message, remedy="lifecycle: {preStop: {sleep: {seconds: 15}}}")


@check_manifests("TK221", "there is time to drain")
def grace_covers_the_drain(case: Manifests) -> Iterator[Finding]:
    """From the pod's end on run the preStop hook and then Triton's own drain, up to --exit-timeout-secs (30 by
    default); what is still running at terminationGracePeriodSeconds (30 by default) is killed with its requests.

    Source: kubernetes: Pod Lifecycle (termination); server: command_line_parser.cc (exit-timeout-secs).
    """
    for pod, server in case.serving:
        if not pod.is_whole:
            continue
        grace = number_at(pod.spec, "terminationGracePeriodSeconds")
        grace_s = GRACE_S if grace is None else grace
        option = server.start.option("exit-timeout-secs")
        exit_s = int(option) if option and option.isdecimal() else EXIT_TIMEOUT_S
        stop_s = pre_stop_s(server)
        if grace_s < stop_s + exit_s + MARGIN_S:
            parts = f"{f'{stop_s} s of preStop and ' if stop_s else ''}{exit_s} s of Triton's exit timeout"
            message = f"the grace period of {grace_s} s does not cover {parts}, and {MARGIN_S} s more"
            place = pod.place("terminationGracePeriodSeconds") if grace is not None else pod.place("containers")
            yield pod.owner.warning(place, message, remedy=f"at least {stop_s + exit_s + MARGIN_S} s")


@check_manifests("TK222", "the server hears that its pod ends")
def signals_reach_the_server(case: Manifests) -> Iterator[Finding]:
    """SIGTERM goes to process 1 alone. A shell that waits for tritonserver does not pass it on, and a Python script
    without a handler ignores it: no drain, and SIGKILL when the grace period is over.

    Source: kernel: signals to the init process of a PID namespace; kubernetes: Pod Lifecycle.
    """
    for pod, server in case.serving:
        place = server.start_place
        if server.start.keeps_signals:
            message = "a shell is process 1 and keeps SIGTERM from the server"
            yield pod.owner.warning(place, message, remedy="exec tritonserver ... as the script's last command")
        elif (script := server.start.shell_script) and (text := pod.file(script)) and not _GIVES_WAY.search(text):
            message = f"{PurePosixPath(script).name} is process 1, and keeps SIGTERM from the server"
            yield pod.owner.warning(place, message, remedy="exec what it runs last")
        elif (script := server.start.python_script) and not _forwards(pod, script):
            message = f"{PurePosixPath(script).name} is process 1: Python ignores SIGTERM unless the script handles it"
            yield pod.owner.warning(place, message, remedy="end the script with os.execvp, or pass SIGTERM on")


@check_manifests("TK223", "a preStop hook is no longer than needed")
def pre_stop_ends(case: Manifests) -> Iterator[Finding]:
    """A hook that sleeps as long as the grace period leaves nothing for the server: it is killed without a drain."""
    for pod, server in case.serving:
        grace = number_at(pod.spec, "terminationGracePeriodSeconds")
        grace_s, stop_s = GRACE_S if grace is None else grace, pre_stop_s(server)
        if stop_s >= grace_s:
            message = (
                f"preStop sleeps {stop_s} s of a grace period of {grace_s} s: the server is killed without a drain"
            )
            yield pod.owner.error(server.place("lifecycle", "preStop"), message, remedy="raise the grace period")


def pre_stop_s(server: Container) -> int:
    """Return how many seconds the preStop hook sleeps, 0 where that is not known."""
    hook = at(server.node, "lifecycle", "preStop")
    seconds = number_at(hook, "sleep", "seconds")
    if seconds is not None:
        return seconds
    return sum(int(found) for found in _SLEEPS.findall(" ".join(texts_at(hook, "exec", "command"))))


def _forwards(pod: Pod, script: str) -> bool:
    """Whether a Python script handles signals: one that is known, or one of the pod's ConfigMaps."""
    return script.endswith(_HANDLES) or bool(_FORWARDS.search(pod.file(script)))
