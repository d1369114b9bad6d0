"""The page of an open-world report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from biocosmos.evaluate.pages.blocks import Block, Card, Figure, Page, Section
from biocosmos.evaluate.pages.charts import Bar, bars
from biocosmos.evaluate.pages.pictures import Pictures
from biocosmos.evaluate.pages.rows import of_column, pick
from biocosmos.evaluate.pages.svg import percent
from biocosmos.evaluate.pages.words import Words
from biocosmos.evaluate.report import Report

Row = dict[str, Any]
WORDS = Words(__package__)
SEEN, UNSEEN = "seen", "unseen"
PUBLISHED_COLUMNS = (
    *(("task", "task"), ("data", "data"), ("model", "model"), ("measure", "measure")),
    *(("published", "published"), ("measured here", "measured_here"), ("source", "source")),
)


def page(report: Report, pictures: Pictures) -> Page:
    """Everything the page shows."""
    rows, tasks = report.rows("open_world"), report.rows("tasks")
    lead = WORDS("lead", **report.provenance["specimens"])
    sections = [_nearest(rows), _tasks(tasks), published_section(report.rows("published"))]
    return Page(lead, _cards(tasks), sections, WORDS.terms)


def published_section(rows: Sequence[Row]) -> Section:
    """The table of published figures beside what was measured, for this page and that of barcodes."""
    return WORDS.section("published", [WORDS.grid("published.grid", rows, PUBLISHED_COLUMNS, left=4)])


def _cards(tasks: Sequence[Row]) -> list[Card]:
    """The finest rank that can be right, of each part and encoder."""
    cards = []
    for encoder in dict.fromkeys(row["encoder"] for row in tasks):
        for part in (SEEN, UNSEEN):
            mine = [row for row in tasks if (row["encoder"], row["how"], row["queries"]) == (encoder, "nearest", part)]
            able = [row for row in mine if row["specimens"] > row["unanswerable"]]
            if able:
                cards.append(WORDS.card(f"cards.{part}", percent(able[-1]["accuracy"]), row=able[-1]))
    return cards


def _nearest(rows: Sequence[Row]) -> Section:
    encoders = list(dict.fromkeys(row["encoder"] for row in rows))
    blocks: list[Block] = []
    for part in (SEEN, UNSEEN):
        groups = []
        for rank in dict.fromkeys(row["rank"] for row in rows):
            found = [pick(rows, encoder=name, rank=rank, k=1, average="micro") for name in encoders]
            groups.append((rank, [_bar(row, part) for row in found]))
        blocks.append(Figure(bars(f"Nearest right, {part} species", groups, encoders), WORDS("open_world.figure", part=part)))
    columns = [
        *(("encoder", "encoder"), ("rank", "rank"), ("average", "average"), ("k", "k")),
        *((part, lambda row, part=part: of_column(row, part)) for part in (SEEN, UNSEEN)),
        ("H.M.", ("harmonic_mean", percent)),
    ]
    blocks.append(WORDS.grid("open_world.grid", [row for row in rows if row["k"] == 1], columns, left=3))
    blocks.append(WORDS.grid("open_world.all", rows, columns, fold=True, left=3))
    return WORDS.section("open_world", blocks)


def _tasks(tasks: Sequence[Row]) -> Section:
    scores = ("accuracy", "balanced_accuracy", "f1_micro", "f1_macro", "f1_weighted")
    columns = [
        *(("encoder", "encoder"), ("how", "how"), ("queries", "queries"), ("rank", "rank")),
        *((name.replace("_", " "), (name, percent)) for name in scores),
        *(("specimens", "specimens"), ("taxa", "taxa"), ("unanswerable", "unanswerable"), ("without a name", "unnamed")),
    ]
    return WORDS.section("tasks", [WORDS.grid("tasks.grid", tasks, columns, left=4)])


def _bar(row: Row | None, part: str) -> Bar:
    if row is None or row[part] != row[part]:
        return Bar(float("nan"))
    return Bar(row[part], row[f"{part}_low"], row[f"{part}_high"], f"{row['encoder']}, {row['rank']}: {of_column(row, part)}")
