"""The few drawing words that the charts share: scales, ticks, text and the frame, as inline SVG that follows the page's
colours."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

FONT_PX = 13
GLYPH_PX = 7.3  # mean width of a glyph at FONT_PX, to reserve room for labels
SERIES = 8  # number of series colours the style sheet names c1..c8


@dataclass(frozen=True)
class Scale:
    """Maps values of [low, high] to pixels of [start, stop]; ``log`` for positive values over decades."""

    low: float
    high: float
    start: float
    stop: float
    log: bool = False

    def __call__(self, value: float) -> float:
        low, high, value = (math.log10(max(v, 1e-12)) if self.log else v for v in (self.low, self.high, value))
        share = 0.5 if high == low else (value - low) / (high - low)
        return self.start + min(max(share, 0.0), 1.0) * (self.stop - self.start)

    def ticks(self, count: int = 5) -> list[float]:
        """Round values inside the scale, about ``count`` of them; 1, 2, 5 times powers of ten on a log scale."""
        if self.log:
            decades = range(math.floor(math.log10(max(self.low, 1e-12))), math.ceil(math.log10(max(self.high, 1e-12))) + 1)
            steps = (1, 2, 5) if len(decades) <= 3 else (1,)
            return [m * 10.0**d for d in decades for m in steps if self.low <= m * 10.0**d <= self.high]
        span = self.high - self.low
        if span <= 0:
            return [self.low]
        rough = span / count
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= rough * 0.999)
        first = math.ceil(self.low / step - 1e-9)
        return [round(i * step, 10) for i in range(first, math.floor(self.high / step + 1e-9) + 1)]


@dataclass
class Drawing:
    """An SVG picture of a size in px, with a title and a description that a screen reader reads."""

    width: float
    height: float
    title: str
    description: str
    parts: list[str] = field(default_factory=list)

    def add(self, part: str) -> None:
        """Append raw SVG."""
        self.parts.append(part)

    def line(self, x1: float, y1: float, x2: float, y2: float, css: str) -> None:
        """A straight line with the style class ``css``."""
        self.add(f'<line class="{css}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>')

    def rect(self, x: float, y: float, width: float, height: float, css: str, tip: str = "") -> None:
        """A rectangle; ``tip`` is shown on hover."""
        self.add(
            f'<rect class="{css}" x="{x:.1f}" y="{y:.1f}" width="{max(width, 0):.1f}" '
            f'height="{max(height, 0):.1f}">{_tip(tip)}</rect>'
        )

    def dot(self, x: float, y: float, radius: float, css: str, tip: str = "") -> None:
        """A filled circle."""
        self.add(f'<circle class="{css}" cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}">{_tip(tip)}</circle>')

    def path(self, points: Sequence[tuple[float, float]], css: str, *, closed: bool = False, tip: str = "") -> None:
        """A line through the points, closed to an area if asked."""
        if points:
            steps = " L".join(f"{x:.1f} {y:.1f}" for x, y in points)
            self.shape(f"M{steps}{'Z' if closed else ''}", css, tip)

    def shape(self, steps: str, css: str, tip: str = "") -> None:
        """What ``steps``, SVG's path data, draw."""
        self.add(f'<path class="{css}" d="{steps}"' + (f">{_tip(tip)}</path>" if tip else "/>"))

    def text(self, x: float, y: float, words: str, css: str = "", anchor: str = "start", turn: float = 0) -> None:
        """Text whose baseline stands at (x, y); anchor: start, middle or end; turn in degrees."""
        turned = f' transform="rotate({turn} {x:.1f} {y:.1f})"' if turn else ""
        self.add(f'<text class="{css}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{turned}>{escape(words)}</text>')

    def render(self) -> str:
        """The <svg> element."""
        return (
            f'<svg viewBox="0 0 {self.width:.0f} {self.height:.0f}" width="{self.width:.0f}" role="img" '
            f'aria-label="{escape(self.title + ". " + self.description, quote=True)}" '
            f'font-size="{FONT_PX}">{"".join(self.parts)}</svg>'
        )


