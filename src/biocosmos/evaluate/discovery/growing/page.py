"""The page of cost curves."""

from __future__ import annotations

from typing import Any

from biocosmos.discover.growing.costs import Costs
from biocosmos.evaluate.pages.blocks import Block, Page, Section
from biocosmos.evaluate.pages.charts import lines
from biocosmos.evaluate.pages.pictures import Pictures
from biocosmos.evaluate.pages.svg import percent
from biocosmos.evaluate.pages.words import Columns, Words
from biocosmos.evaluate.report import Report
from biocosmos.settings import settings_of

WORDS = Words(__package__)
SUMMARY: Columns = (
    ("way of working", "strategy"),
    ("hours", ("hours", lambda hours: f"{hours:.1f}")),
    ("of one by one", ("of_one_by_one", percent)),
    ("specimens an hour", ("an_hour", lambda count: f"{count:,.0f}")),
    ("named at a sixth", ("share_at_sixth", percent)),
    ("most named", ("most", percent)),
    ("least precision", ("precision", percent)),
)
CURVE: Columns = (
    ("way of working", "strategy"),
    ("seed", "seed"),
    ("of one by one", ("cost", percent)),
    ("named", ("share", percent)),
    ("precision", ("precision", percent)),
    ("promised", ("promised", percent)),
    ("looked at", "by_hand"),
    ("between pages", "grown"),
    ("accepted", "accepted"),
    ("taxa", "taxa"),
    ("pages", "pages"),
    ("clicks", "clicks"),
    ("alone", "alone"),
)


def page(report: Report, pictures: Pictures) -> Page:
    """Everything the page on costs shows."""
    about, summary = report.provenance, report.rows("summary")
    found = [_best(summary, encoder, rank) for encoder, rank in _settings(summary)]
    facts = {**about, **about["working"], "found": found, "several": len({each["encoder"] for each in found}) > 1}
    sections = [_curves(report, encoder, rank, facts) for encoder, rank in _settings(summary)]
    said = settings_of(Costs)
    costs = [{"what": said[name].help, "seconds": f"{value:.2f}"} for name, value in about["costs"].items()]
    ways = [{"strategy": name, "says": says} for name, says in about["says"].items()]
    blocks: list[Block] = [
        WORDS.grid("costs.grid", costs, (("act", "what"), ("seconds", "seconds")), **facts),
        WORDS.grid("costs.ways", ways, (("way of working", "strategy"), ("is", "says")), left=2, **facts),
    ]
    cards = [
        WORDS.card("cards.best", "–" if each["of_one_by_one"] is None else percent(each["of_one_by_one"]), each=each, **facts)
        for each in found
    ]
    return Page(WORDS("lead", **facts), cards, [*sections, WORDS.section("costs", blocks, **facts)], WORDS.terms)


def _best(summary: list[dict[str, Any]], encoder: str, rank: str) -> dict[str, Any]:
    """The row of the cheapest way of an encoder at a rank, and the most that any of its ways had named at a sixth of the cost."""
    mine = [row for row in summary if (row["encoder"], row["rank"]) == (encoder, rank)]
    best = min(mine, key=lambda row: row["of_one_by_one"] if row["of_one_by_one"] is not None else float("inf"))
    return {**best, "at_sixth": max(row["share_at_sixth"] for row in mine)}


def _settings(summary: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return list(dict.fromkeys((row["encoder"], row["rank"]) for row in summary))


def _curves(report: Report, encoder: str, rank: str, facts: dict[str, Any]) -> Section:
    summary, curve = report.rows("summary", encoder=encoder, rank=rank), report.rows("curve", encoder=encoder, rank=rank)
    series, marks = [], []
    for number, way in enumerate(row["strategy"] for row in summary):
        mine = sorted((row for row in curve if row["strategy"] == way), key=lambda row: (row["seed"], row["cost"]))
        first = [row for row in mine if row["seed"] == mine[0]["seed"] and row["cost"] <= 1]
        series.append((way, [(0.0, 0.0), *((row["cost"], row["share"]) for row in first)]))
        for row in first:
            tip = f"{way}: {percent(row['share'])} named at precision {percent(row['precision'])}, {row['seconds'] / 3600:.1f} h"
            marks.append((number, row["cost"], row["share"], tip))
    drawn = lines(f"Named, by cost, {encoder}, {rank}", series, "seconds, of one by one", "named", marks)
    more = {**facts, "encoder": encoder, "at": rank, "specimens": summary[0]["specimens"]}
    blocks: list[Block] = [
        WORDS.figure("curves.figure", drawn, **more),
        WORDS.grid("curves.grid", summary, SUMMARY, **more),
        WORDS.grid("curves.fold", curve, CURVE, fold=True, **more),
    ]
    return WORDS.section("curves", blocks, **more)
