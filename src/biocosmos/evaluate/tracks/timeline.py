"""Who was there when: a row for every individual of a sequence, a stroke for every frame it was seen in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from biocosmos.evaluate.pages.svg import SERIES, Drawing, Scale, fit, legend, legend_room, number, room

WIDTH, ROW, LEFT = 760.0, 15.0, 4.0
UNITS = ((1.0, "seconds", 180.0), (60.0, "minutes", 10_800.0), (3600.0, "hours", float("inf")))
"""Seconds of a unit, its name, and up to how many seconds it is used."""


@dataclass(frozen=True)
class Stay:
    """An individual: its name, what it is (a series), when it was seen, seconds ascending, and what stands on hover."""

    name: str
    kind: str
    seconds: Sequence[float]
    tip: str = ""


def timeline(title: str, stays: Sequence[Stay], start: float, end: float) -> str:
    """A picture of stays from ``start`` to ``end``, in seconds of the sequence; kinds beyond the eighth share a colour."""
    kinds = list(dict.fromkeys(stay.kind for stay in stays))
    css = {kind: f"c{min(i, SERIES - 1) + 1}" for i, kind in enumerate(kinds)}
    named = [(css[kind], kind) for kind in kinds[: SERIES - 1]] + ([(f"c{SERIES}", "others")] if len(kinds) >= SERIES else [])
    unit, unit_name, _ = next(each for each in UNITS if end - start <= each[2])
    left = room([stay.name for stay in stays], 150)
    top = 24.0 + legend_room(LEFT, WIDTH, named)
    bottom = top + ROW * len(stays) + 6
    drawing = Drawing(WIDTH, bottom + 44, title, f"{len(stays)} individuals over {number((end - start) / unit)} {unit_name}.")
    legend(drawing, LEFT, 12, named)
    x = Scale(start / unit, max(end, start + unit) / unit, left, WIDTH - 16)
    for tick in x.ticks(8):
        drawing.line(x(tick), top, x(tick), bottom, "grid")
        drawing.text(x(tick), bottom + 18, number(tick), "tick", "middle")
    drawing.text((x.start + x.stop) / 2, bottom + 38, f"{unit_name} since the first frame", "name", "middle")
    for row, stay in enumerate(stays):
        y = top + 4 + ROW * row
        drawing.text(left - 8, y + ROW - 4, fit(stay.name, left - 8), "label", "end")
        first, last = x(stay.seconds[0] / unit), x(stay.seconds[-1] / unit)
        drawing.line(first, y + ROW / 2, last, y + ROW / 2, "axis")
        for run_start, run_end in _runs([x(seconds / unit) for seconds in stay.seconds]):
            drawing.rect(run_start - 1.5, y + 2, run_end - run_start + 3, ROW - 4, css[stay.kind], stay.tip)
    return drawing.render()


def _runs(places: Sequence[float]) -> list[tuple[float, float]]:
    """Places (px) that touch, joined, so that a night of ten thousand frames is no ten thousand rectangles."""
    found: list[tuple[float, float]] = []
    for place in places:
        if found and place - found[-1][1] <= 3:
            found[-1] = (found[-1][0], place)
        else:
            found.append((place, place))
    return found
