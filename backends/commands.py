"""The verbs of this layer: check, serve, infer, export, doctor."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tritonsmith.generator import console
from tritonsmith.generator.errors import AnswerIsNo, RepositoryError, TritonsmithError, UsageError
from tritonsmith.generator.manifests.server import LAST_PORT, LONGEST_LIMIT_S

if TYPE_CHECKING:
    from tritonsmith.backends.checking import Asked, AskedManifests
    from tritonsmith.backends.client.base import Client, WireProtocol
    from tritonsmith.backends.client.infer import Call
    from tritonsmith.backends.live_check.live import LiveReport
    from tritonsmith.backends.python_based.tensorrtllm.llm.cpu.graph import Precision
    from tritonsmith.generator.checks.report import Report
    from tritonsmith.generator.checks.select import Selection
    from tritonsmith.generator.manifests.server import ServerOptions

REPOSITORY = Path("model_repository")
PORT = click.IntRange(0, LAST_PORT)
OPENAI_PORT = 9000  # as NVIDIA's front end
FORMS = ("text", "json", "sarif", "github", "junit")
SECONDS = click.FloatRange(0, LONGEST_LIMIT_S, min_open=True)


@click.command()
@click.argument("path", type=click.Path(path_type=Path), required=False)
@click.option("--profile", default="", help="Lay this profile of the spec over it.")
@click.option("--triton", "release", default="", help="Judge for this release, e.g. 26.07; embedded is ours, 24.10.")
@click.option("--gpus", type=click.IntRange(0), default=None, help="GPUs of the target; as the spec says by default.")
@click.option("--no-auto-complete", is_flag=True, help="Judge as a server with --disable-auto-complete-config does.")
@click.option("--select", multiple=True, metavar="CODES", help="Tell these findings alone: TS401, or TS4 for all such.")
@click.option("--ignore", multiple=True, metavar="CODES", help="Do not tell these findings.")
@click.option("--load-only", is_flag=True, help="Tell only why models will not load.")
@click.option("--strict", is_flag=True, help="Status 1 for a warning, too.")
@click.option("--fix", "is_fix", is_flag=True, help="Mend what can be mended safely; shows the diff.")
@click.option("--diff", "is_diff", is_flag=True, help="Show what --fix would change; write nothing.")
@click.option("--explain", "code", metavar="CODE", default="", help="Say what a code means and why; all lists them.")
@click.option("--live", "is_live", is_flag=True, help="Load it into the embedded server, and show its verdict beside.")
@click.option(
    "--load-limit", type=SECONDS, default=None, help="With --live: seconds that one model may take to load, 60."
)
@click.option("--url", default="", help="Explain a running server at host:port: what waits, what idles, and why.")
@click.option(
    "--window", "window_s", type=SECONDS, default=None, help="With --url: seconds for which it is watched, 10."
)
@click.option("--model", "models", multiple=True, help="With --url: this model alone; repeat for more.")
@click.option("--format", "form", type=click.Choice(FORMS), default="text", show_default=True, help="For whom.")
@click.option("--json", "is_json", is_flag=True, help="Short for --format json.")
def check(
    path: Path | None,
    profile: str,
    release: str,
    gpus: int | None,
    no_auto_complete: bool,
    select: tuple[str, ...],
    ignore: tuple[str, ...],
    load_only: bool,
    strict: bool,
    is_fix: bool,
    is_diff: bool,
    code: str,
    is_live: bool,
    load_limit: float | None,
    url: str,
    window_s: float | None,
    models: tuple[str, ...],
    form: str,
    is_json: bool,
) -> None:
    """Find what is wrong with PATH: a spec, a model repository, Kubernetes manifests. Status 1 where there is an error.

    With --live status 1 too where a model's own code refuses. Where neither is so and the server disagrees with what
    was found, a bug of ours, it is 70.
    """
    from tritonsmith.backends import checking

    form = "json" if is_json else form
    _require_live_options(form, load_limit, url, is_live=is_live)
    if code:
        console.result(checking.explain(code))
        return
    selection = checking.selection_of(select, ignore, is_load_only=load_only)
    if _is_about_a_server(url, path, window_s, models):
        if _check_running(url, window_s, models, selection, form).is_bad(is_strict=strict):
            raise AnswerIsNo("")
        return
    question = checking.Question(path, profile, release, gpus, not no_auto_complete, selection)
    with checking.shown_if_unreadable(form):
        asked = checking.ask(question)
    if is_fix or is_diff:
        console.say(checking.fix(asked, is_dry=is_diff))
        asked = checking.ask(question)
    report = asked.report()
    if not is_live or form == "text":
        console.result(checking.show(report, asked.sources, form))
    live = _check_live(asked, report, load_limit, is_json=form == "json") if is_live else None
    if report.is_bad(is_strict=strict) or (live and live.has_unforeseen_failures):
        raise AnswerIsNo("")  # the findings, or the server, have said it
    if live and live.disagreements:
        raise TritonsmithError("")  # a bug of ours, and said


@click.command()
@click.argument("repository", type=click.Path(path_type=Path), default=REPOSITORY)
@click.option("--host", default=None, help="Address to listen on, 127.0.0.1 by default; 0.0.0.0 is every interface.")
@click.option("--http-port", type=PORT, default=None, help="8000 by default; 0 takes a free port.")
@click.option("--grpc-port", type=PORT, default=None, help="8001 by default; 0 takes a free port.")
@click.option("--metrics-port", type=PORT, default=None, help="8002 by default; 0 takes a free port.")
@click.option("--openai", "is_openai", is_flag=True, help="Answer OpenAI's API too, for the text pipelines.")
@click.option("--openai-port", type=PORT, default=None, help="With --openai: 9000 by default; 0 takes a free port.")
@click.option(
    "--load-limit", type=SECONDS, default=None, help="Seconds that one model may take to load, 120 by default."
)
@click.option("--keep-going", is_flag=True, help="Serve what loads, even if a model does not.")
@click.option("--log-file", type=click.Path(path_type=Path, dir_okay=False), help="Keep the server's log there.")
@click.option("--container", "is_container", is_flag=True, help="Serve in NVIDIA's container, with Docker.")
@click.option("--triton", "release", default=None, help="The container's release, e.g. 24.10.")
@click.option("--dry-run", is_flag=True, help="With --container: print the command, do not run it.")
@click.option("--json", "is_json", is_flag=True, help="Print URLs and models as JSON, once everything is loaded.")
def serve(
    repository: Path,
    host: str | None,
    http_port: int | None,
    grpc_port: int | None,
    metrics_port: int | None,
    is_openai: bool,
    openai_port: int | None,
    load_limit: float | None,
    keep_going: bool,
    log_file: Path | None,
    is_container: bool,
    release: str | None,
    dry_run: bool,
    is_json: bool,
) -> None:
    """Serve REPOSITORY (default ./model_repository) until Ctrl-C, on a private view of it."""
    from tritonsmith.backends.server.served import read_served

    served = read_served(repository)
    given: dict[str, Any] = {"host": host, "http_port": http_port, "grpc_port": grpc_port, "metrics_port": metrics_port}
    given |= {"load_limit_s": load_limit, "log_file": log_file.absolute() if log_file else None}
    options = served.with_options(given)
    front = _openai_port(is_openai, openai_port)
    if is_container:
        _serve_container(repository, options, release or served.release, openai_port=front, is_dry_run=dry_run)
        return
    if release or dry_run:
        raise UsageError("--triton and --dry-run belong to --container", hint="the embedded server is release 24.10")
    from tritonsmith.backends.openai.listen import front_end, require_front_end
    from tritonsmith.backends.server import show as shown
    from tritonsmith.backends.server.embedded import embedded_server

    with ExitStack() as stack:
        if front is not None:
            require_front_end(options, front)
        server = stack.enter_context(embedded_server(repository, options, is_partial=keep_going))
        openai_url = "" if front is None else stack.enter_context(front_end(server, front)).url
        if is_json:
            console.result_json(shown.as_json(server, openai_url))
        else:
            console.result(shown.as_text(server, openai_url))
        console.say("serving until Ctrl-C")
        server.wait()


@click.command()
@click.argument("model")
@click.option(
    "--input", "-i", "texts", multiple=True, metavar="NAME=VALUE", help="JSON, text or @FILE; repeat for rows."
)
@click.option(
    "--inputs", "rows", type=click.Path(path_type=Path, dir_okay=False), help="JSON file: {NAME: VALUE, ...}."
)
@click.option("--output", "outputs", multiple=True, metavar="NAME", help="Ask for this output alone.")
@click.option("--version", "version", default="", help="The model's version; the newest by default.")
@click.option("--url", default="", help="A running server's host:port; else one is started for --repository.")
@click.option("--repository", type=click.Path(path_type=Path), default=REPOSITORY, show_default=True)
@click.option("--protocol", type=click.Choice(["grpc", "http"]), default="grpc", show_default=True)
@click.option("--parameter", "-p", "parameters", multiple=True, metavar="NAME=VALUE", help="A request parameter.")
@click.option("--priority", type=int, default=None, help="The request's priority level.")
@click.option(
    "--timeout", "timeout_s", type=SECONDS, default=60.0, show_default=True, help="Seconds to wait for a response."
)
@click.option("--sequence-id", default=None, help="Number or text that names a sequence.")
@click.option("--sequence-start", is_flag=True, help="This request begins the sequence.")
@click.option("--sequence-end", is_flag=True, help="This request ends the sequence.")
@click.option("--save", "folder", type=click.Path(path_type=Path, file_okay=False), help="Write outputs there as .npy.")
@click.option("--json", "is_json", is_flag=True, help="Print the response as JSON; a stream as a line for each.")
def infer(
    model: str,
    texts: tuple[str, ...],
    rows: Path | None,
    outputs: tuple[str, ...],
    version: str,
    url: str,
    repository: Path,
    protocol: WireProtocol,
    parameters: tuple[str, ...],
    priority: int | None,
    timeout_s: float,
    sequence_id: str | None,
    sequence_start: bool,
    sequence_end: bool,
    folder: Path | None,
    is_json: bool,
) -> None:
    """Send a request to MODEL: `-i x='[1, 2]'`, `-i image=@digit.png`, `-i prompt=hello`, `-i x=@x.npy`."""
    from tritonsmith.backends.client.infer import Call, read_parameter, read_rows

    own = dict(map(read_parameter, parameters))
    call = Call(
        model,
        version,
        texts,
        read_rows(rows) if rows else (),
        rows.parent if rows else Path(),
        outputs,
        own if priority is None else {**own, "priority": priority},
        int(sequence_id) if sequence_id and sequence_id.isdecimal() else sequence_id,
        sequence_start,
        sequence_end,
    )
    with _client(url, repository, protocol) as client:
        _infer(client, call, timeout_s, folder, is_json=is_json)


@click.command()
@click.argument("folder", metavar="HF_FOLDER", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.argument("target", metavar="OUT", type=click.Path(path_type=Path))
@click.option("--weights", type=click.Choice(["fp32", "int8"]), default="fp32", show_default=True)
def export(folder: Path, target: Path, weights: Precision) -> None:
    """Write the Llama in HF_FOLDER as an engine folder OUT for the laptop's `tensorrtllm`: model.onnx and its json."""
    from tritonsmith.backends.python_based.tensorrtllm.llm.cpu.errors import EngineError
    from tritonsmith.backends.python_based.tensorrtllm.llm.cpu.export import export_engine

    try:
        export_engine(folder, target, weights)
    except EngineError as problem:
        raise RepositoryError(str(problem)) from None
    console.result(str(target))


