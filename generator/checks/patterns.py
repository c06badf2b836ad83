"""Triton's own messages as patterns: literal text with holes for what differs from model to model.

A template is written as Triton's source writes the message, e.g. `unexpected platform type '{name}' for {name}`.
"""

from __future__ import annotations

import re
from functools import cache

_HOLES = {
    "name": r"[^'\"]*?",  # a model's, a tensor's, a backend's
    "names": r"[^\"]*?",  # a list of them
    "n": r"-?\d+",
    "number": r"-?[\d.]+",
    "path": r"[^'\"]*?",
    "shape": r"\[[-\d,]*\]",
    "text": r".*?",  # an exception's own words
    "error": r"(?!ModuleNotFoundError\b|ImportError\b)[A-Za-z_][\w.]*",  # an exception, no import's
    "file": r"[^'\"()]*?",  # of a traceback's line
}
_HOLE = re.compile(r"\{(\w+)\}")
# What the server's log puts before a message (triton-config, part 0): the place in the source, who failed, a status.
_BEFORE = (
    r"(?:^|\"|directory '[^']*': |failed to load model '[^']*': |failed to load '[^']*' version -?\d+: "
    r"|Failed to create instance: |version -?\d+ is at UNAVAILABLE state: |load failed for model '[^']*': )"
    r"(?:(?:Invalid argument|Internal|Not found|Unsupported|Unavailable|Unknown|Already exists|Cancelled): )?"
)
_AFTER = r"(?=\"?\s*$|\\n|\n|;|\")"


@cache
def message_pattern(template: str) -> str:
    """Return a template as a regular expression, to be searched in a line of Triton's log; empty for an empty one.

    The whole message must match, not a part of it; a template that ends with `...` leaves the rest open.
    """
    if not template:
        return ""
    body = template.removesuffix("...")
    parts = _HOLE.split(body)  # text, hole, text, hole, ..., text
    pattern = "".join(re.escape(part) if index % 2 == 0 else _HOLES[part] for index, part in enumerate(parts))
    return f"{_BEFORE}{pattern}{_AFTER if body == template else ''}"
