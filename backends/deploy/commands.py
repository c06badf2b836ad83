"""The verb `deploy`: one command, one place at a time, each with options of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from tritonsmith.backends.commands import REPOSITORY, SECONDS
from tritonsmith.generator import console
from tritonsmith.generator.errors import UsageError

OUTPUT = Path("deploy")


@click.command()
@click.argument("repository", type=click.Path(path_type=Path), default=REPOSITORY)
@click.option("--url", default="", help="A running server in explicit mode, HOST:PORT of its HTTP.")
@click.option("--grpc-url", help="With --url: HOST:PORT of its gRPC.  [default: --url's host, port + 1]")
@click.option(
    "--server-repository",
    type=click.Path(path_type=Path),
    help="With --url: the folder that the server reads, as seen here; else files travel with the load calls.",
)
@click.option("--load-limit", type=SECONDS, default=None, help="With --url: seconds that one load may take, 120.")
@click.option(
    "--smoke", type=click.Path(path_type=Path, dir_okay=False), help="With --url: JSON file, {MODEL: {INPUT: VALUE}}."
)
@click.option("--push", "push_url", default="", help="To an object store: s3://, gs:// or as://.")
@click.option("--pull", "pull_url", default="", help="From an object store, into REPOSITORY.")
@click.option("--container", "is_container", is_flag=True, help="Write a Dockerfile and a compose file.")
@click.option("--kubernetes", "is_kubernetes", is_flag=True, help="Write manifests with kustomization.")
@click.option(
    "--keep",
    "kept",
    type=click.IntRange(min=1),
    help="With --push, --url: this many pushes, or versions of a model, stay.",
)
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path),
    help="Where files are written.  [default: ./deploy, a container's ./deploy/container]",
)
@click.option("--dry-run", is_flag=True, help="Say what would be done, do nothing.")
@click.option("--force", "is_forced", is_flag=True, help="Overwrite files edited since; --url: even if requests fail.")
@click.option("--json", "is_json", is_flag=True, help="Print what was done as JSON.")
@click.pass_context
def deploy(context: click.Context, /, repository: Path, **given: Any) -> None:
    """Bring REPOSITORY (default ./model_repository) to where it is served, one place at a time."""
    flags = {str(option.name): option.opts[0] for option in context.command.params}
    chosen = [name for name in PLACES if given[name]]
    if len(chosen) != 1:
        named = " and ".join(flags[name] for name in chosen) or "none of them"
        places = ", ".join(flags[name] for name in PLACES)
        raise UsageError(f"deploy goes to one place at a time; given: {named}", hint=f"give one of {places}")
    (place,) = chosen
    make, options = PLACES[place]
    foreign = [flags[name] for name, value in given.items() if value and name not in (place, *options, *EVERYWHERE)]
    if foreign:
        taken = ", ".join(flags[name] for name in options) or "none of its own"
        raise UsageError(f"{' and '.join(foreign)}: not with {flags[place]}", hint=f"its options: {taken}")
    make(repository, given[place], **{name: given[name] for name in (*options, *EVERYWHERE)})


def _to_server(
    repository: Path,
    url: str,
    *,
    grpc_url: str | None,
    server_repository: Path | None,
    load_limit: float | None,
    smoke: Path | None,
    kept: int | None,
    is_forced: bool,
    dry_run: bool,
    is_json: bool,
) -> None:
    from tritonsmith.backends.deploy.live import rollout
    from tritonsmith.backends.deploy.live.show import as_json, as_text

    limit_s, count = load_limit or rollout.LOAD_LIMIT_S, kept or rollout.KEPT
    done = rollout.deploy_live(
        rollout.Order(
            repository, url, grpc_url, server_repository, count, limit_s, smoke, is_forced=is_forced, is_dry=dry_run
        )
    )
    _say_notes((*done.plan.notes, *done.notes))
    console.answer(as_text(done), as_json(done), is_json=is_json)


def _to_store(repository: Path, url: str, *, kept: int | None, dry_run: bool, is_json: bool) -> None:
    from tritonsmith.backends.deploy.store.push import push
    from tritonsmith.backends.deploy.store.show import push_lines

    pushed = push(repository, url, kept=kept, is_dry=dry_run)
    for line in push_lines(pushed, is_dry=dry_run):
        console.say(line)
    console.answer(pushed.url, asdict(pushed), is_json=is_json)


def _from_store(repository: Path, url: str, *, is_forced: bool, dry_run: bool, is_json: bool) -> None:
    from tritonsmith.backends.deploy.store.pull import pull
    from tritonsmith.backends.deploy.store.show import pull_lines

    pulled = pull(url, repository, is_forced=is_forced, is_dry=dry_run)
    for line in pull_lines(pulled, is_dry=dry_run):
        console.say(line)
    console.answer(pulled.url, asdict(pulled), is_json=is_json)


def _to_container(
    repository: Path, _: object, *, output: Path | None, is_forced: bool, dry_run: bool, is_json: bool
) -> None:
    from tritonsmith.backends.deploy.container.show import as_json, as_text
    from tritonsmith.backends.deploy.container.write import write_container

    made = write_container(repository, output or OUTPUT / "container", is_dry=dry_run, is_forced=is_forced)
    _say_notes(made.container.notices)
    console.answer(as_text(made), as_json(made), is_json=is_json)
    if not dry_run:
        console.tip(f"docker compose -f {made.written.folder / 'compose.yaml'} up --build")


def _to_kubernetes(
    repository: Path, _: object, *, output: Path | None, is_forced: bool, dry_run: bool, is_json: bool
) -> None:
    from tritonsmith.backends.deploy.kubernetes.show import as_json, as_text
    from tritonsmith.backends.deploy.kubernetes.write import write_kubernetes

    made = write_kubernetes(repository, output or OUTPUT, is_dry=dry_run, is_forced=is_forced)
    _say_notes(made.notices)
    console.answer(as_text(made), as_json(made), is_json=is_json)


def _say_notes(notes: Iterable[str]) -> None:
    for line in notes:
        console.say(f"note: {line}")


EVERYWHERE = ("dry_run", "is_json")
# each place by the parameter that names it: what brings the repository there, and the options that it takes
PLACES: dict[str, tuple[Callable[..., None], tuple[str, ...]]] = {
    "url": (_to_server, ("grpc_url", "server_repository", "load_limit", "smoke", "kept", "is_forced")),
    "push_url": (_to_store, ("kept",)),
    "pull_url": (_from_store, ("is_forced",)),
    "is_container": (_to_container, ("output", "is_forced")),
    "is_kubernetes": (_to_kubernetes, ("output", "is_forced")),
}