@click.command()
@click.option("--install", "is_install", is_flag=True, help="Get what is missing and can be had without root.")
@click.option("--json", "is_json", is_flag=True, help="Print the result as JSON.")
def doctor(is_install: bool, is_json: bool) -> None:
    """Say which tools this machine has, which are missing, and how to get them."""
    from tritonsmith.backends.toolchain import doctor as tools

    if is_install:
        tools.install()
    found = tools.examine()
    if is_json:
        console.result_json(tools.as_json(found))
    else:
        console.result(tools.report(found))
    tools.require(found)


def _require_live_options(form: str, load_limit_s: float | None, url: str, *, is_live: bool) -> None:
    if load_limit_s is not None and not is_live:
        raise UsageError("--load-limit belongs to --live")
    if is_live and url:
        raise UsageError("--live starts a server of its own, and --url asks one that runs", hint="leave one out")
    if is_live and form not in ("text", "json"):
        raise UsageError(f"--live is not shown as {form}", hint="leave --format out, or use --format json")


def _check_live(
    asked: Asked | AskedManifests, report: Report, load_limit_s: float | None, *, is_json: bool
) -> LiveReport:
    """Ask the embedded server about a repository and show what it says; as JSON beside the findings.

    Raises: UsageError for manifests, which no server takes.
    """
    from tritonsmith.backends.checking import Asked
    from tritonsmith.backends.checking.formats import flat
    from tritonsmith.backends.live_check import show as shown
    from tritonsmith.backends.live_check.live import LOAD_LIMIT_S, check_live

    if not isinstance(asked, Asked):
        raise UsageError("--live loads a spec or a repository", hint=f"{asked.path} holds Kubernetes manifests")
    live = check_live(asked.case, asked.path, load_limit_s=load_limit_s or LOAD_LIMIT_S)
    if is_json:
        console.result_json({"findings": flat.as_json(report), "live": shown.as_json(live)})
    else:
        console.result(shown.as_text(live))
    return live


