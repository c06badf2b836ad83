"""SVG elements as text, escaped where they are made. The charts of a sweep's report are made of the same."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape


def element(name: str, *children: str, **attributes: object) -> str:
    """Return one element; attribute names take a hyphen for an underscore, `class_` is class. Children are markup."""
    words = [f'{key.rstrip("_").replace("_", "-")}="{escape(number(value))}"' for key, value in attributes.items()]
    head = " ".join([name, *words])
    return f"<{head}>{''.join(children)}</{name}>" if children else f"<{head}/>"


def text(content: str, x: float, y: float, **attributes: object) -> str:
    """Return text at a place."""
    return element("text", escape(content), x=x, y=y, **attributes)


def tooltip(content: str) -> str:
    """Return what a browser shows when the pointer rests on the parent."""
    return element("title", escape(content))


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> str:
    """Return a straight line."""
    return element("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_)


def path(points: Sequence[tuple[float, float]], class_: str) -> str:
    """Return a line through points."""
    steps = " L".join(f"{number(x)},{number(y)}" for x, y in points)
    return element("path", d=f"M{steps}", class_=class_) if points else ""


def number(value: object) -> str:
    """Return an attribute's value, a number without needless digits."""
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
