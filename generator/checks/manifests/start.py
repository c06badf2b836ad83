"""What a container starts: its commands, tritonserver's options among them, and who is process 1."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath

SERVER = "tritonserver"
_SHELLS = ("sh", "bash", "dash", "ash", "zsh")
_MPI = ("mpirun", "mpiexec", "orterun")
_INITS = ("tini", "dumb-init", "tini-static", "catatonit")
_COUNTS = ("-n", "-np", "--np", "-c", "--n")
_PYTHON = re.compile(r"python[0-9.]*")
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=.*", re.DOTALL)
# Options of launch scripts (launch_triton_server.py, the tutorials' server.py) that say how many ranks there are.
_WORLD = ("world_size",)
_TENSOR = ("tp", "tp_size", "tensor_parallel", "tensor_parallelism", "tensor_parallel_size")
_PIPELINE = ("pp", "pp_size", "pipeline_parallel", "pipeline_parallelism", "pipeline_parallel_size")


@dataclass(frozen=True)
class Command:
    """One command of a container: its words, and whether it takes the place of the shell before it."""

    words: tuple[str, ...]
    is_exec: bool = False

    @property
    def program(self) -> str:
        """The program's name without its folder."""
        return PurePosixPath(self.words[0]).name if self.words else ""

    @property
    def is_server(self) -> bool:
        """Whether tritonserver is in it, under mpirun too."""
        return any(PurePosixPath(word).name == SERVER for word in self.words)

    @property
    def has_mpi(self) -> bool:
        """Whether mpirun is in it."""
        return any(PurePosixPath(word).name in _MPI for word in self.words)

    def options(self) -> Iterator[tuple[str, str]]:
        """Yield the options, by name without dashes, each with its value."""
        words = self.words[1:]
        for position, word in enumerate(words):
            if word.startswith("--"):
                name, has_value, value = word[2:].partition("=")
                following = words[position + 1] if position + 1 < len(words) else ""
                yield name, value if has_value or following.startswith("-") else following


@dataclass(frozen=True)
class Start:
    """The commands of a container in their order; none where the image decides.

    `is_shell` where they are a script for a shell, which then is process 1.
    """

    commands: tuple[Command, ...] = ()
    is_shell: bool = False

    @cached_property
    def server(self) -> Command | None:
        """The command that starts tritonserver."""
        return next((command for command in self.commands if command.is_server), None)

    @cached_property
    def main(self) -> Command | None:
        """What the container runs in the end: tritonserver, or else its last command."""
        return self.server or (self.commands[-1] if self.commands else None)

    def option(self, name: str) -> str | None:
        """Return the value of tritonserver's option, the first rank's; None where it is not given or not known yet."""
        values = self.values(name)
        return values[0] if values and "$" not in values[0] else None

    def values(self, name: str) -> list[str]:
        """Return every value of an option of tritonserver, the first rank's."""
        ranks = self.server_options
        return [value for given, value in ranks[0] if given == name] if ranks else []

    @cached_property
    def server_options(self) -> list[list[tuple[str, str]]]:
        """Tritonserver's options by rank: mpirun has ':' between two."""
        ranks: list[list[str]] = [[]]
        for word in self.server.words if self.server else ():
            if word == ":":
                ranks.append([])
            else:
                ranks[-1].append(word)
        starts = [
            next((n for n, word in enumerate(rank) if PurePosixPath(word).name == SERVER), None) for rank in ranks
        ]
        found = [rank[start:] for rank, start in zip(ranks, starts, strict=True) if start is not None]
        return [list(Command(tuple(words)).options()) for words in found]

    @cached_property
    def ranks(self) -> int | None:
        """How many processes mpirun, or a launch script, starts; None where nothing says."""
        for command in self.commands:
            if command.has_mpi:
                return _mpi_ranks(command.words)
        for command in self.commands:
            given = {name.replace("-", "_"): value for name, value in command.options()}
            world = _first(given, _WORLD)
            tensor, pipeline = _first(given, _TENSOR), _first(given, _PIPELINE)
            if world or tensor:
                return world or (tensor or 1) * (pipeline or 1)
        return None

    @property
    def keeps_signals(self) -> bool:
        """Whether the shell stays process 1 in front of what it runs: SIGTERM ends there.

        A shell gives its place to a lone command, and to one behind `exec`.
        """
        return bool(self.is_shell and self.main and len(self.commands) > 1 and not self.main.is_exec)

    @property
    def python_script(self) -> str:
        """The Python script that is process 1, empty where there is none."""
        if self.main is None or self.keeps_signals or self.server is not None:
            return ""
        words = self.main.words
        if not _PYTHON.fullmatch(self.main.program):
            return words[0] if words[0].endswith(".py") else ""
        return next((word for word in words[1:] if word.endswith(".py")), "")

    @property
    def shell_script(self) -> str:
        """The file of a shell script that is process 1, empty where there is none."""
        words = self.main.words if self.main is not None and not self.is_shell else ()
        if not words or self.main is None or self.main.program not in _SHELLS:
            return words[0] if words and words[0].endswith(".sh") else ""
        return next((word for word in words[1:] if not word.startswith("-")), "")


def read_start(command: Sequence[str], args: Sequence[str]) -> Start:
    """Return what a container's command and args start."""
    words = [*command, *args]
    while words and PurePosixPath(words[0]).name in _INITS:
        words = words[1:]
        while words and words[0].startswith("-"):
            words = words[1:]
    if not words:
        return Start()
    script = _script(words)
    if script is None:
        return Start((Command(tuple(words)),))
    return Start(tuple(_commands(script)), is_shell=True)


def _script(words: Sequence[str]) -> str | None:
    """Return the text that a shell is given with -c, None where it is no shell or runs a file."""
    if PurePosixPath(words[0]).name not in _SHELLS:
        return None
    for position, word in enumerate(words[1:], 1):
        if re.fullmatch(r"-[a-z]*c[a-z]*", word):
            return words[position + 1] if position + 1 < len(words) else None
        if not word.startswith("-"):
            return None
    return None


def _commands(script: str) -> Iterator[Command]:
    joined = re.sub(r"\\\n", " ", script)
    lines = [line for line in joined.split("\n") if not line.lstrip().startswith("#")]
    for part in re.split(r"\n|;|&&|\|\|", "\n".join(lines)):
        words = _words(part)
        while words and _ASSIGNMENT.fullmatch(words[0]):
            words = words[1:]
        is_exec = words[:1] == ["exec"]
        if words[is_exec:]:
            yield Command(tuple(words[is_exec:]), is_exec)


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text, comments=True)
    except ValueError:  # a quote over several commands
        return text.split()


def _mpi_ranks(words: Sequence[str]) -> int | None:
    counts = [words[place + 1] for place, word in enumerate(words[:-1]) if word in _COUNTS]
    return sum(map(int, counts)) if counts and all(count.isdecimal() for count in counts) else None


def _first(given: dict[str, str], names: Sequence[str]) -> int | None:
    return next((int(given[name]) for name in names if given.get(name, "").isdecimal()), None)