def _is_about_a_server(url: str, path: Path | None, window_s: float | None, models: tuple[str, ...]) -> bool:
    """Return whether --url was given; what belongs to it alone, or does not go with it, is refused."""
    if url and path is not None:
        raise UsageError("--url explains a running server, not a PATH", hint="give one of them")
    if not url and (window_s is not None or models):
        raise UsageError(f"{'--model' if models else '--window'} belongs to --url")
    return bool(url)


def _check_running(
    url: str, window_s: float | None, models: tuple[str, ...], selection: Selection, form: str
) -> Report:
    """Watch a running server, show what its models did and what there is to say, and return the findings."""
    from tritonsmith.backends.checking.formats import flat, show
    from tritonsmith.backends.client.base import connect
    from tritonsmith.backends.running import show as shown
    from tritonsmith.backends.running.explain import explain
    from tritonsmith.backends.running.observe import WINDOW_S, observe
    from tritonsmith.generator.checks.report import reported
    from tritonsmith.generator.checks.sources import Sources

    seconds = window_s or WINDOW_S
    console.say(f"watching {url} for {seconds:g} s")
    with connect(url, "grpc") as client:
        seen = observe(client, seconds, models)
    report = reported(explain(seen), Sources(), selection)
    if form == "json":
        console.result_json({"findings": flat.as_json(report), "models": shown.as_json(seen)})
        return report
    if form == "text":
        console.result(shown.as_table(seen))
    console.result(show(report, Sources(), form))
    return report


