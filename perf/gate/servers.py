"""A generation: both repositories served side by side by servers that are started for it and ended with it."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from tritonsmith.backends.server.embedded import Server, embedded_server
from tritonsmith.backends.server.served import read_served
from tritonsmith.generator.errors import ServerError
from tritonsmith.perf.gate.core import Side

Started = tuple[AbstractContextManager[Server], Server]


class SideError(ServerError):
    """Raised where one side does not serve; `side` says which."""

    def __init__(self, side: Side, problem: ServerError) -> None:
        where = f"the {side}, {problem.where}" if problem.where else f"the {side}"
        super().__init__(problem.message, hint=problem.hint, where=where)
        self.side = side


@contextmanager
def generation(
    repositories: Mapping[Side, Path], first: Side, *, are_settled: bool = False
) -> Iterator[dict[Side, Server]]:
    """Serve both while the block runs; both are started at once, `first` a moment earlier.

    Repositories that are settled (`settled.py`) have nothing to complete and start sooner. Afterwards the servers
    are killed, not drained: no request is in flight, and draining takes longer than a pair of runs.

    Raises: SideError, the baseline's where both fail; ToolMissingError; RepositoryError.
    """
    with ExitStack() as stack:
        order = sorted(repositories, key=lambda side: side != first)
        # what the servers say and draw meanwhile would be said 32 times; their notices are in the report
        with contextlib.redirect_stderr(io.StringIO()), ThreadPoolExecutor(len(order)) as pool:
            futures = {side: pool.submit(_start, repositories[side], are_settled) for side in order}
            try:
                servers = dict(_started(futures))
            finally:  # an interrupt too leaves no server that is not ended with the stack
                for future in futures.values():
                    _end_with(stack, future)
        yield servers


def _start(repository: Path, is_settled: bool) -> Started:
    options = replace(read_served(repository).options, disable_auto_complete_config=True) if is_settled else None
    context = embedded_server(repository, options)
    return context, context.__enter__()


def _started(futures: Mapping[Side, Future[Started]]) -> Iterator[tuple[Side, Server]]:
    """Yield both servers, once both have started or failed."""
    problems: dict[Side, ServerError] = {}
    for side, future in futures.items():
        try:
            yield side, future.result()[1]
        except ServerError as problem:
            problems[side] = problem
    for side in sorted(problems):  # "baseline" comes before "candidate"
        raise SideError(side, problems[side])


def _end_with(stack: ExitStack, future: Future[Started]) -> None:
    """End a server with the stack: first killed, then cleared away."""
    if future.exception() is None:
        context, server = future.result()
        stack.push(context)
        stack.callback(server.process.kill)
