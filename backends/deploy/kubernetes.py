"""`deploy --kubernetes`: a repository's manifests, written as a folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tritonsmith.generator.manifests.folder import write_folder
from tritonsmith.generator.manifests.kubernetes.core import Workload, plan_workload
from tritonsmith.generator.manifests.kubernetes.files import render
from tritonsmith.generator.repository.read import read_repository


@dataclass(frozen=True)
class Written:
    """What `deploy --kubernetes` wrote, or would write: files by path below `folder`, of which some changed."""

    folder: Path
    workload: Workload
    files: tuple[str, ...]
    changed: tuple[str, ...]
    is_dry: bool

    def text(self) -> str:
        """Return what a person is told."""
        verb = "would write" if self.is_dry else "wrote"
        return f"{verb} {len(self.changed)} of {len(self.files)} files to {self.folder}"

    def as_json(self) -> dict[str, Any]:
        """Return what a machine is told."""
        return {"folder": str(self.folder), "files": list(self.files), "changed": list(self.changed)}


def write_kubernetes(repository: Path, folder: Path, *, is_dry: bool, is_forced: bool) -> Written:
    """Write a repository's manifests to a folder, or say what would be written.

    Raises: RepositoryError where there is no repository, it cannot be deployed so, or what somebody edited would be
        lost.
    """
    workload = plan_workload(read_repository(repository))
    files = render(workload)
    changed = write_folder(folder, files, is_forced=is_forced, is_dry=is_dry)
    return Written(folder, workload, tuple(sorted(files)), tuple(changed), is_dry)
