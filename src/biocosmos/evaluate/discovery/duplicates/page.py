"""The page of duplicates: groups side by side, counts by kind, and what a split tears apart."""

from __future__ import annotations

from typing import Any

from biocosmos.evaluate.pages.blocks import Card, Page, Picture, Sheet
from biocosmos.evaluate.pages.pictures import Pictures
from biocosmos.evaluate.pages.svg import percent
from biocosmos.evaluate.pages.words import Words
from biocosmos.evaluate.report import Report

Row = dict[str, Any]
WORDS = Words(__package__)
SHOWN, OF_A_GROUP, LISTED = 60, 8, 500


def page(report: Report, pictures: Pictures) -> Page:
    """Everything the page of duplicates shows."""
    about, groups = report.provenance, report.rows("groups")
    lead = WORDS("lead", specimens=about["specimens"], groups=about["groups"], members=about["in_groups"])
    cards = [
        Card("groups", f"{about['groups']:,}", f"of {about['in_groups']:,} specimens"),
        Card("to spare", f"{about['in_groups'] - about['groups']:,}", "specimens, if one of each group stands for it"),
    ]
    sections = []
    if "leaks" in report.tables:
        cards.append(
            Card(
                "torn apart",
                f"{about['torn']:,}",
                f"specimens in groups that lie in several parts; {about['training']} is learnt from",
            )
        )
        sections.append(WORDS.section("leaks", [WORDS.grid("leaks.table", report.rows("leaks"), _LEAKS)]))
        torn = [row for row in groups if "," in row["parts"]]
        if torn:
            sections.append(
                WORDS.section("torn", [_sheet(row, pictures) for row in torn[:SHOWN]], shown=min(len(torn), SHOWN), all=len(torn))
            )
    sections.append(WORDS.section("kinds", [WORDS.grid("kinds.table", report.rows("kinds"), _KINDS)]))
    if groups:
        sheets = [_sheet(row, pictures) for row in sorted(groups, key=lambda row: -row["least_alike"])[:SHOWN]]
        sections.append(WORDS.section("groups", sheets, shown=len(sheets), all=len(groups)))
        sections.append(WORDS.section("all", [WORDS.grid("all.table", groups[:LISTED], _GROUPS, fold=True, rows=len(groups))]))
    return Page(lead, cards, sections, WORDS.terms)


def _sheet(row: Row, pictures: Pictures) -> Sheet:
    shown = row["ids"][:OF_A_GROUP]
    notes = ["stands for the group", *[""] * (len(shown) - 1)]
    more = f"; {row['specimens'] - len(shown):,} more" if row["specimens"] > len(shown) else ""
    where = f" in {row['parts']}" if row["parts"] else ""
    caption = f"{row['kinds'].replace('+', ' and ')}; the least alike by {row['least_alike']:.3f}{where}{more}"
    named = [Picture(pictures(id_), id_.rpartition("/")[2], note) for id_, note in zip(shown, notes)]
    return Sheet(f"Group {row['group']}: {row['specimens']:,} specimens", named, caption)


def _share(row: Row) -> str:
    return percent(row["like_training"] / row["specimens"]) if row["specimens"] else "–"


_LEAKS = [
    ("part", "part"),
    ("specimens", "specimens"),
    ("in a group", "in_groups"),
    ("in a torn group", "torn"),
    ("like one that is learnt from", "like_training"),
    ("share", _share),
]
_KINDS = [("kind", "kind"), ("pairs", "pairs"), ("specimens", "specimens"), ("by this kind alone", "only_so")]
_GROUPS = [
    ("group", lambda row: str(row["group"])),
    ("specimens", "specimens"),
    ("stands for it", "representative"),
    ("kinds", "kinds"),
    ("least alike", lambda row: f"{row['least_alike']:.3f}"),
    ("parts", "parts"),
]
