"""Render a shell script from a template that lies beside the module that knows what goes into it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jinja2


def render_script(template: Path, **values: Any) -> str:
    """Return the script; the template takes words as they are, so `values` quotes them (shlex)."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(template.parent),
        autoescape=False,  # noqa: S701 - a shell script
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
    )
    return environment.get_template(template.name).render(values)
