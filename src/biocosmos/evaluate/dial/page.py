"""The page of the dial."""

from __future__ import annotations

import math
from typing import Any

from biocosmos.evaluate.dial.chart import front
from biocosmos.evaluate.dial.paired import ALPHA
from biocosmos.evaluate.pages.blocks import Block, Card, Page, Paragraph, Section
from biocosmos.evaluate.pages.pictures import Pictures
from biocosmos.evaluate.pages.svg import percent
from biocosmos.evaluate.pages.words import Columns, Words
from biocosmos.evaluate.report import Report

Row = dict[str, Any]
WORDS = Words(__package__)


def page(report: Report, pictures: Pictures) -> Page:
    """Everything the page shows."""
    known = report.provenance
    rows = report.rows("ways")
    taken = next(row for row in rows if row["taken"])
    margin = known["margin"]
    what = WORDS(f"what.{known['measure']}", rank=known["rank"])
    faster = taken["tokens"] != "all tokens" or taken["precision"] != "float32"
    lead = WORDS(
        "lead",
        tried=len(rows),
        encoder=known["encoder"],
        faster=faster,
        margin=margin,
        name=f"{taken['tokens']}, {taken['precision']} by {taken['backend']}",
        times=f"{taken['times']:.2f}",
        loss=None if taken["loss"] is None else points(taken["loss"]),
        backend=taken["backend"],
        precision=taken["precision"],
    )
    return Page(lead, _cards(taken, known, what), _sections(rows, known, what), WORDS.terms)


def points(value: float | None, digits: int = 2) -> str:
    """A share in percentage points: 0.0031 -> "0.31"."""
    if value is None or math.isnan(value):
        return "–"
    shown = f"{100 * value:.{digits}f}"
    return ("0" if float(shown) == 0 else shown).replace("-", "−")


def _verdict(row: Row) -> str:
    if row["taken"]:
        return "taken"
    if row["probability"] is None:
        return "not tested"
    return "passed" if row["probability"] <= ALPHA else "failed"


def _cards(taken: Row, known: dict[str, Any], what: str) -> list[Card]:
    ends = "" if taken["loss"] is None else f"{points(taken['low'])} to {points(taken['high'])}"
    rate = f"{taken['images_per_second']:,.0f}" if taken["images_per_second"] >= 10 else f"{taken['images_per_second']:.2g}"
    return [
        WORDS.card("taken", taken["tokens"], precision=taken["precision"], backend=taken["backend"], rate=rate),
        WORDS.card("faster", f"{taken['times']:.2f}"),
        WORDS.card("lost", points(taken["loss"] or 0.0), ends=ends, margin=points(known["margin"])),
        WORDS.card(
            "dense", percent(known["dense"]), what=what, judged=known["judging"]["specimens"], who=known["judging"]["who"]
        ),
    ]


def _sections(rows: list[Row], known: dict[str, Any], what: str) -> list[Section]:
    judged = sorted((row for row in rows if row["loss"] is not None), key=lambda row: row["times"])
    columns: Columns = [
        ("tokens", "tokens"),
        ("precision", "precision"),
        ("backend", "backend"),
        ("times as fast", lambda row: f"{row['times']:.2f}"),
        ("points lost", lambda row: points(row["loss"])),
        ("95 % on each side", lambda row: f"{points(row['low'])} to {points(row['high'])}"),
        ("lost", "losses"),
        ("gained", "gains"),
        ("p", lambda row: "–" if row["probability"] is None else f"{row['probability']:.3f}"),
        ("", _verdict),
    ]
    blocks: list[Block] = [WORDS.grid("judged.grid", judged, columns, left=3)] if judged else [Paragraph(WORDS("judged.none"))]
    every: Columns = [
        ("tokens", "tokens"),
        ("precision", "precision"),
        ("backend", "backend"),
        ("times as fast", lambda row: "–" if row["times"] is None else f"{row['times']:.2f}"),
        ("points lost, choosing", lambda row: points(row["choosing_loss"])),
        ("", "why"),
    ]
    figure = WORDS.figure("front.figure", front("Loss against speed", rows, known["margin"]), what=what)
    return [
        WORDS.section("front", [figure], judging=known["judging"], choosing=known["choosing"]),
        WORDS.section("judged", blocks),
        WORDS.section("every", [WORDS.grid("every.grid", rows, every, fold=True, left=3)]),
    ]
