"""The page of a map: a picture for each colouring, and what lies where."""

from __future__ import annotations

import base64
import io
from html import escape
from typing import Any

import numpy as np
import numpy.typing as npt

from biocosmos.evaluate.pages.blocks import Card, Page
from biocosmos.evaluate.pages.pictures import Pictures
from biocosmos.evaluate.pages.svg import GLYPH_PX, Drawing
from biocosmos.evaluate.pages.words import Words
from biocosmos.evaluate.report import Report

Array = npt.NDArray[Any]
WORDS = Words(__package__)
SIDE, PIXELS, THUMB = 760, 1520, 58
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9", "#7a5195", "#8c564b", "#f0e442")
"""Okabe and Ito's, which colour-blind people tell apart, and two more; the most frequent values have them, the others are
grey."""
OTHERS = "#b8bfbc"


def page(report: Report, pictures: Pictures) -> Page:
    """Everything the page of a map shows."""
    about, points = report.provenance, report.table("points")
    places = np.column_stack([points["x"].to_numpy(), points["y"].to_numpy()]).astype(np.float64)
    lead = WORDS("lead", specimens=about["specimens"], reducer=about["reducer"])
    cards = [Card("specimens", f"{about['specimens']:,}", f"laid out by {about['reducer']}")]
    sections = []
    for name in [column.removeprefix("is ") for column in points.column_names if column.startswith("is ")]:
        values = points[f"is {name}"].to_pylist()
        drawing = WORDS.figure("colour.chart", coloured(places, values, name), by=name)
        sections.append(WORDS.section("colour", [drawing], by=name))
    if not sections:
        sections.append(WORDS.section("plain", [WORDS.figure("plain.chart", coloured(places, [None] * len(places), ""))]))
    rows = report.rows("pictures")
    sections.append(WORDS.section("where", [WORDS.figure("where.chart", with_pictures(places, rows, pictures))]))
    return Page(lead, cards, sections, WORDS.terms)


def coloured(places: Array, values: list[str | None], name: str) -> str:
    """SVG: all points as one picture, however many, and a legend of the most frequent values."""
    names, counts = np.unique([value for value in values if value is not None], return_counts=True)
    order = np.argsort(-counts, kind="stable")[: len(COLOURS)]
    top = [str(names[i]) for i in order]
    which = {value: i for i, value in enumerate(top)}
    code = np.array([which.get(value, -1) if value is not None else -1 for value in values])
    lines = [*zip(COLOURS, (f"{value} ({counts[i]:,})" for value, i in zip(top, order)))]
    rest = int((code < 0).sum())
    if rest:
        lines.append((OTHERS, f"others, or nothing known ({rest:,})" if top else f"specimens ({rest:,})"))
    height = SIDE + 24 + 20 * len(lines)
    drawing = Drawing(SIDE, height, f"Map by {name}" if name else "Map", f"{len(places):,} points.")
    drawing.add(f'<rect width="{SIDE}" height="{SIDE}" fill="#fff" stroke="{OTHERS}"/>')
    drawing.add(f'<image width="{SIDE}" height="{SIDE}" href="{raster(places, code)}"/>')
    for i, (colour, words) in enumerate(lines):
        y = SIDE + 24 + 20 * i
        drawing.add(f'<rect x="8" y="{y - 11}" width="12" height="12" fill="{colour}"/>')
        drawing.text(28, y, words[: int((SIDE - 40) / GLYPH_PX)])
    return drawing.render()


def raster(places: Array, code: Array) -> str:
    """A PNG as data URI: points of code -1 grey and below, the others in their colours, rarer ones above."""
    from PIL import Image

    radius = 1 if len(places) > 100_000 else 2 if len(places) > 20_000 else 3 if len(places) > 3000 else 5
    canvas = np.full((PIXELS, PIXELS, 4), 0, np.uint8)
    x, y = on_canvas(places, PIXELS, radius + 4)
    palette = np.array([[int(colour[i : i + 2], 16) for i in (1, 3, 5)] for colour in (*COLOURS, OTHERS)], np.uint8)
    frequent = np.argsort(-np.bincount(code + 1, minlength=1), kind="stable")
    drawn = [0, *[group for group in frequent if group != 0]]
    disc = [(i, j) for i in range(-radius, radius + 1) for j in range(-radius, radius + 1) if i * i + j * j <= radius * radius]
    for group in drawn:
        mine = np.flatnonzero(code + 1 == group)
        for i, j in disc:
            canvas[y[mine] + i, x[mine] + j, :3] = palette[group - 1]
            canvas[y[mine] + i, x[mine] + j, 3] = 255
    out = io.BytesIO()
    Image.fromarray(canvas, "RGBA").quantize(32).save(out, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(out.getvalue()).decode()


def on_canvas(places: Array, side: int, margin: int) -> tuple[Array, Array]:
    """((n,) column, (n,) line) of points on a square picture, upright, both axes to one scale."""
    low, high = places.min(axis=0), places.max(axis=0)
    scale = (side - 2 * margin - 1) / max(float((high - low).max()), 1e-9)
    moved = (places - (low + high) / 2) * scale + side / 2
    return moved[:, 0].astype(np.int64), (side - 1 - moved[:, 1]).astype(np.int64)


def with_pictures(places: Array, rows: list[dict[str, Any]], pictures: Pictures) -> str:
    """SVG: all points grey, and specimens where they lie."""
    drawing = Drawing(SIDE, SIDE, "What lies where", f"{len(rows)} pictures of specimens, each at its place.")
    drawing.add(f'<rect width="{SIDE}" height="{SIDE}" fill="#fff" stroke="{OTHERS}"/>')
    drawing.add(f'<image width="{SIDE}" height="{SIDE}" href="{raster(places, np.full(len(places), -1))}"/>')
    ends = np.vstack([places.min(axis=0), places.max(axis=0)])
    chosen = np.array([[row["x"], row["y"]] for row in rows]).reshape(-1, 2)
    x, y = on_canvas(np.vstack([ends, chosen]), SIDE, THUMB // 2)
    for row, left, top in zip(rows, x[2:], y[2:]):
        uri, at = pictures(row["id"]), f'x="{left - THUMB / 2:.0f}" y="{top - THUMB / 2:.0f}"'
        if uri:
            drawing.add(f'<image {at} width="{THUMB}" height="{THUMB}" href="{uri}"><title>{escape(row["id"])}</title></image>')
    return drawing.render()
