"""The page of a report on attributes."""

from __future__ import annotations

from typing import Any

from biocosmos.evaluate.attributes.tables import EMPTY, ONE, SET
from biocosmos.evaluate.pages.blocks import Block, Card, Page, Picture, Section, Sheet
from biocosmos.evaluate.pages.charts import Bar, Bin, bars, reliability
from biocosmos.evaluate.pages.pictures import Pictures
from biocosmos.evaluate.pages.rows import Row, interval
from biocosmos.evaluate.pages.svg import number, percent
from biocosmos.evaluate.pages.words import Columns, Words
from biocosmos.evaluate.report import Report

WORDS = Words(__package__)
HEADLINES = {SET: ("F1 empty", "mAP", "exact match"), ONE: ("accuracy", "macro F1")}
MOST_CLASSES = 24
"""Bars of one chart; the table has all classes."""
MOST_ROWS = 40
"""Classes of a table that is open; a longer one is folded."""
MOST_PAIRS = 12
MOST_PICTURES = 12
MOST_TASKS_WITH_ALL_CARDS = 4
"""Of more tasks each has one card."""


def page(report: Report, pictures: Pictures) -> Page:
    """Each task by itself: its measures, its classes, what costs most, whether probabilities mean what they say."""
    options = report.provenance["options"]
    tasks = list(dict.fromkeys(row["task"] for row in report.rows("summary")))
    sections: list[Section] = []
    for task in tasks:
        sections.append(_measures(report, task, options))
        sections.append(_classes(report, task, options))
        sections += _costly(report, task, pictures, options)
        sections += _confused(report, task)
        sections.append(_calibration(report, task))
    lead = WORDS("lead", tasks=tasks, options=options, name=report.provenance["namer"]["name"])
    return Page(lead, _cards(report, tasks), sections, WORDS.terms)


def _cards(report: Report, tasks: list[str]) -> list[Card]:
    cards = []
    for task in tasks:
        rows = report.rows("summary", task=task)
        wanted = (rows[0]["measure"], *(HEADLINES[rows[0]["kind"]] if len(tasks) <= MOST_TASKS_WITH_ALL_CARDS else ()))
        found = {row["measure"]: row for row in rows if row["measure"] in wanted and row["value"] is not None}
        cards += [WORDS.card("cards.measure", percent(row["value"]), row=row) for row in found.values()]
    return cards


def _measures(report: Report, task: str, options: dict[str, Any]) -> Section:
    rows = report.rows("summary", task=task)
    shown = [row for row in rows if row["measure"] != "ECE" and row["value"] is not None]
    groups = [
        (
            row["measure"],
            [Bar(row["value"], _end(row["low"]), _end(row["high"]), f"{interval(row)}, {row['specimens']:,} specimens")],
        )
        for row in shown
    ]
    columns: Columns = [
        ("measure", "measure"),
        ("value (interval)", interval),
        ("specimens", "specimens"),
        ("classes", "classes"),
    ]
    blocks: list[Block] = [
        WORDS.figure("measures.chart", bars(f"Measures of {task}", groups, ["value"])),
        WORDS.grid("measures.grid", rows, columns, fold=True),
    ]
    return WORDS.section("measures", blocks, task=task, kind=rows[0]["kind"], options=options)


def _classes(report: Report, task: str, options: dict[str, Any]) -> Section:
    rows = report.rows("classes", task=task)
    several = rows[0]["kind"] == SET
    weighted = any(row["weight"] is not None for row in rows)
    there = sorted((row for row in rows if row["true"]), key=_by_loss)
    measures = ("f_beta", "ap") if several else ("f_beta", "recall")
    names = [f"F{options['beta']:g}", "average precision" if several else "recall"]
    groups = [(row["class"], [_bar(row, name) for name in measures]) for row in there[:MOST_CLASSES]]
    columns: Columns = [
        ("class", "class"),
        *([("weight", lambda row: None if row["weight"] is None else number(row["weight"]))] if weighted else []),
        *(("true", "true"), ("said", "said"), ("right", "right"), ("precision", "precision"), ("recall", "recall")),
        *(("F1", "f1"), (f"F{options['beta']:g}", "f_beta")),
        *([("average precision", "ap"), ("threshold", ("threshold", "{:.3f}".format))] if several else []),
        ("of what is lost", "lost"),
    ]
    blocks: list[Block] = []
    if groups:
        chart = bars(f"Classes of {task}", groups, names)
        blocks.append(WORDS.figure("classes.chart", chart, shown=len(groups), there=len(there), weighted=weighted))
    facts = {"empty": EMPTY, "several": several, "options": options, "there": len(rows)}
    fold = len(rows) > MOST_ROWS
    key = "classes.folded" if fold else "classes.grid"
    blocks.append(WORDS.grid(key, sorted(rows, key=_by_loss), columns, fold=fold, **facts))
    return WORDS.section("classes", blocks, task=task)


def _bar(row: Row, name: str) -> Bar:
    value = row[name]
    tip = f"{percent(value)}: true of {row['true']:,}, said of {row['said']:,}, right of {row['right']:,}"
    return Bar(float("nan") if value is None else value, tip=tip)


def _by_loss(row: Row) -> tuple[bool, float, int]:
    return row["empty"], -(row["lost"] or 0.0), -row["true"]


def _costly(report: Report, task: str, pictures: Pictures, options: dict[str, Any]) -> list[Section]:
    rows = report.rows("costly", task=task)[:MOST_PICTURES]
    if not rows:
        return []
    shown = [Picture(pictures(row["id"]), row["id"], _mistake(row), "wrong") for row in rows]
    sheet = Sheet(WORDS("costly.heading"), shown, WORDS("costly.caption"))
    return [WORDS.section("costly", [sheet], task=task, beta=options["beta"])]


def _mistake(row: Row) -> str:
    parts = [("missed", row["missed"]), ("wrong", row["wrong"])]
    return "; ".join(f"{what} {', '.join(names)}" for what, names in parts if names)


def _confused(report: Report, task: str) -> list[Section]:
    rows = report.rows("confused", task=task)[:MOST_PAIRS]
    if not rows:
        return []
    columns: Columns = [("is", "true"), ("said to be", "said"), ("specimens", "count"), ("of that class", "share")]
    return [WORDS.section("confused", [WORDS.grid("confused.grid", rows, columns, left=2)], task=task)]


def _calibration(report: Report, task: str) -> Section:
    rows = report.rows("calibration", task=task)
    ece = next(row for row in report.rows("summary", task=task) if row["measure"] == "ECE")
    several = ece["kind"] == SET
    bins = [Bin(row["confidence"], row["accuracy"], row["low"], row["high"], row["count"]) for row in rows]
    chart = reliability(f"Calibration of {task}", bins)
    figure = WORDS.figure("calibration.chart", chart, ece=ece["value"], several=several)
    return WORDS.section("calibration", [figure], task=task, several=several)


def _end(value: float | None) -> float:
    return float("nan") if value is None else value
