"""The page of clusters: contact sheets, sizes, a tree of likeness, and beside them the names."""

from __future__ import annotations

from typing import Any

import numpy as np

from biocosmos.evaluate.discovery.clusters.dendrogram import dendrogram
from biocosmos.evaluate.discovery.clusters.sizes import sizes
from biocosmos.evaluate.pages.blocks import Card, Page, Paragraph, Picture, Section, Sheet
from biocosmos.evaluate.pages.pictures import Pictures
from biocosmos.evaluate.pages.svg import percent
from biocosmos.evaluate.pages.words import Words
from biocosmos.evaluate.report import Report

Row = dict[str, Any]
WORDS = Words(__package__)
SHOWN = 48
"""Clusters whose pictures are on the page."""
BORDER = 3
"""Of these from the border."""
TYPICAL = 5
BRANCHES = 60
"""Clusters of the tree."""
LISTED = 500


def page(report: Report, pictures: Pictures) -> Page:
    """Everything the page of clusters shows."""
    about, rows = report.provenance, report.rows("clusters")
    lead = WORDS("lead", **{name: about[name] for name in ("specimens", "clusters", "noise", "setting")})
    return Page(lead, _cards(report, rows), _sections(report, rows, pictures), WORDS.terms)


def _cards(report: Report, rows: list[Row]) -> list[Card]:
    about = report.provenance
    cards = [
        Card("clusters", f"{about['clusters']:,}", about["setting"]),
        Card("in a cluster", percent(1 - about["noise"] / max(about["specimens"], 1)), f"of {about['specimens']:,} specimens"),
    ]
    if rows:
        cards.append(Card("largest", f"{rows[0]['specimens']:,}", f"specimens, {percent(rows[0]['share'])} of all"))
    for row in report.rows("agreement")[-1:]:
        cards.append(Card(f"agreement at {row['rank']}", _two(row["ami"]), f"AMI with {row['taxa']:,} taxa; names were not used"))
    return cards


def _sections(report: Report, rows: list[Row], pictures: Pictures) -> list[Section]:
    found = []
    if "reasons" in report.tables:
        table = report.table("reasons")
        columns = [(name.replace("_", " "), (name, _short)) for name in table.column_names]
        said = [Paragraph(sentence) for sentence in report.provenance["reasons"]]
        grid = WORDS.grid("reasons.table", table.to_pylist(), columns, fold=True, tried=table.num_rows)
        found.append(WORDS.section("reasons", [*said, grid]))
    if not rows:
        return found
    found.append(_sight(rows, pictures))
    if "tree" in report.tables:
        found += [_tree(report, rows), WORDS.section("sizes", [WORDS.figure("sizes.chart", sizes([_size(row) for row in rows]))])]
    if agreement := report.rows("agreement"):
        found.append(WORDS.section("names", [WORDS.grid("names.table", agreement, _AGREEMENT)]))
    found.append(WORDS.section("all", [WORDS.grid("all.table", rows[:LISTED], _COLUMNS, fold=True, rows=len(rows))]))
    return found


def _sight(rows: list[Row], pictures: Pictures) -> Section:
    sheets = []
    for row in rows[:SHOWN]:
        inner, border = row["typical"], row["border"]
        notes = ["medoid", *[""] * (len(inner) - 1), *["border"] * len(border)]
        shown = [Picture(pictures(id_), id_.rpartition("/")[2], note) for id_, note in zip([*inner, *border], notes)]
        sheets.append(Sheet(f"Cluster {row['cluster']}: {row['specimens']:,} specimens", shown, _held(row)))
    return WORDS.section("sight", sheets, shown=min(len(rows), SHOWN), clusters=len(rows), at_border=BORDER)


def _tree(report: Report, rows: list[Row]) -> Section:
    table, shown = report.table("tree"), rows[:BRANCHES]
    leaves = [f"{row['cluster']}: {_size(row):,}{_called(row)}" for row in shown]
    links = np.column_stack([table[name].to_numpy() for name in table.column_names]).astype(np.float64)
    named = any(row["named"] for row in rows)
    figure = WORDS.figure("tree.chart", dendrogram("Which clusters are alike", links, leaves), named=named)
    return WORDS.section("tree", [figure], shown=len(shown), clusters=len(rows))


def _held(row: Row) -> str:
    """What the named specimens of a cluster are called."""
    if not row["named"]:
        return ""
    wider = row["common_taxon"] not in (None, row["taxon"])
    common = f"; nearly all are {row['common_taxon']} ({row['common_rank']})" if wider else ""
    return f"{percent(row['purity'], 0)} of {row['named']:,} named ones are {row['taxon']}{common}."


def _called(row: Row) -> str:
    return f", {row['taxon']} {percent(row['purity'], 0)}" if row["named"] else ""


def _size(row: Row) -> int:
    return int(row["specimens"])


def _two(value: float) -> str:
    return "–" if value != value else f"{value:.2f}"


def _short(value: Any) -> str:
    return f"{value:.3f}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)


_AGREEMENT = [("rank", "rank"), ("specimens", "specimens"), ("taxa", "taxa"), ("AMI", ("ami", _two))]
_COLUMNS = [
    ("cluster", lambda row: str(row["cluster"])),
    ("specimens", "specimens"),
    ("mean typicality", ("mean_typicality", _two)),
    ("least", ("least_typicality", _two)),
    ("nearest cluster", lambda row: "–" if row["nearest"] is None else str(row["nearest"])),
    ("its cosine", ("nearest_cosine", _two)),
    ("named", "named"),
    ("most frequent name", "taxon"),
    ("purity", ("purity", lambda value: percent(value, 0))),
    ("common taxon", "common_taxon"),
]
