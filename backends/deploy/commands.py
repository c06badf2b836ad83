"""The verb `deploy`: one command, one place at a time."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from tritonsmith.backends.commands import REPOSITORY, SECONDS
from tritonsmith.generator import console
from tritonsmith.generator.errors import UsageError

OUTPUT = Path("deploy")
PLACES = ("--url", "--push", "--pull", "--container", "--kubernetes")


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
def deploy(
    repository: Path,
    url: str,
    grpc_url: str | None,
    server_repository: Path | None,
    load_limit: float | None,
    smoke: Path | None,
    push_url: str,
    pull_url: str,
    is_container: bool,
    is_kubernetes: bool,
    kept: int | None,
    output: Path | None,
    dry_run: bool,
    is_forced: bool,
    is_json: bool,
) -> None:
    """Bring REPOSITORY (default ./model_repository) to where it is served, one place at a time."""
    given = dict(zip(PLACES, (url, push_url, pull_url, is_container, is_kubernetes), strict=True))
    chosen = [name for name, value in given.items() if value]
    if len(chosen) != 1:
        named = " and ".join(chosen) or "none of them"
        raise UsageError(f"deploy goes to one place at a time; given: {named}", hint=f"give one of {', '.join(PLACES)}")
    if not url and (grpc_url or server_repository or load_limit or smoke):
        raise UsageError("--grpc-url, --server-repository, --load-limit and --smoke belong to --url")
    if kept and not (url or push_url):
        raise UsageError("--keep belongs to --push and --url")
    if url:
        from tritonsmith.backends.deploy.live import rollout
        from tritonsmith.backends.deploy.live import show as shown

        limit_s, count = load_limit or rollout.LOAD_LIMIT_S, kept or rollout.KEPT
        order = rollout.Order(
            repository, url, grpc_url, server_repository, count, limit_s, smoke, is_forced=is_forced, is_dry=dry_run
        )
        done = rollout.deploy_live(order)
        for line in (*done.plan.notes, *done.notes):
            console.say(f"note: {line}")
        console.result_json(shown.as_json(done)) if is_json else console.result(shown.as_text(done))
        return
    if is_kubernetes:
        from tritonsmith.backends.deploy.kubernetes import write_kubernetes

        written = write_kubernetes(repository, output or OUTPUT, is_dry=dry_run, is_forced=is_forced)
        console.result_json(written.as_json()) if is_json else console.result(written.text())
        return
    if is_container:
        from tritonsmith.backends.deploy.containers.write import write_container

        made = write_container(repository, output or OUTPUT / "container", is_dry=dry_run, is_forced=is_forced)
        console.result_json(made.as_json()) if is_json else console.result(made.text())
        return
    if push_url:
        from tritonsmith.backends.deploy.store.push import push
        from tritonsmith.backends.deploy.store.show import show_push

        pushed = push(repository, push_url, kept=kept, is_dry=dry_run)
        console.result_json(asdict(pushed)) if is_json else show_push(pushed, is_dry=dry_run)
        return
    from tritonsmith.backends.deploy.store.pull import pull
    from tritonsmith.backends.deploy.store.show import show_pull

    pulled = pull(pull_url, repository, is_forced=is_forced, is_dry=dry_run)
    console.result_json(asdict(pulled)) if is_json else show_pull(pulled, is_dry=dry_run)
