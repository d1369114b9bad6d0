"""The part of a page on seen and unseen species, as tables of names tell them."""

from __future__ import annotations

from biocosmos.evaluate.barcode.accuracy import SEEN, UNSEEN
from biocosmos.evaluate.pages.blocks import Page
from biocosmos.evaluate.pages.pictures import Pictures
from biocosmos.evaluate.pages.svg import percent
from biocosmos.evaluate.pages.words import Columns, Words
from biocosmos.evaluate.report import Report

WORDS = Words(__package__)
COLUMNS: Columns = [
    *((name, name) for name in ("namer", "group", "rank")),
    *((name, name) for name in ("queries", "answered", "right", "wrong")),
    *((("given a name", "share_answered"), ("wrong of the given", "error"), ("wrong of all", "wrong_of_all"))),
]


def page(report: Report, pictures: Pictures) -> Page:
    """A card for each namer and group: the share that was given a wrong species; all numbers in one table."""
    rows, species = report.rows("named"), report.provenance["species"]
    cards = [
        WORDS.card(f"cards.{key}", percent(row["wrong_of_all"]), row=row, species=species)
        for group, key in ((UNSEEN, "unseen"), (SEEN, "seen"))
        for row in rows
        if row["group"] == group and row["rank"] == species
    ]
    section = WORDS.section("named", [WORDS.grid("named.grid", rows, COLUMNS, left=3)], species=species)
    return Page(WORDS("lead", species=species), cards, [section], WORDS.terms)