def _openai_port(is_openai: bool, port: int | None) -> int | None:
    """Return the front end's port, None where there is to be none."""
    if port is not None and not is_openai:
        raise UsageError("--openai-port belongs to --openai")
    return (OPENAI_PORT if port is None else port) if is_openai else None


def _serve_container(
    repository: Path, options: ServerOptions, release: str, *, openai_port: int | None, is_dry_run: bool
) -> None:
    """Print the docker command, and run it unless `is_dry_run`."""
    import shlex

    from tritonsmith.backends.server.contained import plan_container
    from tritonsmith.backends.server.container import run_container

    plan = plan_container(repository, options, release, openai_port)
    for line in plan.notices:
        console.say(f"note: {line}")
    if is_dry_run:
        console.result(shlex.join(plan.argv))
    else:
        run_container(plan.argv, name=plan.name, stop_limit_s=options.exit_timeout_secs)


@contextmanager
def _client(url: str, repository: Path, protocol: WireProtocol) -> Iterator[Client]:
    """Connect to a server, or start one for the repository and stop it afterwards."""
    from tritonsmith.backends.client.base import connect
    from tritonsmith.backends.server.embedded import embedded_server

    with ExitStack() as stack:
        if not url:
            server = stack.enter_context(embedded_server(repository))
            url = server.grpc_url if protocol == "grpc" else server.http_url
        yield stack.enter_context(connect(url, protocol))


def _infer(client: Client, call: Call, timeout_s: float, folder: Path | None, *, is_json: bool) -> None:
    """Send the requests and show each response as it comes: of a stream of text its pieces, joined."""
    import itertools

    from tritonsmith.backends.client import outputs as shown
    from tritonsmith.backends.client.infer import build_requests, find_target, send

    target = find_target(client, call.model, call.version)
    requests = build_requests(call, target)
    is_stream = target.is_decoupled or len(requests) > 1
    numbers = itertools.count()
    for request in requests:
        is_open = False  # a line of text that is still being written
        try:
            for response in send(client, [request], target, timeout_s):
                suffix = f".{next(numbers)}" if is_stream else ""
                for path in shown.save(response, folder, suffix) if folder else ():
                    console.say(f"wrote {path}")
                piece = shown.as_piece(response) if target.is_decoupled and not is_json else None
                if is_open and piece is None:
                    console.result("")
                is_open = piece is not None
                if piece is not None:
                    console.result_piece(piece)
                elif is_json:
                    console.result(shown.as_json_text(response, is_line=is_stream))
                elif target.is_decoupled:
                    console.result(shown.as_line(response))
                else:
                    console.result(shown.as_text(response, is_batched=target.is_batched))
        finally:
            if is_open:
                console.result("")
