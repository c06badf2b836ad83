"""A Python model from a folder: its config.pbtxt is the lowest layer, its files go into the version folder.

The folder is an ordinary Triton model folder (config.pbtxt and 1/model.py), or holds model.py itself. Modules that
model.py imports relatively (`from .decode import decode`) lie beside it, or in the folder's parent, as in a blueprint.
"""

from __future__ import annotations

import ast
from pathlib import Path

from tritonsmith.generator.findings import Finding, Place, error
from tritonsmith.generator.lower.facts import Facts
from tritonsmith.generator.repository.core import File, SourceFile
from tritonsmith.generator.repository.pbtxt import parse_config
from tritonsmith.generator.spec.data import message_data
from tritonsmith.generator.spec.document import ModelSpec

_LEFT_OUT = {"__pycache__", "config.pbtxt", ".git", ".ipynb_checkpoints"}


def facts_of_folder(model: ModelSpec, folder: Path, findings: list[Finding]) -> Facts | None:
    """Return what a Python model's folder says; None where a finding makes the model impossible."""
    key = f"models.{model.name}.python"
    count = len(findings)
    if folder.is_file():
        return Facts({"backend": "python"}, {"1/model.py": SourceFile(folder)})
    files = _files(folder)
    scripts = [name for name in files if name.endswith("/model.py")]
    if not scripts:
        hint = "a Python model is a folder with model.py (or 1/model.py) and config.pbtxt"
        message = f"'{folder.name}' holds no model.py"
        findings.append(error(message, model.place_of("python"), key=key, remedy=hint))
        return None
    for script in scripts:
        files.update(_neighbours(script, folder, files, model, findings))
    fields = _config_fields(folder / "config.pbtxt", findings)
    return Facts({"backend": "python", **fields}, files) if len(findings) == count else None


def _files(folder: Path) -> dict[str, File]:
    """Return the folder's files by their path in the model's folder; where model.py lies on top, all go into 1/."""
    prefix = "1/" if (folder / "model.py").is_file() else ""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    kept = [path for path in paths if not _LEFT_OUT & set(path.relative_to(folder).parts)]
    return {f"{prefix}{path.relative_to(folder).as_posix()}": SourceFile(path) for path in kept}


def _config_fields(path: Path, findings: list[Finding]) -> dict[str, object]:
    if not path.is_file():
        return {}
    config = parse_config(path.read_text(encoding="utf-8", errors="replace"), str(path))
    if isinstance(config, Finding):
        findings.append(config)
        return {}
    return message_data(config)


def _neighbours(
    script: str, folder: Path, files: dict[str, File], model: ModelSpec, findings: list[Finding]
) -> dict[str, File]:
    """Return the modules that a script imports relatively and that lie in the folder's parent, by path."""
    version = script.rpartition("/")[0]
    found: dict[str, File] = {}
    waiting = [script]
    seen = set(waiting)
    while waiting:
        name = waiting.pop()
        source = files[name] if name in files else found[name]
        path = source.path if isinstance(source, SourceFile) else folder
        for module in _relative_imports(path, findings):
            target = f"{version}/{module}.py"
            beside = folder.parent / f"{module}.py"
            if target in seen:
                continue
            seen.add(target)
            if target in files:
                waiting.append(target)
            elif beside.is_file():
                found[target] = SourceFile(beside)
                waiting.append(target)
            else:
                message = f"'.{module}' is neither beside model.py nor in {folder.parent.name}/"
                findings.append(error(message, Place(str(path)), key=f"models.{model.name}.python"))
    return found


def _relative_imports(path: Path, findings: list[Finding]) -> list[str]:
    try:
        parsed = ast.parse(path.read_bytes(), str(path))
    except (SyntaxError, ValueError) as problem:
        line = getattr(problem, "lineno", 0) or 0
        findings.append(error(f"not Python: {problem}", Place(str(path), line)))
        return []
    imports = [node for node in ast.walk(parsed) if isinstance(node, ast.ImportFrom) and node.level == 1]
    modules = [name for node in imports for name in ([node.module] if node.module else [a.name for a in node.names])]
    return [name.partition(".")[0] for name in modules]