def _tip(words: str) -> str:
    return f"<title>{escape(words)}</title>" if words else ""


def room(labels: Sequence[str], most: float = 230) -> float:
    """Pixels that the longest label needs, up to ``most``."""
    return min(max((len(label) for label in labels), default=0) * GLYPH_PX + 18, most)


def fit(label: str, width: float) -> str:
    """``label`` cut with an ellipsis to about ``width`` px."""
    most = max(int(width / GLYPH_PX), 4)
    return label if len(label) <= most else label[: most - 1].rstrip() + "…"


def number(value: float) -> str:
    """1234.0 -> "1,234"; 0.25 -> "0.25"."""
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.3g}"


def percent(value: float | None, digits: int = 1) -> str:
    """0.713 -> "71.3 %"; None and NaN -> an en dash. Never rounds up to 100 or down to 0."""
    if value is None or math.isnan(value):
        return "–"
    shown = round(100 * value, digits)
    edge = 10.0**-digits
    if shown >= 100 and value < 1:
        return f"> {100 - edge:.{digits}f} %"
    if shown <= 0 and value > 0:
        return f"< {edge:.{digits}f} %"
    return f"{shown:.{digits}f} %"


def tick_percent(value: float) -> str:
    """0.025 -> "2.5 %"."""
    return f"{100 * value:g} %".replace("-", "−")


def tick_points(value: float) -> str:
    """0.2 -> "+20"."""
    return f"{100 * value:+g}".replace("-", "−") if value else "0"


def points_of(value: float) -> str:
    """A difference of shares in percentage points with its sign: 0.0724 -> "+7.2"."""
    return f"{100 * value:+.1f}".replace("-", "−") if round(100 * value, 1) else "0"


def axes(
    drawing: Drawing,
    x: Scale,
    y: Scale,
    x_name: str,
    y_name: str,
    *,
    x_percent: bool = False,
    y_percent: bool = False,
    y_points: bool = False,
) -> None:
    """Grid lines with their numbers and the names of the two axes; y runs from its ``start`` (bottom) to ``stop`` (top)."""
    for tick in y.ticks():
        words = f"{100 * tick:+g}".replace("-", "−") if y_points else tick_percent(tick) if y_percent else number(tick)
        drawing.line(x.start, y(tick), x.stop, y(tick), "grid")
        drawing.text(x.start - 8, y(tick) + 4, words, "tick", "end")
    for tick in x.ticks():
        drawing.line(x(tick), y.start, x(tick), y.start + 4, "axis")
        drawing.text(x(tick), y.start + 18, tick_percent(tick) if x_percent else number(tick), "tick", "middle")
    drawing.line(x.start, y.start, x.stop, y.start, "axis")
    drawing.text((x.start + x.stop) / 2, y.start + 38, x_name, "name", "middle")
    drawing.text(max(12.0, x.start - 62), (y.start + y.stop) / 2, y_name, "name", "middle", turn=-90)


Entries = Sequence[tuple[str, str]]
"""Of a legend: (style class, words)."""
LEGEND_ROW = 16.0


def legend(drawing: Drawing, x: float, y: float, entries: Entries) -> None:
    """Coloured squares with their words, in as many rows as they need; the first stands at (x, y)."""
    for (css, words), (left, row) in zip(entries, placed(x, drawing.width, entries)):
        drawing.rect(left, y + row * LEGEND_ROW - 9, 10, 10, css)
        drawing.text(left + 15, y + row * LEGEND_ROW, words, "tick")


def legend_room(x: float, width: float, entries: Entries) -> float:
    """Pixels that the rows of a legend after its first one need."""
    return LEGEND_ROW * max((row for _, row in placed(x, width, entries)), default=0)


def placed(x: float, width: float, entries: Entries) -> list[tuple[float, int]]:
    """Where each entry begins, and in which row."""
    left, row, found = x, 0, []
    for _, words in entries:
        needed = 15 + len(words) * GLYPH_PX
        if left > x and left + needed > width:
            left, row = x, row + 1
        found.append((left, row))
        left += needed + 16
    return found
