"""Run by test_kill.py in a process of its own: builds that are killed at random moments while another process reads.

argv: target, way (exchange, renames, inside, interrupt: by Ctrl-C), number of kills, seed.
Prints what was seen as JSON; fails with an assertion.
"""

import errno
import faulthandler
import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tritonclient.grpc.model_config_pb2 import ModelConfig

from tritonsmith.generator.repository import exchange, write
from tritonsmith.generator.repository.core import Content, Model, Repository

THEIRS = "theirs/1/weights"  # not ours: must always be there
MODELS = 8


def version(number: int) -> Repository:
    """One of two repositories: another content in every model, another file name, one model more or less."""
    models = {}
    for i in range(MODELS + number):
        files = {
            "1/x": Content(b"%d" % number * 5000),
            f"1/only{number}": Content(b"%d" % number),
            "same": Content(b"s"),
        }
        models[f"m{i}"] = Model(f"m{i}", ModelConfig(name=f"m{i}", max_batch_size=number + 1), files)
    return Repository("r", models)


def read_whole(folder: str) -> dict[str, bytes]:
    """Read everything below a folder that was opened once."""
    found = {}
    for path, _, files, descriptor in os.fwalk(folder):
        for name in files:
            with os.fdopen(os.open(name, os.O_RDONLY, dir_fd=descriptor), "rb") as file:
                found[os.path.relpath(f"{path}/{name}", folder)] = file.read()
    return found


def read_consistently(target: Path) -> int:
    """Read as write.py tells readers to: relative to the root opened once; again if it was exchanged meanwhile."""
    while True:
        root = os.open(target, os.O_RDONLY | os.O_DIRECTORY)  # the path must lead somewhere at every moment
        try:
            number = which(read_whole(f"/proc/self/fd/{root}/."))
        except FileNotFoundError:  # the old one is being removed
            number = None
        is_exchanged = target.stat().st_ino != os.fstat(root).st_ino
        os.close(root)
        if number is not None:
            return number
        assert is_exchanged, "neither the old nor the new repository, and no exchange explains it"


def which(found: dict[str, bytes]) -> int | None:
    """Return which version was read, None for a mixture."""
    return next((number for number in (0, 1) if found == WHOLE[number]), None)


def build_for_ever(target: Path) -> None:
    """Build the two versions in turn, until killed."""
    number = random.randrange(2)
    while True:
        write.write_repository(target, version(number))
        number = 1 - number


def forked(function: Callable[..., None], *arguments: Path) -> int:
    """Start a function in a process of its own, without the cost of starting Python; return its process id."""
    started, start = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.write(start, b"!")
            function(*arguments)
            status = 0
        except KeyboardInterrupt:
            status = 130
        finally:
            os._exit(status)
    os.read(started, 1)  # Python forgets signals that reach a child before this
    os.close(started)
    os.close(start)
    return child


def end(child: int, number: signal.Signals) -> None:
    """Send a signal until the child is gone: Python loses a KeyboardInterrupt that hits a `__del__`."""
    while True:
        os.kill(child, number)
        for _ in range(5000):
            if os.waitpid(child, os.WNOHANG)[0]:
                return
            time.sleep(0.001)


def read_until_told(target: Path, seen: Path) -> None:
    """Read again and again, and write down how often each version was seen."""
    told: list[int] = []
    signal.signal(signal.SIGTERM, lambda *_: told.append(1))
    counts = [0, 0]
    while not told:
        counts[read_consistently(target)] += 1
    seen.write_text(json.dumps(counts))


def assert_models_are_whole(target: Path) -> None:
    """The promise where the root cannot be exchanged: each model is wholly old or new."""
    found = read_whole(f"{target}/.")
    for i in range(MODELS + 1):
        mine = {path: data for path, data in found.items() if path.startswith(f"m{i}/")}
        expected = [{p: d for p, d in WHOLE[n].items() if p.startswith(f"m{i}/")} for n in (0, 1)]
        assert mine in expected, f"m{i}: {sorted(mine)}"


def main(target: Path, way: str, kills: int, build_s: float) -> None:
    """Kill many builds; after each, the repository must be wholly old or new (inside: each model).

    `build_s` is how long a build takes on this machine now: some are killed early, some after they were done.
    """
    if way == "renames":
        exchange.exchange = lacking  # type: ignore[assignment]
    if way == "inside":
        os.chdir(target)
    reader = forked(read_until_told, target, target.with_name("seen")) if way in ("exchange", "interrupt") else 0
    unfinished = leftovers = 0
    for _ in range(kills):
        builder = forked(build_for_ever, target)
        time.sleep(random.uniform(0.0, min(max(0.04, 3 * build_s), 0.5)))
        end(builder, signal.SIGINT if way == "interrupt" else signal.SIGKILL)
        leftovers += bool(leftover(target))
        assert way != "interrupt" or not leftovers, leftover(target)
        unfinished += exchange.is_unfinished(target)
        if way == "inside":
            assert_models_are_whole(target)
        if way != "exchange":
            exchange.recover(target)  # what the next command does
        found = read_whole(f"{target}/.")
        assert which(found) is not None, sorted(found)
    seen = [1, 1]
    if reader:
        os.kill(reader, signal.SIGTERM)
        assert os.waitpid(reader, 0)[1] == 0, "the reader saw half a repository"
        seen = json.loads(target.with_name("seen").read_text())
    exchange.recover(target)
    write.write_repository(target, version(0))
    assert read_whole(f"{target}/.") == WHOLE[0]
    assert not leftover(target)
    print(json.dumps({"kills": kills, "leftovers": leftovers, "unfinished": unfinished, "seen": seen}))


def leftover(target: Path) -> list[Path]:
    """Return the stages that a killed build left behind."""
    return [*target.parent.glob(".*.tritonsmith-*"), *target.glob(".tritonsmith-*")]


def lacking(*_: Path) -> None:
    """Stand in for a kernel without the exchange."""
    raise OSError(errno.EINVAL, "no exchange on this file system")


if __name__ == "__main__":
    faulthandler.dump_traceback_later(100, exit=True)  # where it hangs, should it
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    TARGET = Path(sys.argv[1])
    random.seed(int(sys.argv[4]))
    WHOLE: list[dict[str, bytes]] = []
    started_s = time.monotonic()
    for number in (0, 1):
        write.write_repository(TARGET, version(number))
        (TARGET / THEIRS).parent.mkdir(parents=True, exist_ok=True)
        (TARGET / THEIRS).write_bytes(b"theirs")
        WHOLE.append(read_whole(f"{TARGET}/."))
    main(TARGET, sys.argv[2], int(sys.argv[3]), (time.monotonic() - started_s) / 2)
