"""An ordination as inline SVG: samples by how alike their communities are, named, groups by shape and colour."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from biocosmos.evaluate.pages.blocks import Grid
from biocosmos.evaluate.pages.svg import GLYPH_PX, LEGEND_ROW, SERIES, Drawing, Scale, number, placed

SIDE, WIDTH = 480.0, 620.0
LEFT, TOP = 64.0, 34.0
SIZE = 6.0
SHAPES = ("circle", "square", "triangle", "diamond", "plus", "down", "cross", "star")
"""One for each series colour, so that groups stand apart in grey too."""
AS_TABLE = "The ordination as a table"


@dataclass(frozen=True)
class Sample:
    """Where a sample lies on the two axes, its name, its group, and what stands on hover."""

    x: float
    y: float
    name: str
    group: str = ""
    tip: str = ""


def ordination(title: str, samples: Sequence[Sample], x_name: str = "axis 1", y_name: str = "axis 2", *, note: str = "") -> str:
    """Samples as marks with their names, both axes to one scale, since only distances mean something.

    note: what stands in the corner, as "stress 0.08". A name without room stands on hover and in the table only. Groups beyond
    the eighth share a mark.
    """
    groups = list(dict.fromkeys(sample.group for sample in samples if sample.group))
    which = {group: min(i, SERIES - 1) for i, group in enumerate(groups)}
    entries = [(SHAPES[i], group) for i, group in enumerate(groups[: SERIES - 1])]
    entries += [(SHAPES[-1], groups[-1] if len(groups) == SERIES else "others")] if len(groups) >= SERIES else []
    rows = placed(LEFT, WIDTH, entries)
    top = TOP + LEGEND_ROW * max((row for _, row in rows), default=0)
    among = f" in {len(groups)} groups" if groups else ""
    drawing = Drawing(WIDTH, top + SIDE + 46, title, f"{len(samples)} samples{among}. {note}".strip())
    for i, ((_, words), (left, row)) in enumerate(zip(entries, rows)):
        mark(drawing, left + 5, 10 + row * LEGEND_ROW, i)
        drawing.text(left + 17, 14 + row * LEGEND_ROW, words, "tick")
    x, y = _scales(samples, top)
    _frame(drawing, x, y, x_name, y_name)
    taken = [(x(s.x) - SIZE, y(s.y) - SIZE, x(s.x) + SIZE, y(s.y) + SIZE) for s in samples]
    for sample in samples:
        words = ", ".join(part for part in (sample.name, sample.group) if part)
        mark(drawing, x(sample.x), y(sample.y), which.get(sample.group, 0), sample.tip or words)
        _name(drawing, x(sample.x), y(sample.y), sample.name, taken)
    if note:
        drawing.text(x.stop - 6, y.start - 8, note, "tick", "end")
    return drawing.render()


def ordination_table(samples: Sequence[Sample], x_name: str = "axis 1", y_name: str = "axis 2") -> Grid:
    """The same as a table."""
    grouped = any(sample.group for sample in samples)
    rows = [[s.name, *([s.group] if grouped else []), number(s.x), number(s.y)] for s in samples]
    return Grid(["sample", *(["group"] if grouped else []), x_name, y_name], rows, "", AS_TABLE, 1 + grouped)


def mark(drawing: Drawing, x: float, y: float, series: int, tip: str = "") -> None:
    """The shape and colour of a series, about 12 px wide."""
    css, shape, r = f"c{series % SERIES + 1} ring", SHAPES[series % len(SHAPES)], SIZE
    if shape == "circle":
        drawing.dot(x, y, r - 0.5, css, tip)
        return
    if shape == "square":
        drawing.rect(x - r + 1, y - r + 1, 2 * r - 2, 2 * r - 2, css, tip)
        return
    a = r / 3
    corners = {
        "triangle": [(0, -r), (r, r * 0.8), (-r, r * 0.8)],
        "down": [(0, r), (r, -r * 0.8), (-r, -r * 0.8)],
        "diamond": [(0, -r * 1.15), (r * 1.15, 0), (0, r * 1.15), (-r * 1.15, 0)],
        "plus": [(-a, -r), (a, -r), (a, -a), (r, -a), (r, a), (a, a), (a, r), (-a, r), (-a, a), (-r, a), (-r, -a), (-a, -a)],
        "cross": [
            (-r, -r),
            (-r + a, -r),
            (0, -a),
            (r - a, -r),
            (r, -r),
            (a, 0),
            (r, r),
            (r - a, r),
            (0, a),
            (-r + a, r),
            (-r, r),
            (-a, 0),
        ],
        "star": [(0, -r * 1.2), (a, -a), (r * 1.2, 0), (a, a), (0, r * 1.2), (-a, a), (-r * 1.2, 0), (-a, -a)],
    }[shape]
    drawing.path([(x + dx, y + dy) for dx, dy in corners], css, closed=True, tip=tip)


def _scales(samples: Sequence[Sample], top: float) -> tuple[Scale, Scale]:
    """Both axes with one length of a unit, a tenth of the side free."""
    xs, ys = [s.x for s in samples] or [0.0], [s.y for s in samples] or [0.0]
    half = max(max(xs) - min(xs), max(ys) - min(ys), 1e-9) * 0.6
    middle_x, middle_y = (max(xs) + min(xs)) / 2, (max(ys) + min(ys)) / 2
    x = Scale(middle_x - half, middle_x + half, LEFT, LEFT + SIDE)
    return x, Scale(middle_y - half, middle_y + half, top + SIDE, top)


def _frame(drawing: Drawing, x: Scale, y: Scale, x_name: str, y_name: str) -> None:
    for tick in x.ticks(4):
        drawing.line(x(tick), y.start, x(tick), y.stop, "zero" if tick == 0 else "grid")
        drawing.text(x(tick), y.start + 17, number(tick), "tick", "middle")
    for tick in y.ticks(4):
        drawing.line(x.start, y(tick), x.stop, y(tick), "zero" if tick == 0 else "grid")
        drawing.text(x.start - 8, y(tick) + 4, number(tick), "tick", "end")
    drawing.text((x.start + x.stop) / 2, y.start + 37, x_name, "name", "middle")
    drawing.text(14, (y.start + y.stop) / 2, y_name, "name", "middle", turn=-90)


def _name(drawing: Drawing, x: float, y: float, name: str, taken: list[tuple[float, float, float, float]]) -> None:
    """Beside its mark where nothing stands yet: right, left, above, below."""
    wide, tall = len(name) * GLYPH_PX * 0.92, 12.0
    for left, base, anchor in (
        (x + SIZE + 3, y + 4, "start"),
        (x - SIZE - 3, y + 4, "end"),
        (x, y - SIZE - 4, "middle"),
        (x, y + SIZE + 12, "middle"),
    ):
        west = left - {"start": 0.0, "middle": wide / 2, "end": wide}[anchor]
        box = (west, base - tall + 2, west + wide, base + 2)
        if west < 2 or box[2] > drawing.width - 2:
            continue
        if all(box[2] < b[0] or box[0] > b[2] or box[3] < b[1] or box[1] > b[3] for b in taken):
            drawing.text(left, base, name, "tick", anchor)
            taken.append(box)
            return
