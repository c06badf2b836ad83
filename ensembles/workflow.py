"""What `init --ci` writes: a workflow for the spec that lies here, where GitHub looks for it."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

from tritonsmith.ensembles.starter import write_new, writing
from tritonsmith.generator.errors import UsageError
from tritonsmith.generator.manifests.workflow import is_as_written, render_workflow, workflow

WORKFLOW = Path(".github/workflows/tritonsmith.yml")


def write_workflow(spec: Path) -> Path:
    """Write the workflow of a spec at the root of its git repository, or beside it where there is none; return it.

    Raises: UsageError where there is no such spec, or a workflow of that name that is not ours or was edited.
    """
    if not spec.is_file():
        hint = "`tritonsmith init BLUEPRINT` writes a spec, `tritonsmith init --from REPOSITORY` that of a repository"
        raise UsageError(f"there is no spec '{spec}' that a workflow could build", hint=hint)
    folder = spec.absolute().parent
    root = next((one for one in (folder, *folder.parents) if (one / ".git").exists()), folder)
    path, place = root / WORKFLOW, folder.relative_to(root).as_posix()
    with writing(path):
        if path.exists() and not is_as_written(path.read_text(encoding="utf-8", errors="replace")):
            hint = "merge by hand, or move it away and write it anew"
            raise UsageError(f"'{path}' was edited, or is not from `init --ci`", hint=hint)
        data = workflow(spec.name, "" if place == "." else place, f"tritonsmith[embedded]=={version('tritonsmith')}")
        path.parent.mkdir(parents=True, exist_ok=True)
        write_new(path, render_workflow(data, spec.name))
    return path
