"""`deploy --container`: what builds and runs a repository's container, written as a folder."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from tritonsmith.backends.server.container import linked_files
from tritonsmith.backends.server.engines import require_engines
from tritonsmith.backends.server.view import SHIPPED_BACKENDS
from tritonsmith.generator.errors import UsageError
from tritonsmith.generator.manifests.container.core import Container, plan_container
from tritonsmith.generator.manifests.container.files import render
from tritonsmith.generator.manifests.folder import Written, write_folder
from tritonsmith.generator.manifests.workload import plan_workload
from tritonsmith.generator.repository.read import read_repository

FETCH = Path(__file__).parent.parent / "store" / "fetch.py"


@dataclass(frozen=True)
class Image:
    """What `deploy --container` wrote, or would write, for a container."""

    container: Container
    written: Written


def write_container(repository: Path, folder: Path, *, is_dry: bool, is_forced: bool) -> Image:
    """Write what builds and runs a repository's container, or say what would be written.

    Raises: RepositoryError where there is no repository, no image serves it, or what somebody edited would be lost;
        UsageError where a file that it names has no absolute path.
    """
    found = read_repository(repository)
    container = plan_container(found)
    if container.workload.launch is not None:
        require_engines(found, repository, container.base)
    tls = plan_workload(found).server.tls
    named = [*map(str, linked_files(repository)), *((tls.certificate, tls.key, tls.root) if tls else ())]
    notices = (*container.notices, *(_left_out(repository) if container.source == "baked" else ()))
    outside = tuple(sorted({*container.outside, *filter(None, named)}))
    container = replace(container, outside=outside, notices=notices)
    _require_absolute(container.outside)
    where = os.path.relpath(repository.resolve(), folder.resolve())
    files = render(container, where, shipped_backends(), FETCH.read_bytes())
    return Image(container, write_folder(folder, files, is_forced=is_forced, is_dry=is_dry))


def shipped_backends() -> Mapping[str, bytes]:
    """Return the files of our Python-based backends, by path in a backend directory."""
    return dict(_shipped())


def _shipped() -> Iterator[tuple[str, bytes]]:
    for backend in sorted(path.parent for path in SHIPPED_BACKENDS.glob("*/model.py")):
        for path in sorted(backend.rglob("*")):
            inside = path.relative_to(backend)
            # as in a backend directory, where a backend's own folder is no package
            if path.is_file() and "__pycache__" not in inside.parts and str(inside) != "__init__.py":
                yield f"{backend.name}/{inside.as_posix()}", path.read_bytes()


def _left_out(repository: Path) -> Iterator[str]:
    """Yield what is said of links whose target an image that the repository is copied into lacks."""
    root = repository.resolve()
    for link in sorted(path for path in root.rglob("*") if path.is_symlink()):
        target = link.readlink()
        if target.is_absolute() or root not in link.resolve().parents:
            yield (
                f"{link.relative_to(root)} is a link to {target}, which the image lacks: wherever it runs, that has to "
                "be mounted, as compose.yaml does it where the link is absolute; or put the file itself in its place"
            )


def _require_absolute(paths: tuple[str, ...]) -> None:
    for path in paths:
        if not path.startswith("/"):
            raise UsageError(
                f"'{path}' has no absolute path, by which it could be mounted", hint="server: {tls: ...} in the spec"
            )
