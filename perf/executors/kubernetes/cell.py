"""What a pod of the Job runs: `python -m tritonsmith.perf.executors.kubernetes.cell`, the block of its index.

Exit status: 0 all of it is measured, also where it was before; 2 to 5 it will never be, and the Job gives the index up
(`job.HOPELESS`); anything else, a kill included, may go well on another try.
"""

from __future__ import annotations

import contextlib
import hashlib
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import click

from tritonsmith.backends.server.embedded import embedded_server
from tritonsmith.backends.server.leftovers import run_folder
from tritonsmith.generator import console
from tritonsmith.generator.cli import guarded
from tritonsmith.generator.errors import RepositoryError, TritonsmithError, UsageError
from tritonsmith.perf.document import Place
from tritonsmith.perf.executors.core import CellTask
from tritonsmith.perf.executors.kubernetes.collect import get_cells, put_cell, put_failure
from tritonsmith.perf.executors.kubernetes.order import Order, read_order
from tritonsmith.perf.executors.kubernetes.shelf import Shelf, shelf_at
from tritonsmith.perf.executors.parcel import parcel_of
from tritonsmith.perf.executors.worker import require_versions, seated
from tritonsmith.perf.measure.analyzer import analyzer_version
from tritonsmith.perf.measure.machine import read_environment
from tritonsmith.perf.sweep import find_analyzer
from tritonsmith.perf.target import Target, embedded_target
from tritonsmith.perf.undoing import running_target


@click.command()
@click.option("--index", type=click.IntRange(0), required=True, help="Of the pod: $JOB_COMPLETION_INDEX.")
@click.option("--tasks", required=True, help="The folder, or the store's URL, with a document for each index.")
@click.option("--results", required=True, help="The folder, or the store's URL, that takes what is measured.")
@click.option("--repository", type=click.Path(path_type=Path), required=True, help="The model repository.")
@click.option("--url", default="", help="HOST:PORT of the server beside; else the embedded one serves the repository.")
@click.option("--node", required=True, help="The node's name: a host's in a pod is the pod's.")
def main(index: int, tasks: str, results: str, repository: Path, url: str, node: str) -> None:
    """Measure what an index of the Job is to, as far as it is not there already."""
    shelf = shelf_at(results)
    order = read_order(shelf_at(tasks), index)
    left = left_to_measure(order.tasks, shelf, node)
    console.say(f"index {index} on {node}: {len(left)} of {len(order.tasks)} cells to measure")
    if not left:
        return
    try:
        measure(order, left, shelf, repository, url, node)
    except TritonsmithError as problem:
        with contextlib.suppress(TritonsmithError):  # where nothing can be written, the log has it
            put_failure(shelf, left[0].repeat, node, problem.message)
        raise


def left_to_measure(tasks: Sequence[CellTask], shelf: Shelf, node: str) -> list[CellTask]:
    """Return the tasks whose cells are not there.

    What is compared, the variants of a repeat, has to come from one node: where another node has begun such a block
    and not ended it, all of it is measured anew.
    """
    found = get_cells(shelf, [task.digest for task in tasks])
    left = [task for task in tasks if task.digest not in found]
    nodes = {one.cell.place.host for one in found.values() if one.cell.place}
    is_compared = len({tuple(sorted(task.variant.items())) for task in tasks}) > 1
    return list(tasks) if left and is_compared and nodes - {node} else left


def measure(order: Order, left: Sequence[CellTask], shelf: Shelf, repository: Path, url: str, node: str) -> None:
    """Measure tasks on the server at `url`, or on an embedded one; each cell is written as it comes.

    Raises: TritonsmithError.
    """
    require_content(repository, left[0].parcel)
    if hashlib.sha256(order.requests).hexdigest() != left[0].input_sha256:
        raise UsageError("the requests are not those of the plan", hint="write the Job anew: the same sweep command")
    with run_folder() as folder, ExitStack() as stack:
        target = stack.enter_context(_serving(repository, url))
        server = str(target.control.server_metadata().get("version", "unknown"))
        place = Place(node, read_environment(server, analyzer_version(find_analyzer())))
        require_versions(place, order.planner)
        (requests := folder / "requests.json").write_bytes(order.requests)
        (folder / "sweep").mkdir()
        seat = stack.enter_context(seated(left[0].plan, requests, target, folder / "sweep", place))
        for count, task in enumerate(left, 1):
            put_cell(shelf, seat.measured(task))
            console.say(f"{count}/{len(left)} {task}")


def require_content(repository: Path, digest: str) -> None:
    """Refuse a repository whose files are not those of the plan; each is read once for that.

    Raises: RepositoryError.
    """
    if not repository.is_dir():
        hint = "`deploy: {repository: ...}` in the spec says where it is mounted from; else the image holds it there"
        raise RepositoryError(f"no model repository in {repository}", hint=hint)
    found = parcel_of(repository).content_digest
    if found != digest:
        raise RepositoryError(
            f"{repository} is not the repository that the sweep was planned with ({found[:12]}, not {digest[:12]})",
            hint="copy, push or bake it again, or plan the sweep again",
        )


@contextlib.contextmanager
def _serving(repository: Path, url: str) -> Iterator[Target]:
    if url:
        yield running_target(url)
        return
    with embedded_server(repository) as server:
        yield embedded_target(server)


if __name__ == "__main__":
    sys.exit(guarded(lambda: main.main(sys.argv[1:], prog_name="cell", standalone_mode=False)))
