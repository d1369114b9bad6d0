"""The page of what a prior of places changed."""

from __future__ import annotations

from typing import Any

from biocosmos.evaluate.pages.blocks import Block, Card, Figure, Page, Paragraph, Picture, Section, Strip, Strips
from biocosmos.evaluate.pages.charts import stacked
from biocosmos.evaluate.pages.pictures import Pictures
from biocosmos.evaluate.pages.svg import percent
from biocosmos.evaluate.pages.words import Words
from biocosmos.evaluate.report import Report

WORDS = Words(__package__)
Row = dict[str, Any]
SHOWN = 12
"""Specimens of each kind that are shown with their pictures."""
MARKS = {"mended": ("wrong", "right"), "broken": ("right", "wrong"), "still wrong": ("wrong", "wrong")}

_SIGN = {"right": "✓", "wrong": "✗"}


def page(report: Report, pictures: Pictures) -> Page:
    """Everything the page shows."""
    ranks, changed = report.rows("ranks"), report.rows("changed")
    last = ranks[-1]
    lead = WORDS("lead", facts=report.provenance, last=last, changed=len(changed))
    return Page(lead, _cards(last), [_ranks(ranks), *_look(changed, pictures)], WORDS.terms)


def _cards(last: Row) -> list[Card]:
    return [
        WORDS.card("cards.right", percent(last["right_with"]), last=last),
        WORDS.card("cards.mended", f"{last['mended']:,}", last=last),
        WORDS.card("cards.broken", f"{last['broken']:,}", last=last),
    ]


def _ranks(rows: list[Row]) -> Section:
    kinds = ("mended", "broken", "still_wrong", "same")
    counts = [(row["rank"], tuple(row[kind] for kind in kinds)) for row in rows]
    names = ("mended", "broken", "another wrong name", "same name")
    drawn = stacked("What changed, rank by rank", counts, names, ("c3", "bad", "c4", "none"))
    columns = [
        *(("rank", "rank"), ("specimens", "specimens")),
        ("right without place", ("right_without", percent)),
        ("right with place", ("right_with", percent)),
        (
            "difference in points",
            lambda row: f"{100 * row['difference']:+.1f} ({100 * row['low']:+.1f} to {100 * row['high']:+.1f})",
        ),
        *(("mended", "mended"), ("broken", "broken"), ("still wrong", "still_wrong")),
    ]
    return WORDS.section("ranks", [Figure(drawn, WORDS("ranks.figure")), WORDS.grid("ranks.grid", rows, columns)])


def _look(changed: list[Row], pictures: Pictures) -> list[Section]:
    blocks: list[Block] = []
    for kind, marks in MARKS.items():
        rows = [row for row in changed if row["kind"] == kind]
        strips = [_strip(row, marks, pictures) for row in sorted(rows, key=lambda row: -row["p_with"])[:SHOWN]]
        if strips:
            blocks.append(Strips(WORDS(f"look.{kind.replace(' ', '_')}", shown=len(strips), rows=len(rows)), strips, wide=False))
    if not blocks:
        blocks = [Paragraph(WORDS("look.nothing"))]
    return [WORDS.section("look", blocks)]


def _strip(row: Row, marks: tuple[str, str], pictures: Pictures) -> Strip:
    query = Picture(pictures(row["id"]), row["truth"], row["id"].rpartition("/")[2])
    said = [
        WORDS("look.without", row=row, mark=_SIGN[marks[0]]),
        WORDS("look.with", row=row, mark=_SIGN[marks[1]]),
        *([row["place"]] if row["place"] else []),
    ]
    return Strip(query, [], " ".join(part if part.endswith(".") else f"{part}." for part in said))


__all__ = ["page"]
