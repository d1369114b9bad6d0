"""The page of a benchmark."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from biocosmos.evaluate.open_world.page import WORDS as OPEN_WORLD
from biocosmos.evaluate.open_world.published import (
    GENUS_OF_UNSEEN,
    SOURCE_HERE,
    SPECIES_FINE_TUNED,
    SPECIES_LINEAR,
)
from biocosmos.evaluate.pages.blocks import Block, Grid, Page, Paragraph, Section
from biocosmos.evaluate.pages.pictures import Pictures
from biocosmos.evaluate.pages.svg import percent
from biocosmos.evaluate.pages.words import Columns, Words
from biocosmos.evaluate.report import Report

Row = dict[str, Any]
WORDS = Words(__package__)
SHORT = {
    SPECIES_FINE_TUNED: "fine-tuned",
    SPECIES_LINEAR: "linear",
    GENUS_OF_UNSEEN: "genus of unseen",
    "top-1 macro, seen": "seen",
    "top-1 macro, unseen": "unseen",
    "top-1 macro, harmonic mean": "harmonic mean",
}
"""Tasks and measures as headings of columns, in this order."""
HERE = "these"
"""What is said of data that no paper is about, in a line that has little room."""


def page(report: Report, pictures: Pictures) -> Page:
    """The papers' table, the data and what is missing, then what the evaluation under it shows."""
    name = str(report.provenance["benchmark"])
    (base,) = report.parts
    below = base.page(base, pictures) if base.page is not None else Page("", [], [], [])
    sections = [_papers(report, name), _data(report), _missing(report, name)]
    own = OPEN_WORLD("published.title")
    sections += [section for section in below.sections if section.title != own]
    return Page(f"{WORDS(f'{name}.lead')}\n{below.lead}", below.cards, sections, below.terms)


def _papers(report: Report, name: str) -> Section:
    rows = report.rows("published")
    blocks: list[Block] = [side_by_side(rows, WORDS(f"{name}.grid"))]
    sources = list(dict.fromkeys(row["source"] for row in rows if row["published"] is not None))
    if sources:
        blocks.append(Paragraph(WORDS("papers.sources", sources=sources)))
    if here := list(dict.fromkeys(row["data"] for row in rows if row["source"] == SOURCE_HERE)):
        blocks.append(Paragraph(WORDS("papers.here", data=here)))
    measured = any(row["measured_here"] is not None for row in rows)
    return WORDS.section("papers", blocks, measured=measured, published=bool(sources))


def side_by_side(rows: Sequence[Row], caption: str) -> Grid:
    """Figures as papers print them: a line a model, and for every task (or measure) what was published and what was found."""
    measures, tasks = ({row[key]: None for row in rows} for key in ("measure", "task"))
    across = "task" if len(measures) == 1 else "measure"
    lead = ["data", "model"] if across == "task" else ["task", "data", "model"]
    lines: dict[tuple[str, ...], dict[str, Row]] = {}
    for row in rows:
        told = row | {"data": HERE} if row["source"] == SOURCE_HERE else row
        lines.setdefault(tuple(told[key] for key in lead), {})[row[across]] = row
    wanted = sorted(tasks if across == "task" else measures, key=lambda name: list(SHORT).index(name) if name in SHORT else -1)
    sides = ["published", "measured_here"] if any(row["published"] is not None for row in rows) else ["measured_here"]
    headings = [SHORT.get(name, name) if side == sides[0] else "here" for name in wanted for side in sides]
    cells = [[*names, *(_cell(found.get(name), side) for name in wanted for side in sides)] for names, found in lines.items()]
    return Grid([*lead, *headings], cells, caption, "", len(lead))


def _cell(row: Row | None, side: str) -> str:
    return "" if row is None or row[side] is None else percent(row[side])


def _data(report: Report) -> Section:
    columns: Columns = [
        *(("part", "part"), ("specimens", "specimens"), ("with an image", "image")),
        *(("with a barcode", "barcode"), ("with a species", "species")),
    ]
    return WORDS.section("data", [WORDS.grid("data.grid", report.rows("parts"), columns)])


def _missing(report: Report, name: str) -> Section:
    rows = report.rows("missing")
    columns: Columns = [("what", "what"), ("why", "why"), ("what makes it", lambda row: row["remedy"] or "–")]
    blocks: list[Block] = [WORDS.grid("missing.grid", rows, columns, left=3)] if rows else []
    return WORDS.section("missing", [*blocks, Paragraph(WORDS(f"{name}.apart"))], rows=rows)
