"""`graph`: a spec or any model repository drawn, as text or into a file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

from tritonsmith.ensembles.draw.core import Drawing
from tritonsmith.ensembles.draw.repository import draw_repository
from tritonsmith.ensembles.source import given_or_found, read_source, release_named, sources_of
from tritonsmith.generator.checks import Case, Target
from tritonsmith.generator.checks.report import report_on
from tritonsmith.generator.errors import UsageError

Form = Literal["svg", "mermaid", "text"]
FORMS: tuple[Form, ...] = ("svg", "mermaid", "text")
LEAST_COLUMNS, MOST_COLUMNS = 80, 100
_ENDINGS: dict[str, Form] = {
    ".svg": "svg", ".mmd": "mermaid", ".mermaid": "mermaid", ".md": "mermaid", ".txt": "text",
}  # fmt: skip


def draw_path(path: Path | None, *, model: str = "", profile: str = "", release: str = "") -> Drawing:
    """Return the drawing of a spec or repository with its findings; without a path of ./tritonsmith.yaml, as `check`.

    Raises: SpecError where a spec cannot be read; RepositoryError where the path is neither; UsageError where there
    is no such model or release.
    """
    source = given_or_found(path)
    repository = read_source(source, profile)
    target = Target.of(repository)
    case = Case(repository, replace(target, release=release_named(release)) if release else target)
    return draw_repository(case, report_on(case, sources_of(source)).told, model)


def form_of(form: str, output: Path | None) -> Form:
    """Return the form that was asked for, by name or by the ending of the file.

    Raises: UsageError where the ending is none of ours.
    """
    for known in FORMS:
        if form == known:
            return known
    if output is None:
        return "text"
    if output.suffix.lower() not in _ENDINGS:
        known_endings = f"the endings are {', '.join(_ENDINGS)}"
        raise UsageError(f"'{output}' does not say what to draw", hint=f"--format {'|'.join(FORMS)}; {known_endings}")
    return _ENDINGS[output.suffix.lower()]


def render(
    drawing: Drawing, form: Form, *, width: int = MOST_COLUMNS, is_ascii: bool = False, is_markdown: bool = False
) -> str:
    """Return the drawing in a form; `is_markdown` puts Mermaid into a block of a document."""
    if form == "svg":
        from tritonsmith.ensembles.draw.svg import render_svg

        return render_svg(drawing)
    if form == "mermaid":
        from tritonsmith.ensembles.draw.mermaid import fenced, render_mermaid

        flowchart = render_mermaid(drawing)
        return fenced(flowchart) if is_markdown else flowchart
    from tritonsmith.ensembles.draw.text import render_text

    return render_text(drawing, min(max(width, LEAST_COLUMNS), MOST_COLUMNS), is_ascii=is_ascii)


def write_drawing(drawing: Drawing, output: Path, form: Form) -> Path:
    """Write the drawing into a file, in UTF-8, and return its path.

    Raises: UsageError where the disk does not take it.
    """
    content = render(drawing, form, is_markdown=output.suffix.lower() == ".md")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(content, encoding="utf-8")
    except OSError as problem:
        hint = "write it elsewhere with --output"
        raise UsageError(f"cannot write {output}: {problem.strerror}", hint=hint) from None
    return output
