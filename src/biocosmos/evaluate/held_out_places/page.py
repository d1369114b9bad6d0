"""The page of priors of places on held-out cells and rows."""

from __future__ import annotations

from typing import Any

from biocosmos.evaluate.numbers.bootstrap import CONFIDENCE
from biocosmos.evaluate.pages.blocks import Block, Card, Figure, Page, Section
from biocosmos.evaluate.pages.charts import Bar, bars
from biocosmos.evaluate.pages.maps import map_of, map_table
from biocosmos.evaluate.pages.pictures import Pictures
from biocosmos.evaluate.pages.rows import decimal, of_column, pick
from biocosmos.evaluate.pages.spots import Spot
from biocosmos.evaluate.pages.svg import percent
from biocosmos.evaluate.pages.words import Words
from biocosmos.evaluate.report import Report

Row = dict[str, Any]
WORDS = Words(__package__)
CELLS, ROWS = "cells", "rows"
FREQUENCY = "overall shares"
_HELPED, _MISLED = "the place helped", "it misled"


def page(report: Report, pictures: Pictures) -> Page:
    """Everything the page shows."""
    rows = report.rows("priors")
    first = next(row["method"] for row in rows if row["method"] != FREQUENCY)
    sections = [_measured(rows), _against(report.rows("against")), _map(report.rows("cells", method=first), first)]
    return Page(WORDS("lead", facts=report.provenance), _cards(rows), sections, WORDS.terms)


def _cards(rows: list[Row]) -> list[Card]:
    cards = []
    for method in dict.fromkeys(row["method"] for row in rows):
        by = {how: pick(rows, held_out=how, method=method) for how in (CELLS, ROWS)}
        cells, others = by[CELLS], by[ROWS]
        if cells and others:
            cards.append(WORDS.card("cards.method", f"{cells['nll']:.3f}", cells=cells, rows=others))
    return cards


def _measured(rows: list[Row]) -> Section:
    methods = list(dict.fromkeys(row["method"] for row in rows))
    groups = [(method, [_bar(pick(rows, held_out=how, method=method)) for how in (CELLS, ROWS)]) for method in methods]
    columns = [
        *(("method", "method"), ("held out", "held_out")),
        ("-log share (nats)", lambda row: of_column(row, "nll", decimal)),
        ("± over seeds", ("nll_sd", decimal)),
        ("top-1", lambda row: of_column(row, "top_1")),
        ("± over seeds ", ("top_1_sd", percent)),
        *(("mAP", ("mean_average_precision", percent)), ("± over seeds  ", ("mean_average_precision_sd", percent))),
        *(("judged", "judged"), ("left out", "left_out")),
    ]
    blocks: list[Block] = [
        Figure(bars("Right at the first guess", groups, ["cells held out", "rows held out: leaks"]), WORDS("measured.figure")),
        WORDS.grid("measured.grid", rows, columns, left=2, confidence=CONFIDENCE),
    ]
    return WORDS.section("measured", blocks)


def _against(rows: list[Row]) -> Section:
    columns = [
        *(("method", "method"), ("against", "against"), ("held out", "held_out")),
        ("-log share, difference", lambda row: of_column(row, "nll", "{:+.3f}".format)),
        ("top-1, difference in points", lambda row: of_column(row, "top_1", lambda share: f"{100 * share:+.1f}")),
    ]
    return WORDS.section("against", [WORDS.grid("against.grid", rows, columns, left=3)])


def _map(cells: list[Row], method: str) -> Section:
    spots = [
        Spot(
            row["latitude"],
            row["longitude"],
            row["judged"],
            int(row["nll"] >= row["nll_overall"]),
            f"{row['nll']:.2f} nats, overall shares {row['nll_overall']:.2f}",
        )
        for row in cells
        if row["latitude"] is not None
    ]
    names = (_HELPED, _MISLED)
    blocks: list[Block] = []
    if spots:
        blocks = [
            Figure(map_of("Cells that were held out", spots, names=names), WORDS("map.figure", method=method)),
            map_table(spots, names=names),
        ]
    helped = sum(row["nll"] < row["nll_overall"] for row in cells)
    return WORDS.section("map", blocks, method=method, helped=helped, cells=len(cells))


def _bar(row: Row | None) -> Bar:
    if row is None:
        return Bar(float("nan"))
    return Bar(
        row["top_1"], row["top_1_low"], row["top_1_high"], f"{row['method']}, {row['held_out']}: {of_column(row, 'top_1')}"
    )


__all__ = ["CELLS", "FREQUENCY", "ROWS", "page"]
