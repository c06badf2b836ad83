"""`deploy --url` from end to end: what runs, what is wanted, the plan, its roll-out; one at a time on a server."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tritonsmith.backends.client.alone import alone_with, short_name
from tritonsmith.backends.client.base import connect, grpc_beside
from tritonsmith.backends.client.control import Control
from tritonsmith.backends.deploy.live.act import Site, recover, roll_out
from tritonsmith.backends.deploy.live.core import Plan, Proof, Running
from tritonsmith.backends.deploy.live.folder import SharedFolder
from tritonsmith.backends.deploy.live.journal import Journal
from tritonsmith.backends.deploy.live.observe import Server, find_server, observe
from tritonsmith.backends.deploy.live.plan import make_plan
from tritonsmith.backends.deploy.live.smoke import read_requests
from tritonsmith.backends.deploy.live.upload import Uploads
from tritonsmith.backends.deploy.live.wanted import read_wanted
from tritonsmith.generator.checks.case import Case, Target
from tritonsmith.generator.errors import ServerError, UsageError
from tritonsmith.generator.home import state_folder
from tritonsmith.generator.repository.core import Repository
from tritonsmith.generator.repository.read import read_repository
from tritonsmith.generator.suggest import did_you_mean

LOAD_LIMIT_S = 120.0
KEPT = 2  # versions: the new one and the one before


@dataclass(frozen=True)
class Order:
    """What is asked for: which repository goes to which server, how, and with which limits."""

    repository: Path
    url: str
    grpc_url: str | None = None
    server_repository: Path | None = None  # the folder that the server reads, as it is seen here
    kept: int = KEPT
    load_limit_s: float = LOAD_LIMIT_S
    smoke: Path | None = None
    is_forced: bool = False
    is_dry: bool = False


@dataclass(frozen=True)
class RollOut:
    """What was planned, what ran before, and what is to be said, as in `Proof`; done unless it was a dry run."""

    server: Server
    url: str
    plan: Plan
    running: Mapping[str, Running]
    notes: tuple[str, ...]
    unproven: Mapping[str, str]
    is_dry: bool


def deploy_live(order: Order) -> RollOut:
    """Let a server serve what a repository says; where that fails it serves what it did.

    Raises: UsageError where it cannot be asked for so; RepositoryError where the repository cannot be served;
    AnswerIsNo where it was rolled back; ServerError where the server does not answer or that failed.
    """
    url = order.url.removeprefix("http://").rstrip("/")
    grpc_url = order.grpc_url or grpc_beside(url)
    requests, folder = read_requests(order.smoke) if order.smoke else ({}, Path())
    repository = read_repository(order.repository)
    _require_other_folder(order)
    control = Control(url)
    with ExitStack() as stack:
        stack.enter_context(alone_with(url, "two roll-outs would undo each other"))
        client = stack.enter_context(connect(grpc_url))
        server = find_server(control)
        if not client.is_live():
            hint = "--grpc-url names its gRPC: requests that prove a model, and uploads, go over it"
            raise ServerError(f"no Triton answers over gRPC at {grpc_url}", hint=hint)
        make = partial(
            Site, control, client, load_limit_s=order.load_limit_s, requests=requests, folder=folder,
            explain=_explainer(repository),
        )  # fmt: skip
        sent = Uploads(_store(url), client, control, order.kept, is_forced=order.is_forced)
        uploads = make(sent, _journal(url))
        shared = _shared(order, control, server, sent, stack)
        site = make(shared, Journal(shared.stage / "journal.json")) if shared is not None else uploads
        sites = (uploads,) if shared is None else (uploads, site)
        recovered = [recover(one, is_dry=order.is_dry, is_forced=order.is_forced) for one in sites]
        notes = [said for said in recovered if said]
        if notes and order.is_dry:
            notes.append("what follows is planned for what runs now, before that")
        running = observe(control)
        wanted = read_wanted(repository, server.host)
        if order.smoke:
            _require_known(requests, {*wanted, *running}, order.smoke)
        plan = make_plan(wanted, running, site.channel, is_forced=order.is_forced)
        is_done = bool(plan.units) and not order.is_dry
        proof = roll_out(plan, wanted, running, site) if is_done else Proof()
    return RollOut(server, url, plan, running, (*notes, *proof.notes), proof.unproven, order.is_dry)


def _shared(order: Order, control: Control, server: Server, uploads: Uploads, stack: ExitStack) -> SharedFolder | None:
    """Return the folder in common, where there is one; it is locked against deploys of others, too."""
    if order.server_repository is None:
        return None
    folder = SharedFolder(order.server_repository, control, server.host, order.kept, uploads)
    if not order.is_dry:
        stack.enter_context(folder.alone(is_forced=order.is_forced))
    return folder


def _store(url: str) -> Path:
    return state_folder() / "uploads" / short_name(url)


def _journal(url: str) -> Journal:
    return Journal(state_folder() / "deploys" / f"{short_name(url)}.json")


def _require_other_folder(order: Order) -> None:
    shared = order.server_repository
    if shared is not None and shared.is_dir() and shared.resolve() == order.repository.resolve():
        raise UsageError(
            f"the server reads {order.repository} itself: what it served before is overwritten by the build already",
            hint="build elsewhere (--output), and deploy from there into the server's folder",
        )


def _require_known(requests: Iterable[str], models: Collection[str], path: Path) -> None:
    for name in requests:
        if name not in models:
            raise UsageError(f"{path} has requests for '{name}', which is no model.{did_you_mean(name, models)}")


def _explainer(repository: Repository) -> Callable[[str], str]:
    """Return what says why a server refuses a model's configuration, as far as checks know."""

    def explain(model: str) -> str:
        from tritonsmith.generator.checks import check_repository

        findings = check_repository(Case(repository, Target.of(repository)))
        said = [found.message for found in findings if found.model == model and found.phase and found.phase.is_at_load]
        return "; ".join(said[:2])

    return explain
