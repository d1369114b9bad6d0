"""Curves over a number as inline SVG: how many taxa so many specimens have, say."""

from __future__ import annotations

from collections.abc import Sequence

from biocosmos.evaluate.pages.svg import SERIES, Drawing, Scale, axes, legend, legend_room, number

WIDTH, TALL, LEFT = 720.0, 280.0, 60.0
Curve = tuple[str, Sequence[tuple[float, float]]]
"""A name and its points, from left to right."""


def curves(title: str, series: Sequence[Curve], x_name: str, y_name: str) -> str:
    """Lines from 0, the first eight of them in colours with their names, others thin; the end of each has words on hover."""
    shown = [each for each in series if each[1]]
    named = [(f"c{i % SERIES + 1}", name) for i, (name, _) in enumerate(shown[:SERIES])]
    top = 26.0 + legend_room(LEFT, WIDTH, named)
    drawing = Drawing(WIDTH, top + TALL + 46, title, f"{y_name} over {x_name}, for {len(shown)} samples.")
    x = Scale(0, max((points[-1][0] for _, points in shown), default=1.0), LEFT, WIDTH - 20)
    y = Scale(0, (max((value for _, points in shown for _, value in points), default=1.0)) * 1.04, top + TALL, top)
    legend(drawing, LEFT, 12, named)
    axes(drawing, x, y, x_name, y_name)
    for i, (name, points) in reversed(list(enumerate(shown))):
        drawing.path([(x(a), y(b)) for a, b in points], f"l{i + 1}" if i < SERIES else "outline")
        a, b = points[-1]
        drawing.dot(x(a), y(b), 3.5, f"c{i + 1} ring" if i < SERIES else "ring", f"{name}: {number(b)} of {number(a)}")
    return drawing.render()


__all__ = ["Curve", "curves"]
