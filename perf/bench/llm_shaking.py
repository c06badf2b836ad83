"""Many clients of a pipeline at once that behave badly: they stop, leave, send nonsense; what they get is counted."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from tritonsmith.backends.server.embedded import Server
from tritonsmith.perf.bench.engine_visitor import ENGINE_NONSENSE, ENGINE_SHARES, EngineVisitor
from tritonsmith.perf.bench.text_pipeline import BLS, DEMO_CONTEXT, DEMO_VOCAB, ENGINE, ENSEMBLE
from tritonsmith.perf.bench.text_visitor import BLS_SHARES, ENSEMBLE_SHARES, NONSENSE, TextVisitor, known_answers
from tritonsmith.perf.bench.visitor import Tally, Target, Visitor

DOORS: Mapping[str, Callable[[Target, str, Tally], Visitor]] = {
    ENSEMBLE: partial(TextVisitor, model=ENSEMBLE),
    BLS: partial(TextVisitor, model=BLS),
    ENGINE: EngineVisitor,
}
SHARES = {ENSEMBLE: ENSEMBLE_SHARES, BLS: BLS_SHARES, ENGINE: ENGINE_SHARES}
# Triton 2.51 keeps an ensemble's request for ever whose client left its stream, with its responses: 0.4 MiB of 400
# tokens. Not so where the engine is told to stop it.
STEADY_SHARES = SHARES | {ENSEMBLE: ENSEMBLE_SHARES | {"leave": 0}}
LEAVING_SHARES = {door: {"leave": 100} for door in SHARES}
ACTS = frozenset(f"{door}: {name}" for door, shares in SHARES.items() for name in shares)
TOO_LONG = 2  # errors of prompts that are too long: by tokens, by text
ERRORS = len({one.words for kinds in (*NONSENSE.values(), ENGINE_NONSENSE) for one in kinds}) + TOO_LONG


def target_of(server: Server, shares: Mapping[str, Mapping[str, int]] = SHARES) -> Target:
    """Return the demo's pipeline on a server; it is asked what it answers."""
    answers = known_answers(server.grpc_url)
    return Target(server.grpc_url, server.http_url, DEMO_VOCAB, DEMO_CONTEXT, answers, shares)


def shake(target: Target, requests: int, *, seed: int = 0, clients: int = 8) -> Tally:
    """Send so many requests from several clients at once, and return what became of them."""
    tally = Tally()
    share = -(-requests // clients)
    counts = [min(share, requests - start) for start in range(0, requests, share)]
    with ThreadPoolExecutor(clients) as threads:
        runs = [threads.submit(_visit, target, f"{seed}.{n}", count, tally) for n, count in enumerate(counts)]
        for one in runs:
            one.result()
    return tally


def _visit(target: Target, seed: str, requests: int, tally: Tally) -> None:
    """Send requests one after the other, each through a door that falls by lot."""
    lots = random.Random(seed)  # noqa: S311
    visitors = [make(target, f"{seed} {door}", tally) for door, make in DOORS.items()]
    try:
        for _ in range(requests):
            lots.choice(visitors).visit()
    finally:
        for visitor in visitors:
            visitor.close()
