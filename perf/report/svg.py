"""The few SVG pieces that the charts are made of. Colours and fonts are classes of the page's style sheet."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

from tritonsmith.ensembles.draw.markup import element, line, number, path, text, tooltip

__all__ = [
    "Format",
    "Scale",
    "axis_bottom",
    "axis_left",
    "chart",
    "element",
    "legend",
    "line",
    "linear",
    "logarithmic",
    "path",
    "text",
    "tooltip",
]

Format = Callable[[float], str]


@dataclass(frozen=True)
class Scale:
    """Maps values to pixels: linear, or logarithmic where both ends are positive."""

    low: float
    high: float
    start: float
    end: float
    is_log: bool = False

    def __call__(self, value: float) -> float:
        """Return the pixel of a value; values outside stay on the edge."""
        inside = min(max(value, self.low), self.high)
        if self.is_log:
            position = math.log(inside / self.low) / math.log(self.high / self.low)
        else:
            position = (inside - self.low) / (self.high - self.low)
        return self.start + position * (self.end - self.start)

    def ticks(self, count: int = 5) -> list[float]:
        """Return round values inside the scale, about `count` of them."""
        return _log_ticks(self.low, self.high) if self.is_log else _linear_ticks(self.low, self.high, count)


def linear(high: float, start: float, end: float) -> Scale:
    """Return a linear scale from 0 to a round value not below `high`."""
    step = _step(high or 1.0, 5)
    return Scale(0.0, math.ceil((high or 1.0) / step - 1e-9) * step, start, end)


def logarithmic(low: float, high: float, start: float, end: float) -> Scale:
    """Return a logarithmic scale with some air on both sides."""
    return Scale(low / 1.35, max(high, low * 1.5) * 1.35, start, end, is_log=True)


def chart(width: float, height: float, title: str, description: str, *parts: str) -> str:
    """Return a whole drawing with what a screen reader says of it."""
    head = element("title", escape(title)) + element("desc", escape(description))
    return element(
        "svg",
        head,
        *parts,
        viewBox=f"0 0 {number(width)} {number(height)}",
        role="img",
        aria_label=title,
        class_="chart",
    )


def axis_bottom(scale: Scale, y: float, top: float, format_: Format, label: str, ticks: Sequence[float] = ()) -> str:
    """Return a horizontal axis at `y` with grid lines up to `top` and its label below."""
    parts = []
    for tick in ticks or scale.ticks():
        parts.append(line(scale(tick), top, scale(tick), y, "grid"))
        parts.append(text(format_(tick), scale(tick), y + 18, class_="tick", text_anchor="middle"))
    middle = (scale.start + scale.end) / 2
    parts.append(line(scale.start, y, scale.end, y, "axis"))
    return "".join(parts) + text(label, middle, y + 40, class_="label", text_anchor="middle")


def axis_left(scale: Scale, x: float, right: float, format_: Format, label: str) -> str:
    """Return a vertical axis at `x` with grid lines to `right` and its label above."""
    parts = []
    for tick in scale.ticks():
        parts.append(line(x, scale(tick), right, scale(tick), "grid"))
        parts.append(text(format_(tick), x - 8, scale(tick) + 4, class_="tick", text_anchor="end"))
    return "".join(parts) + text(label, x - 54, scale.end - 16, class_="label")


def legend(entries: Sequence[tuple[str, str]], x: float, y: float, shape: str = "swatch") -> str:
    """Return coloured names side by side; entries are (name, colour class)."""
    parts = []
    for name, class_ in entries:
        if shape == "line":
            parts.append(line(x, y - 4, x + 16, y - 4, f"line {class_}"))
        else:
            parts.append(element("rect", x=x, y=y - 10, width=11, height=11, rx=2, class_=f"fill {class_}"))
        parts.append(text(name, x + (22 if shape == "line" else 17), y, class_="tick"))
        x += 38 + 6.8 * len(name)
    return "".join(parts)


def _step(high: float, count: int) -> float:
    rough = high / count
    power = 10 ** math.floor(math.log10(rough))
    return float(next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * 0.999))


def _linear_ticks(low: float, high: float, count: int) -> list[float]:
    step = _step(high - low, count)
    first = math.ceil(low / step - 1e-9)
    return [index * step for index in range(first, math.floor(high / step + 1e-9) + 1)]


def _log_ticks(low: float, high: float) -> list[float]:
    """Return 1, 2, 5 of each decade; only the decades where there are many."""
    factors = (1, 2, 5) if high / low < 3000 else (1,)
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = [factor * 10.0**decade for decade in decades for factor in factors]
    return [tick for tick in ticks if low <= tick <= high]
