"""Triton's own messages as patterns: literal text with holes for what differs from model to model.

A template is written as Triton's source writes the message, e.g. `unexpected platform type '{name}' for {name}`.
"""

from __future__ import annotations

import re
from functools import cache

_HOLES = {
    "name": r"[^'\"]*?",  # a model's, a tensor's, a backend's
    "names": r"[^\"]*?",  # a list of them
    "encoded": r"[^'\"%]*%[^'\"]*?",  # a name that a client percent-encoded
    "plain": r"[^'\"%]*?",  # and one that none did
    "n": r"-?\d+",
    "number": r"-?[\d.]+",
    "path": r"[^'\"]*?",
    "shape": r"\[[-\d,]*\]",
    "text": r".*?",  # an exception's own words
    "syntax": r"(?:SyntaxError|IndentationError|TabError)",
    "error": (  # any other exception of Python's; what the server puts before a message is none
        r"(?!(?:ModuleNotFound|Import|Syntax|Indentation|Tab)Error\b|(?:Internal|Unknown|Unsupported|Unavailable):)"
        r"[A-Za-z_][\w.]*"
    ),
    "file": r"[^'\"()]*?",  # of a traceback's line
    "traced": r"(?=\\n|\n)",  # where a traceback follows
    "alone": r"(?!\\n|\n)",  # where none does
}
_HOLE = re.compile(r"\{(\w+)\}")
# What the server's log puts before a message (triton-config, part 0): the place in the source, who failed, a status.
# Not "error: ...;": there an ensemble's message tells that of a step's versions, each of which has its own line.
_BEFORE = (
    r"(?:^|\"|directory '[^']*': |failed to load model '[^']*': |failed to load '[^']*' version -?\d+: "
    r"|Failed to create instance: |(?<!error: )(?<!;)version -?\d+ is at UNAVAILABLE state: "
    r"|load failed for model '[^']*': )"
    r"(?:(?:Invalid argument|Internal|Not found|Unsupported|Unavailable|Unknown|Already exists|Cancelled): )?"
    r"(?:ConfigMismatchError: )?"  # what our stand-in of onnxruntime raises with the C++ backend's words
)
_AFTER = r"(?=\"?\s*$|\\n|\n|;|\")"


@cache
def message_pattern(template: str) -> str:
    """Return a template as a regular expression, to be searched in a line of Triton's log; empty for an empty one.

    The whole message must match, not a part of it; a template that ends with `...` leaves the rest open. One of several
    lines stands for messages that Triton writes of one refusal: either matches.
    """
    if not template:
        return ""
    if "\n" in template:
        return "|".join(map(message_pattern, template.split("\n")))
    body = template.removesuffix("...")
    parts = _HOLE.split(body)  # text, hole, text, hole, ..., text
    pattern = "".join(_literal(part) if index % 2 == 0 else _HOLES[part] for index, part in enumerate(parts))
    return f"{_BEFORE}{pattern}{_AFTER if body == template else ''}"


def _literal(text: str) -> str:
    """Return a text as a regular expression; quotes may stand behind a backslash, as in the log."""
    return re.escape(text).replace('"', r'\\?"')
