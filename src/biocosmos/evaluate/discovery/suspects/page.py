"""The page of suspects: each beside specimens that are called as it is, and as was proposed."""

from __future__ import annotations

from typing import Any

from biocosmos.evaluate.pages.blocks import Card, Page, Picture, Strip, Strips
from biocosmos.evaluate.pages.pictures import Pictures
from biocosmos.evaluate.pages.svg import percent
from biocosmos.evaluate.pages.words import Words
from biocosmos.evaluate.report import Report

Row = dict[str, Any]
WORDS = Words(__package__)
SHOWN, LISTED, PAIRS = 60, 500, 30


def page(report: Report, pictures: Pictures) -> Page:
    """Everything the page of suspects shows."""
    about, suspects = report.provenance, report.rows("suspects")
    lead = WORDS("lead", audited=about["audited"], suspects=about["suspects"])
    cards = [
        Card("suspects", f"{about['suspects']:,}", f"of {about['audited']:,} labelled specimens"),
        *(
            Card(f"part at {row['parts_at'] or 'no rank'}", f"{row['suspects']:,}", "suspects, by the coarsest rank that differs")
            for row in report.rows("ranks")[:3]
        ),
    ]
    if not suspects:
        return Page(lead, cards, [WORDS.section("none", [])], WORDS.terms)
    near: dict[tuple[str, str], list[Row]] = {}
    for row in report.rows("beside"):
        near.setdefault((row["id"], row["side"]), []).append(row)
    strips = [_strip(row, near, pictures) for row in suspects[:SHOWN]]
    sections = [
        WORDS.section("look", [Strips("", strips)], shown=len(strips), all=len(suspects)),
        WORDS.section("pairs", [WORDS.grid("pairs.table", report.rows("pairs")[:PAIRS], _PAIRS)]),
        WORDS.section("all", [WORDS.grid("all.table", suspects[:LISTED], _SUSPECTS, fold=True, rows=len(suspects))]),
    ]
    return Page(lead, cards, sections, WORDS.terms)


def _strip(row: Row, near: dict[tuple[str, str], list[Row]], pictures: Pictures) -> Strip:
    found = []
    for side, mark in (("label", "wrong"), ("proposal", "right")):
        name = row[side]
        found += [
            Picture(pictures(one["near"]), name, f"cosine {one['cosine']:.3f}", mark) for one in near.get((row["id"], side), [])
        ]
    words = (
        f"Label {percent(row['p_label'], 0)} likely, the other {percent(row['p_proposal'], 0)}. Neighbours: "
        f"{percent(row['votes_label'], 0)} and {percent(row['votes_proposal'], 0)}. They part at "
        f"{row['parts_at'] or 'no common rank'}."
    )
    if row["doubles"]:
        words += f" The same picture is called otherwise: {'; '.join(row['doubles'][:3])}."
    return Strip(Picture(pictures(row["id"]), row["label"], row["id"].rpartition("/")[2]), found, words)


_PAIRS = [("label", "label"), ("proposal", "proposal"), ("part at", "parts_at"), ("suspects", "suspects")]
_SUSPECTS = [
    ("id", "id"),
    ("label", "label"),
    ("proposal", "proposal"),
    ("score", lambda row: f"{row['score']:.2f}"),
    ("p(label)", ("p_label", percent)),
    ("p(proposal)", ("p_proposal", percent)),
    ("part at", "parts_at"),
    ("height", "height"),
]
