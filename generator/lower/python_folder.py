"""A Python model from a folder: its config.pbtxt is the lowest layer, its files go into the version folder.

The folder is an ordinary Triton model folder (config.pbtxt and 1/model.py), or holds model.py itself. Modules that
model.py imports relatively (`from .decode import decode`) lie beside it, or in the folder's parent, as in a blueprint.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from pathlib import Path

from tritonsmith.generator.files import read_regular
from tritonsmith.generator.findings import Finding, Place, error
from tritonsmith.generator.lower.facts import Facts
from tritonsmith.generator.repository.core import SourceFile
from tritonsmith.generator.repository.names import CONFIG_FILE
from tritonsmith.generator.repository.pbtxt import parse_config
from tritonsmith.generator.repository.walk import BYTECODE, walk, whole
from tritonsmith.generator.spec.data import message_data
from tritonsmith.generator.spec.document import ModelSpec

_LEFT_OUT = {BYTECODE, ".git", ".ipynb_checkpoints"}


def facts_of_folder(model: ModelSpec, folder: Path, findings: list[Finding]) -> Facts | None:
    """Return what a Python model's folder says; None where a finding makes the model impossible."""
    key = f"models.{model.name}.python"
    count = len(findings)
    if folder.is_file():
        return Facts({"backend": "python"}, {"1/model.py": SourceFile(folder)})
    files = _files(folder, model, findings)
    scripts = [name for name in files if name.endswith("/model.py")]
    if not scripts:
        hint = "a Python model is a folder with model.py (or 1/model.py) and config.pbtxt"
        message = f"'{folder.name}' holds no model.py"
        findings.append(error(message, model.place_of("python"), key=key, remedy=hint))
        return None
    beside = {name: SourceFile(path) for name, path in model.files.items()}
    for script in scripts:
        files.update(_neighbours(script, folder, {**files, **beside}, model, findings))
    fields = _config_fields(folder / CONFIG_FILE, findings)
    fields.pop("name", None)  # the folder's own; the model may be called otherwise
    return Facts({"backend": "python", **fields}, files) if len(findings) == count else None


def _files(folder: Path, model: ModelSpec, findings: list[Finding]) -> dict[str, SourceFile]:
    """Return the folder's files by their path in the model's folder; where model.py lies on top, all go into 1/."""
    prefix = "1/" if (folder / "model.py").is_file() else ""
    paths, faults = whole(walk(folder, _LEFT_OUT))
    place, key = model.place_of("python"), f"models.{model.name}.python"
    findings += [error(f"'{folder.name}/{path}' is {fault}", place, key=key) for path, fault in faults.items()]
    kept = [path for path in sorted(paths) if path.rpartition("/")[2] != CONFIG_FILE]
    return {f"{prefix}{path}": SourceFile(folder / path) for path in kept}


def _config_fields(path: Path, findings: list[Finding]) -> dict[str, object]:
    if not path.is_file():
        return {}
    try:
        text = read_regular(path).decode(errors="replace")
    except OSError as problem:
        findings.append(error(f"cannot read the configuration: {problem.strerror}", Place(str(path))))
        return {}
    config = parse_config(text, str(path))
    if isinstance(config, tuple):
        findings.extend(config)
        return {}
    return message_data(config)


def _neighbours(
    script: str, folder: Path, files: Mapping[str, SourceFile], model: ModelSpec, findings: list[Finding]
) -> dict[str, SourceFile]:
    """Return the modules that a script imports relatively and that lie in the folder's parent, by path."""
    key = f"models.{model.name}.python"
    version = script.rpartition("/")[0]
    found: dict[str, SourceFile] = {}
    waiting = [files[script].path]
    seen = {script}
    while waiting:
        path = waiting.pop()
        for module, line in _relative_imports(path, key, findings):
            target = f"{version}/{module}.py"
            beside = folder.parent / f"{module}.py"
            if target in seen or f"{version}/{module}/__init__.py" in files:  # a package came along whole
                continue
            seen.add(target)
            if target in files:
                waiting.append(files[target].path)
            elif beside.is_file():
                found[target] = SourceFile(beside)
                waiting.append(beside)
            else:
                message = f"'.{module}' is neither beside model.py nor in {folder.parent.name}/"
                hint = f"put {module}.py beside model.py, or import it without the dot where it is installed"
                findings.append(error(message, Place(str(path), line), key=key, remedy=hint))
    return found


def _relative_imports(path: Path, key: str, findings: list[Finding]) -> list[tuple[str, int]]:
    """Return the modules that a script imports from its own folder, each with the line."""
    try:
        parsed = ast.parse(read_regular(path), str(path))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as problem:  # the last two: nested too deeply
        line = getattr(problem, "lineno", 0) or 0
        reason = problem.msg if isinstance(problem, SyntaxError) else str(problem) or "nested too deeply"
        findings.append(error(f"not Python: {reason}", Place(str(path), line), key=key, remedy="mend the script"))
        return []
    except OSError as problem:
        findings.append(error(f"cannot read the script: {problem.strerror}", Place(str(path)), key=key))
        return []
    imports = [node for node in ast.walk(parsed) if isinstance(node, ast.ImportFrom) and node.level == 1]
    return [
        (name.partition(".")[0], node.lineno)
        for node in imports
        for name in ([node.module] if node.module else [alias.name for alias in node.names])
    ]
