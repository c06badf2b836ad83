"""The files of a container: what `docker compose up --build` needs beside the repository."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tritonsmith.generator.manifests.container.compose import compose
from tritonsmith.generator.manifests.container.core import Container
from tritonsmith.generator.manifests.ranks import FOLDER as RANKS
from tritonsmith.generator.manifests.ranks import has_ranks, scripts_of
from tritonsmith.generator.manifests.script import render_script
from tritonsmith.generator.manifests.server import MODELS
from tritonsmith.generator.manifests.yaml_text import to_yaml

HERE = Path(__file__).parent


def render(container: Container, repository: str, backends: Mapping[str, bytes], fetch: bytes) -> dict[str, bytes]:
    """Return the files by path; `backends` are those of Python-based backends by path, `fetch` copies from a store.

    `repository` is the folder's path, absolute or from where the files lie.
    """
    workload = container.workload
    values = {"container": container, "ports": workload.ports.values(), "models": MODELS, "ranks": RANKS}
    files = {
        "Dockerfile": render_script(HERE / "Dockerfile.j2", **values, has_ranks=has_ranks(workload)).encode(),
        "start.sh": start_script(container).encode(),
        "compose.yaml": to_yaml([compose(container, repository)]).encode(),
    }
    taken = {f"backends/{path}": data for path, data in backends.items() if path.split("/")[0] in container.stand_ins}
    if container.requirements:
        files["requirements.txt"] = "".join(f"{line}\n" for line in container.requirements).encode()
    if container.source == "fetched":
        files["fetch.py"] = fetch
    if has_ranks(workload):
        files |= {f"ranks/{name}": text.encode() for name, text in scripts_of(workload).items()}
    files |= taken
    allowed = sorted({path.split("/")[0] for path in files} - {"Dockerfile", "compose.yaml"})
    files[".dockerignore"] = "".join(f"{line}\n" for line in ("*", *(f"!{path}" for path in allowed))).encode()
    return files


def start_script(container: Container) -> str:
    """Return the script that a container runs."""
    return render_script(
        HERE / "start.sh.j2",
        container=container,
        command=[word for rank in _ranks(container.argv) for word in rank],
        environment={name: shlex.quote(value) for name, value in container.environment.items()},
        store=shlex.quote(container.store),
        models=MODELS,
    )


def _ranks(argv: Sequence[str]) -> Iterator[list[str]]:
    """Yield each rank's words as lines of a script, the caller's own arguments last; one rank where there is no ":"."""
    line: list[str] = []
    for word in argv:
        if word == ":":
            yield [*line, '"$@" :']
            line = []
        else:
            line.append(shlex.quote(word))
    yield [*line, '"$@"']
