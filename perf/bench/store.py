"""Whether a push that is killed ever leaves a server something wrong: `python -m tritonsmith.perf.bench.store`.

A local S3 (moto) counts requests, and kills `tritonsmith deploy --push` (kill -9) at one of them: before it is carried
out, in the middle of its body, or after. Then tritonserver itself is started on the URL of the push that was killed, on
one that was printed before, and on those that were being removed: each has to load, model by model, exactly what was
pushed under that URL; an unfinished one may refuse instead. The path alone is fetched, as by an init container. The
next push to the same path goes on, prunes, and is killed as well.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from tritonsmith.backends.deploy.store.contents import read_contents
from tritonsmith.backends.deploy.store.fetch import DIGEST, MANIFEST, Manifest, fetch
from tritonsmith.backends.deploy.store.push import push
from tritonsmith.generator import console
from tritonsmith.generator.errors import UnstableError
from tritonsmith.perf.bench.local_store import LocalStore, Phase, local_store
from tritonsmith.perf.bench.record import write_result
from tritonsmith.perf.bench.store_start import server_from, unlike

DEMO = Path(__file__).parents[2] / "model_repository"
PHASES: tuple[Phase, ...] = ("before", "body", "after")
KEPT = 2
FINISHED_EVERY = 4  # pushes; the others are killed, or have ended before
PUSH_LIMIT_S = 300.0


@dataclass
class Fleet:
    """A path in the store, and what was ever pushed to it by digest; `published` were printed and not removed since."""

    store: LocalStore
    url: str
    repository: Path
    contents: dict[str, Manifest] = field(default_factory=dict)
    published: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)


@click.command()
@click.option("--kills", default=40, show_default=True, help="Pushes that are killed.")
@click.option("--seed", default=2, show_default=True)
@click.option("--quick", is_flag=True, help="Three kills; nothing is written.")
def main(kills: int, seed: int, quick: bool) -> None:
    """Kill pushes, and start servers on what they leave."""
    begin_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="tritonsmith-store-") as folder, local_store() as store:
        counts = measure(Path(folder), store, 3 if quick else kills, seed)
    result = {"kills": 3 if quick else kills, "seed": seed, "seconds": round(time.monotonic() - begin_s), **counts}
    if not quick:
        write_result("store", result)
    console.result("\n".join(f"{name}: {value}" for name, value in result.items()))


def measure(folder: Path, store: LocalStore, kills: int, seed: int) -> dict[str, Any]:
    """Return how often servers loaded what was pushed, and how often they refused.

    Raises: UnstableError where one loaded something else, or a printed URL was refused.
    """
    dice = random.Random(seed)  # noqa: S311 - which request, not a secret
    repository = folder / "repository"
    shutil.copytree(DEMO, repository)
    fleet = Fleet(store, store.url("fleet"), repository)
    _finish(fleet)
    with console.progress("kills", total=kills) as bar:
        for number in range(kills):
            bar.update(number)
            if number % FINISHED_EVERY == FINISHED_EVERY - 1:
                _finish(fleet)
            _change(repository, number)
            _kill_a_push(fleet, dice)
    _finish(fleet)
    _judge(fleet, fleet.published[-1], may_refuse=False)
    return dict(sorted(fleet.counts.items()))


def _change(repository: Path, number: int) -> None:
    """Change a weight's neighbour, a configuration and the files of a model, so that mixtures can be told."""
    (repository / "postprocessing/labels.txt").write_text("".join(f"{number}-{digit}\n" for digit in range(10)))
    config = (repository / "classifier/config.pbtxt").read_text().partition("\n# ")[0]
    (repository / "classifier/config.pbtxt").write_text(f"{config}\n# {number}")
    for old in (repository / "preprocessing/1").glob("extra*.py"):
        old.unlink()
    (repository / f"preprocessing/1/extra{number}.py").write_text("")


def _finish(fleet: Fleet) -> None:
    done = push(fleet.repository, fleet.url, kept=KEPT)
    fleet.contents[done.digest] = read_contents(fleet.repository)
    fleet.published = [digest for digest in fleet.published if digest not in (*done.removed, done.digest)]
    fleet.published.append(done.digest)
    fleet.counts["pushes to the end"] += 1


def _kill_a_push(fleet: Fleet, dice: random.Random) -> None:
    """Kill a push at a request, and judge every URL that a server may have been given."""
    contents = read_contents(fleet.repository)
    fleet.contents[contents.digest] = contents
    request, phase = dice.randrange(1, 75), dice.choice(PHASES)
    argv = [str(Path(sys.executable).with_name("tritonsmith")), "deploy", str(fleet.repository), "--push", fleet.url]
    with subprocess.Popen([*argv, "--keep", str(KEPT)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as client:
        fleet.store.cut_at(request, phase, lambda: os.kill(client.pid, signal.SIGKILL))
        status = client.wait(timeout=PUSH_LIMIT_S)
    fleet.store.mend()
    fleet.counts["killed" if status == -signal.SIGKILL else "ended before the kill"] += 1
    whole = _digests_with_a_manifest(fleet)
    _judge(fleet, contents.digest, may_refuse=contents.digest not in whole)
    for digest in {dice.choice(fleet.published), *(set(fleet.published) - whole)}:
        # what --keep was removing may refuse, and must not load in part
        _judge(fleet, digest, may_refuse=digest not in whole)
    fleet.published = [digest for digest in [*fleet.published, contents.digest] if digest in whole]
    _judge_pointer(fleet)


def _judge(fleet: Fleet, digest: str, *, may_refuse: bool) -> None:
    with server_from(f"{fleet.url}/{digest}") as server:
        if server.refusal:
            fleet.counts["refused unfinished ones"] += 1
            wrong = [] if may_refuse else [f"refused: {server.refusal}"]
        else:
            fleet.counts["loaded what was pushed"] += 1
            wrong = unlike(server, fleet.contents[digest])
    if wrong:
        raise UnstableError(f"a server started on {digest}: {'; '.join(wrong)}")


def _judge_pointer(fleet: Fleet) -> None:
    """Fetch by the path alone, as an init container may: some push's content, whole."""
    with tempfile.TemporaryDirectory(prefix="tritonsmith-store-") as folder:
        digest = fetch(fleet.url, Path(folder) / "models")
        if read_contents(Path(folder) / "models").digest != digest:
            raise UnstableError(f"what was fetched is not {digest}")
    fleet.counts["fetched by the path"] += 1


def _digests_with_a_manifest(fleet: Fleet) -> set[str]:
    pages = fleet.store.client.get_paginator("list_objects_v2").paginate(Bucket="models", Prefix="fleet/")
    keys = [entry["Key"] for page in pages for entry in page.get("Contents", [])]
    return {key.split("/")[1] for key in keys if key.endswith(f"/{MANIFEST}") and DIGEST.fullmatch(key.split("/")[1])}


if __name__ == "__main__":
    main()
