"""The page on difficulty: nights side by side, sites, and whether crowding is all."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from biocosmos.evaluate.pages.blocks import Block, Card, Grid, Page, Section
from biocosmos.evaluate.pages.charts import Bar, Point, bars, scatter, share_boxes
from biocosmos.evaluate.pages.pictures import Pictures
from biocosmos.evaluate.pages.rows import Row, pick
from biocosmos.evaluate.pages.svg import percent
from biocosmos.evaluate.pages.words import Words
from biocosmos.evaluate.report import Report

WORDS = Words(__package__)
PARTS = {"ocom": "OCOM", "mcom": "MCOM", "vcom": "VCOM", "motcom": "MOTCOM"}
MEANINGS = {"ocom": "hidden", "mcom": "unforeseen motion", "vcom": "alike looks", "motcom": "all three"}
DRAWN = 20
"""Nights of the chart."""
ENOUGH = 3
"""Nights with a MOTCOM that a picture over density needs."""


def page(report: Report, pictures: Pictures) -> Page:
    """Everything the page of difficulty shows."""
    rows = sorted(report.rows("sequences"), key=_hardest_first)
    sites = list(dict.fromkeys(row["site"] for row in rows))
    lead = WORDS(
        "lead",
        nights=len(rows),
        sites=len(sites),
        boxes=sum(row["boxes"] for row in rows),
        tracks=sum(row["tracks"] for row in rows),
    )
    sections = [_nights(rows, sites), *_sites(report, rows, sites), *_density(rows), *_notes(rows), *_left_out(report)]
    return Page(lead, _cards(rows), sections, WORDS.terms)


def _hardest_first(row: Row) -> tuple[bool, float, str]:
    """By MOTCOM, then those without it by the mean of what is known."""
    known = [row[part] for part in PARTS if row[part] is not None]
    return (
        row["motcom"] is None,
        -(sum(known) / len(known) if row["motcom"] is None and known else row["motcom"] or 0.0),
        row["sequence"],
    )


def _measured(rows: Sequence[Row]) -> dict[str, str]:
    """The parts that some sequence has."""
    return {part: name for part, name in PARTS.items() if any(row[part] is not None for row in rows)}


def _cards(rows: Sequence[Row]) -> list[Card]:
    known = [row for row in rows if row["motcom"] is not None]
    cards = []
    if len(known) > 1:
        cards = [
            WORDS.card(f"cards.{key}", percent(row["motcom"]), row=row)
            for key, row in (("hardest", known[0]), ("easiest", known[-1]))
        ]
    for part, name in PARTS.items():
        values = [row[part] for row in rows if row[part] is not None]
        if values:
            mean = percent(sum(values) / len(values))
            low, high = min(values), max(values)
            key = "cards.mean" if len(rows) > 1 else "cards.alone"
            cards.append(WORDS.card(key, mean, part=name, what=MEANINGS[part], nights=len(values), low=low, high=high))
    return cards


def _nights(rows: Sequence[Row], sites: Sequence[str]) -> Section:
    groups = []
    measured = _measured(rows)
    for row in rows[:DRAWN]:
        drawn = []
        for part, name in measured.items():
            value = float("nan") if row[part] is None else row[part]
            drawn.append(Bar(value, tip=f"{row['sequence']}: {name} {percent(value)}"))
        groups.append((row["sequence"], drawn))
    svg = bars("Difficulty of each night", groups, list(measured.values()))
    chart = WORDS.figure("nights.chart", svg, more=len(rows) > DRAWN, shown=DRAWN, nights=len(rows))
    with_site = len(sites) > 1
    head = ["sequence", *(["site"] if with_site else []), *PARTS.values()]
    head += ["frames", "boxes", "individuals", "boxes a frame", "pairs", "OCOM from", "left out"]
    cells = [
        [
            row["sequence"],
            *([row["site"]] if with_site else []),
            *(percent(row[part]) for part in PARTS),
            f"{row['frames']:,}",
            f"{row['boxes']:,}",
            f"{row['tracks']:,}",
            "–" if row["density"] is None else f"{row['density']:.1f}",
            f"{row['pairs']:,}",
            row["occlusion"],
            f"{row['left_out']:,}",
        ]
        for row in rows
    ]
    return WORDS.section("nights", [chart, Grid(head, cells, WORDS("nights.table"), "", 2 if with_site else 1)])


def _sites(report: Report, rows: Sequence[Row], sites: Sequence[str]) -> list[Section]:
    if len(sites) < 2:
        return []
    shown = _measured(rows)
    groups = [
        (
            site or "no site",
            [np.array([row[part] for row in rows if row["site"] == site and row[part] is not None], float) for part in shown],
        )
        for site in sites
    ]
    svg = share_boxes("Difficulty of each site", groups, list(shown.values()), "0, easy, to 100 %, hard")
    table = report.rows("sites")
    cells = []
    for site in sites:
        line = [site or "no site", f"{sum(row['site'] == site for row in rows):,}"]
        for part in shown:
            found = pick(table, site=site, part=part)
            spread = "" if found is None else f" ({percent(found['lowest'])} to {percent(found['highest'])})"
            line.append("–" if found is None else percent(found["mean"]) + spread)
        cells.append(line)
    grid = Grid(["site", "nights", *shown.values()], cells, WORDS("sites.table"))
    return [WORDS.section("sites", [WORDS.figure("sites.chart", svg), grid])]


def _density(rows: Sequence[Row]) -> list[Section]:
    known = [row for row in rows if row["motcom"] is not None and row["density"]]
    if len(known) < ENOUGH:
        return []
    points = [
        Point(
            row["density"],
            row["motcom"],
            f"{row['sequence']}: MOTCOM {percent(row['motcom'])}, {row['density']:.1f} boxes a frame",
        )
        for row in known
    ]
    svg = scatter("MOTCOM over density", points, "boxes a frame", "MOTCOM", y_range=(0.0, 1.0))
    return [WORDS.section("density", [WORDS.figure("density.chart", svg)])]


def _notes(rows: Sequence[Row]) -> list[Section]:
    cells = [[row["sequence"], row["notes"]] for row in rows if row["notes"]]
    return [WORDS.section("notes", [Grid(["sequence", "note"], cells, "", "", 2)])] if cells else []


def _left_out(report: Report) -> list[Section]:
    rows = report.rows("left_out")
    cells = [[row["sequence"], row["reason"], f"{row['boxes']:,}"] for row in rows]
    blocks: list[Block] = [Grid(["sequence", "reason", "boxes"], cells, "", "", 2)]
    return [WORDS.section("left_out", blocks)] if cells else []
