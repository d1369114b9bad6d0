"""The page of a report on tracks."""

from __future__ import annotations

from typing import Any

from biocosmos.evaluate.pages.blocks import Block, Card, Page, Section
from biocosmos.evaluate.pages.charts import lines
from biocosmos.evaluate.pages.pictures import Pictures
from biocosmos.evaluate.pages.svg import percent
from biocosmos.evaluate.pages.words import Columns, Words
from biocosmos.evaluate.report import Report

Row = dict[str, Any]
WORDS = Words(__package__)
ALL = "all"
"""Stands for every sequence, and for every label."""
MAIN: Columns = [
    ("HOTA", "HOTA"),
    ("DetA", "DetA"),
    ("AssA", "AssA"),
    ("IDF1", "IDF1"),
    ("MOTA", "MOTA"),
    ("recall", "recall"),
    ("precision", "precision"),
    ("switches", "switches"),
    ("individuals", "individuals"),
    ("found", "found_individuals"),
    ("count error", "count_error"),
]


def page(report: Report, pictures: Pictures) -> Page:
    """Headlines of the best by IDF1, all trackers side by side, the curve over overlaps, sequences, labels."""
    whole = report.rows("scores", sequence=ALL, label=ALL)
    best = max(whole, key=lambda row: row["IDF1"])
    lead = WORDS("lead", trackers=len(whole), best=best["tracks"], row=best)
    return Page(lead, _cards(best), _sections(report, whole), WORDS.terms)


def _cards(row: Row) -> list[Card]:
    error = "–" if row["count_error"] is None else percent(row["count_error"])
    return [
        WORDS.card("hota", percent(row["HOTA"]), row=row),
        WORDS.card("idf1", percent(row["IDF1"]), row=row),
        WORDS.card("mota", percent(row["MOTA"]), row=row),
        WORDS.card("count", error, row=row),
    ]


def _sections(report: Report, whole: list[Row]) -> list[Section]:
    name: Columns = [("tracks", "tracks")]
    found = [WORDS.section("all", [WORDS.grid("all.grid", whole, [*name, *MAIN])], trackers=len(whole))]
    series = {row["tracks"]: [] for row in whole}  # type: dict[str, list[tuple[float, float]]]
    for row in report.rows("curve"):
        series[row["tracks"]].append((row["overlap"], row["HOTA"]))
    chart = lines("HOTA over the overlap", list(series.items()), "overlap that a match needs", "HOTA")
    found.append(WORDS.section("curve", [WORDS.figure("curve.figure", chart)]))
    sequences = [row for row in report.rows("scores", label=ALL) if row["sequence"] != ALL]
    if sequences:
        hardest = sorted(sequences, key=lambda row: row["HOTA"])
        blocks: list[Block] = [
            WORDS.grid("sequences.grid", hardest, [("tracks", "tracks"), ("sequence", "sequence"), *MAIN], left=2)
        ]
        found.append(WORDS.section("sequences", blocks, hardest=hardest[0]))
    labels = [row for row in report.rows("scores", sequence=ALL) if row["label"] != ALL]
    if labels:
        columns: Columns = [("tracks", "tracks"), ("label", "label"), *MAIN]
        found.append(WORDS.section("labels", [WORDS.grid("labels.grid", labels, columns, left=2)]))
    return found
