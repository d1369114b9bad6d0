"""The page of a queue: one contact sheet, the first to label first."""

from __future__ import annotations

from typing import Any

from biocosmos.evaluate.pages.blocks import Block, Page, Picture, Sheet
from biocosmos.evaluate.pages.pictures import Pictures
from biocosmos.evaluate.pages.svg import number, percent
from biocosmos.evaluate.pages.words import Columns, Words
from biocosmos.evaluate.report import Report

WORDS = Words(__package__)
SHOWN = 240
"""Pictures of the sheet: more would make the page heavy; the table has all."""
COLUMNS: Columns = (
    ("place", "place"),
    ("id", "id"),
    ("suggested", "taxon"),
    ("its probability", ("p", percent)),
    ("score", ("score", number)),
)


def page(report: Report, pictures: Pictures) -> Page:
    """Everything the page of a queue shows."""
    rows, about = report.rows(), report.provenance
    shown = rows[:SHOWN]
    facts = {**about, "rows": len(rows), "shown": len(shown), "suggested": any(row["taxon"] for row in rows)}
    sheet = [Picture(pictures(row["id"]), row["id"], _note(row)) for row in shown]
    blocks: list[Block] = [
        Sheet(WORDS("next.sheet", **facts), sheet, WORDS("next.caption", **facts)),
        WORDS.grid("next.fold", rows, COLUMNS, fold=True, left=3, **facts),
    ]
    cards = [
        WORDS.card("cards.queued", f"{len(rows):,}", **facts),
        WORDS.card("cards.known", f"{about['known']:,}", **facts),
    ]
    return Page(WORDS("lead", **facts), cards, [WORDS.section("next", blocks, **facts)], WORDS.terms)


def _note(row: dict[str, Any]) -> str:
    return str(row["place"]) if row["taxon"] is None else f"{row['place']}: {row['taxon']}? {percent(row['p'], 0)}"
