"""The page of tracked sequences."""

from __future__ import annotations

from typing import Any

from biocosmos.evaluate.pages.blocks import Block, Card, Page, Picture, Section, Strip
from biocosmos.evaluate.pages.pictures import Pictures
from biocosmos.evaluate.pages.svg import number, percent
from biocosmos.evaluate.pages.words import Words
from biocosmos.evaluate.report import Report
from biocosmos.evaluate.tracks.timeline import Stay, timeline

Row = dict[str, Any]
WORDS = Words(__package__)
ROWS, STRIPS = 60, 40
"""Individuals of a sequence in its timeline, and with their crops; all are in the table."""
NOTHING = "not named"


def page(report: Report, pictures: Pictures) -> Page:
    """Everything the page of tracks shows."""
    rows = report.rows("individuals")
    sequences = report.rows("sequences")
    more = len({row["sequence"] for row in rows} - {row["sequence"] for row in sequences})
    stays = sorted(row["duration"] for row in rows if row["duration"] is not None)
    cards = [
        Card("individuals", f"{len(rows):,}", f"in {report.provenance.get('sequences', len(sequences)):,} sequences"),
        Card("seen once", percent(sum(row["frames"] == 1 for row in rows) / len(rows) if rows else None), "in a single frame"),
        Card("median stay", span(stays[len(stays) // 2]) if stays else "–", "from first to last frame"),
    ]
    if rows and "taxon" in rows[0]:
        named = sum(row["taxon"] is not None for row in rows)
        cards.append(Card("with a name", percent(named / len(rows)), report.provenance.get("promised") or "nothing promised"))
    seen: dict[str, dict[str, list[float]]] = {}
    for each in report.rows("seen"):
        seen.setdefault(each["sequence"], {})[each["track"]] = each["seconds"]
    crops: dict[tuple[str, str], list[Row]] = {}
    for each in report.rows("crops"):
        crops.setdefault((each["sequence"], each["track"]), []).append(each)
    sections = [
        _sequence(one, [row for row in rows if row["sequence"] == one["sequence"]], seen, crops, pictures) for one in sequences
    ]
    sections.append(WORDS.section("all", [WORDS.grid("all.table", rows, _columns(rows), fold=True, left=2)]))
    return Page(WORDS("lead", individuals=len(rows), more=more), cards, sections, WORDS.terms)


def span(seconds: float) -> str:
    """41 s, 3.5 min, 2.1 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def called(row: Row) -> str:
    """What an individual is called: its taxon, else the label of its boxes."""
    return str(row.get("taxon") or row.get("label") or NOTHING)


def _sequence(
    one: Row,
    rows: list[Row],
    seen: dict[str, dict[str, list[float]]],
    crops: dict[tuple[str, str], list[Row]],
    pictures: Pictures,
) -> Section:
    name = one["sequence"]
    facts = {"name": name, "individuals": len(rows), "frames": one["frames"], "span": span(one["end"] - one["start"])}
    if not rows:
        return WORDS.section("sequence", [], **facts)
    stays = [
        Stay(row["track"], called(row), seen[name][row["track"]], f"{row['track']}: {called(row)}, {row['frames']} frames")
        for row in rows[:ROWS]
    ]
    title = f"Individuals of {name} over time"
    blocks: list[Block] = [
        WORDS.figure("sequence.timeline", timeline(title, stays, one["start"], one["end"]), rest=len(rows) - len(stays))
    ]
    strips = [_strip(row, crops.get((name, row["track"]), []), pictures) for row in rows[:STRIPS]]
    blocks.append(WORDS.strips("sequence.strips", strips, rest=len(rows) - len(strips)))
    return WORDS.section("sequence", blocks, **facts)


def _strip(row: Row, crops: list[Row], pictures: Pictures) -> Strip:
    best = next((crop for crop in crops if crop["best"]), None)
    query = Picture(pictures(None if best is None else best["crop"]), f"{row['track']}", called(row))
    found = [Picture(pictures(crop["crop"]), span(crop["seconds"])) for crop in crops]
    words = [f"{row['frames']:,} {'frame' if row['frames'] == 1 else 'frames'}"]
    if row["duration"]:
        words.append(f"stayed {span(row['duration'])}")
    words.append(f"moved {number(round(row['distance']))} px")
    if row.get("confidence") is not None:
        words.append(f"{row['rank']} {percent(row['confidence'], 0)} sure")
    return Strip(query, found, ", ".join(words))


def _columns(rows: list[Row]) -> list[tuple[str, Any]]:
    named = [("name", called)] if rows else []
    return [
        ("sequence", "sequence"),
        ("track", "track"),
        *named,
        ("first frame", lambda row: f"{row['first_frame']:,}"),
        ("last frame", lambda row: f"{row['last_frame']:,}"),
        ("frames", lambda row: f"{row['frames']:,}"),
        ("missed", lambda row: f"{row['frames_missed']:,}"),
        ("stay", lambda row: "–" if row["duration"] is None else span(row["duration"])),
        ("moved, px", lambda row: number(round(row["distance"]))),
    ]
