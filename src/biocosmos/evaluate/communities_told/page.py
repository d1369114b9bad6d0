"""The page of shares judged by sample."""

from __future__ import annotations

from typing import Any

from biocosmos.evaluate.pages.blocks import Card, Figure, Page, Section
from biocosmos.evaluate.pages.charts import Bar, bars
from biocosmos.evaluate.pages.pictures import Pictures
from biocosmos.evaluate.pages.rows import decimal, of_column
from biocosmos.evaluate.pages.svg import percent
from biocosmos.evaluate.pages.words import Words
from biocosmos.evaluate.report import Report
from biocosmos.identify.share_methods import METHODS

Row = dict[str, Any]
WORDS = Words(__package__)
MADE = "made communities"
BEST, COUNTED = "emq", "cc"
MOST_SHOWN = 40
"""Samples in the table of the page; all are in the table of the report."""


def page(report: Report, pictures: Pictures) -> Page:
    """Everything the page shows."""
    rows, facts = report.rows("methods"), report.provenance
    sections = [_measured(rows, facts), _gates(report.rows("gates")), _samples(report.rows("samples"))]
    return Page(WORDS("lead", facts=facts), _cards(rows, report.rows("gates")), sections, WORDS.terms)


def _cards(rows: list[Row], gates: list[Row]) -> list[Card]:
    cards = []
    for gate in gates:
        by = {row["method"]: row for row in rows if row["what"] == gate["what"]}
        cards.append(WORDS.card("cards.error", f"{by[BEST]['bray_curtis']:.3f}", what=gate["what"], counted=by[COUNTED]))
        cards.append(WORDS.card("cards.gate", f"{gate['open']:,} of {gate['samples']:,}", what=gate["what"], gate=gate))
    return cards


def _measured(rows: list[Row], facts: dict[str, Any]) -> Section:
    kinds = list(dict.fromkeys(row["what"] for row in rows))
    groups = [
        (method, [_bar(row) for what in kinds for row in rows if (row["what"], row["method"]) == (what, method)])
        for method in METHODS
    ]
    columns = [
        *(("samples of", "what"), ("method", "method"), ("samples", "samples")),
        ("Bray-Curtis error", lambda row: of_column(row, "bray_curtis", decimal)),
        ("Shannon off by", lambda row: of_column(row, "shannon", decimal)),
        ("taxa too many", lambda row: of_column(row, "richness", "{:.1f}".format)),
        ("names right", ("right_before", percent)),
        ("corrected names right", ("right_after", percent)),
        ("intervals that hold", ("held", percent)),
        ("their width", ("width", decimal)),
    ]
    figure = Figure(bars("Bray-Curtis error", groups, kinds), WORDS("measured.figure"))
    return WORDS.section("measured", [figure, WORDS.grid("measured.grid", rows, columns, left=2, facts=facts)])


def _gates(rows: list[Row]) -> Section:
    columns = [("samples of", "what"), ("samples", "samples"), ("open", "open"), ("severely changed", "severe")]
    return WORDS.section("gates", [WORDS.grid("gates.grid", rows, columns)])


def _samples(rows: list[Row]) -> Section:
    shown = [*(row for row in rows if row["what"] != MADE), *(row for row in rows if row["what"] == MADE)][:MOST_SHOWN]
    columns: list[tuple[str, Any]] = [("sample", "sample"), ("gate", "gate"), ("specimens", "specimens")]
    columns += [("energy left", ("after", decimal)), ("mean off", ("moved", decimal))]
    columns += [(method, (method, decimal)) for method in METHODS]
    return WORDS.section("samples", [WORDS.grid("samples.grid", shown, columns, left=2)], shown=len(shown), all=len(rows))


def _bar(row: Row) -> Bar:
    value, low, high = (row[f"bray_curtis{end}"] for end in ("", "_low", "_high"))
    return Bar(value, low, high, f"{row['method']}, {row['what']}: {of_column(row, 'bray_curtis', decimal)}")
