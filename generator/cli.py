"""The command `tritonsmith`: a table of verbs, each imported when it is used, and the one place where errors end."""

from __future__ import annotations

import importlib
import io
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import NoReturn

import click

from tritonsmith.generator.errors import EXIT_INTERRUPTED, EXIT_TERMINATED, TritonsmithError

# verb -> (module:function, one-line help). Help prints from this table, so it imports none of the modules.
VERBS: dict[str, tuple[str, str]] = {
    "init": ("tritonsmith.ensembles.commands:init", "Write a commented spec from a blueprint or from a repository."),
    "build": ("tritonsmith.ensembles.commands:build", "Turn a spec into a model repository."),
    "check": ("tritonsmith.backends.commands:check", "Find what is wrong with a spec or a model repository."),
    "graph": ("tritonsmith.ensembles.commands:graph", "Draw pipelines, their findings in place: SVG, Mermaid, text."),
    "serve": ("tritonsmith.backends.commands:serve", "Serve a model repository and wait until it is ready."),
    "infer": ("tritonsmith.backends.commands:infer", "Send one request to a model, typed from its metadata."),
    "export": ("tritonsmith.backends.commands:export", "Write a Hugging Face Llama as an engine for the laptop."),
    "plan": ("tritonsmith.perf.commands:plan", "Say what fits, how to split it, how many and at what cost."),
    "sweep": ("tritonsmith.perf.commands:sweep", "Measure a model with perf_analyzer over levels of load."),
    "simulate": ("tritonsmith.perf.commands:simulate", "Predict latency from service times, without a server."),
    "tune": ("tritonsmith.perf.commands:tune", "Find the best configuration under a goal; write it into the spec."),
    "gate": ("tritonsmith.perf.commands:gate", "Compare a candidate with a baseline: pass, regress or inconclusive."),
    "report": (
        "tritonsmith.perf.commands:report",
        "Turn what sweep, tune or gate found into HTML, Markdown and the like.",
    ),
    "deploy": (
        "tritonsmith.backends.deploy.commands:deploy",
        "Bring a repository to a server, a store or Kubernetes.",
    ),
    "doctor": ("tritonsmith.backends.commands:doctor", "Say which tools this machine has; --install completes them."),
}


class VerbTable(click.Group):
    """A click group that imports a verb's module only when the verb is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the verbs in the order of the pipeline."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return one verb's command."""
        if cmd_name not in VERBS:
            return None
        module, _, function = VERBS[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), function)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Print the table of verbs without importing any."""
        with formatter.section("Verbs"):
            formatter.write_dl([(verb, help_line) for verb, (_, help_line) in VERBS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Add a suggestion to the error for an unknown verb."""
        if args and args[0] not in VERBS and not args[0].startswith("-"):
            from tritonsmith.generator.suggest import did_you_mean

            raise click.UsageError(f"No such verb '{args[0]}'.{did_you_mean(args[0], VERBS)}", ctx)
        return super().resolve_command(ctx, args)


@click.group(cls=VerbTable, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="tritonsmith", prog_name="tritonsmith")
def cli() -> None:
    """Write a Triton model repository from a short spec, prove it, serve it, measure it.

    Exit status: 0 yes; 1 the answer is no; 2 wrong usage; 3 bad spec; 4 bad repository; 5 a tool is missing;
    6 the server failed; 7 unstable or inconclusive; 70 a bug; 130 interrupted; 143 terminated.
    """


def main() -> NoReturn:
    """Run the command line and end the process with its exit status."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a name that the terminal's encoding lacks is no bug
    sys.exit(guarded(lambda: cli.main(sys.argv[1:], prog_name="tritonsmith", standalone_mode=False)))


def guarded(work: Callable[[], object]) -> int:
    """Do some work and return its exit status; the only place where unforeseen errors are caught.

    A number that the work returns is its exit status (click's, after --help and the like).
    """
    received = _listen_to_signals()
    try:
        answer = work()
        status = answer if isinstance(answer, int) else 0
    except BaseException as problem:
        # numpy makes an ImportError of what a signal raises during its import, and that can become anything.
        status = _explain(_raised_by(received[0]) if received else problem)
    _let_readers_go()
    return status


def _explain(problem: BaseException) -> int:
    """Tell the user what ended the work, and return the exit status for it."""
    match problem:
        case TritonsmithError():
            if problem.message:  # an answer may have been given already
                _tell(f"error: {problem}")
            return problem.exit_code
        case click.ClickException():
            if isinstance(problem, click.UsageError) and problem.ctx is not None:
                _tell(problem.ctx.get_usage())
            _tell(f"error: {problem.format_message()}")
            return problem.exit_code
        case KeyboardInterrupt() | click.exceptions.Abort():
            _tell("interrupted")
            return EXIT_INTERRUPTED
        case SystemExit():
            return problem.code if isinstance(problem.code, int) else 1
    import traceback

    _tell("".join(traceback.format_exception(problem)))
    _tell("error: this is a bug in tritonsmith; please report it with the lines above")
    return TritonsmithError.exit_code


def _tell(text: str) -> None:
    with suppress(OSError):  # `tritonsmith ... 2>&1 | head`: the status stands whoever reads why
        click.echo(text, err=True)


def _let_readers_go() -> None:
    """Turn stdout and stderr away from readers that have gone: the flush at exit would fail and change the status."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _listen_to_signals() -> list[int]:
    """Leave through the stack on SIGINT, SIGTERM and SIGHUP, so that every server and folder of ours is taken down.

    Returns the list to which each signal that arrives is added.
    """
    received: list[int] = []

    def leave(number: int, _frame: FrameType | None) -> NoReturn:
        received.append(number)
        raise _raised_by(number)

    signal.signal(signal.SIGINT, leave)  # a script's `&` starts us with SIGINT ignored
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup means it
            signal.signal(number, leave)
    return received


def _raised_by(number: int) -> BaseException:
    return KeyboardInterrupt() if number == signal.SIGINT else SystemExit(EXIT_TERMINATED)
