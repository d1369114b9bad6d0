"""The page of a few-shot report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from biocosmos.evaluate.pages.blocks import Block, Card, Figure, Grid, Page, Section
from biocosmos.evaluate.pages.charts import Bar, bars
from biocosmos.evaluate.pages.pictures import Pictures
from biocosmos.evaluate.pages.rows import EXTREMES, pick
from biocosmos.evaluate.pages.svg import percent, points_of
from biocosmos.evaluate.report import Report

Row = dict[str, Any]
AVERAGES = (("micro", "every query counts the same"), ("macro", "every taxon counts the same"))


def page(report: Report, pictures: Pictures) -> Page:
    """Everything the few-shot page shows."""
    rows = report.rows()
    target = report.provenance["main_target"]
    encoders = list(dict.fromkeys(row["encoder"] for row in rows))
    shots = sorted({row["shots"] for row in rows})
    cards = [
        Card(
            f"{row['encoder']}, {_shots(row['shots'])}",
            percent(row["mean"]),
            f"right at {target}, mean over {row['taxa']:,} taxa; deviation {_points(row['deviation'])} points over "
            f"{row['folds']} folds",
        )
        for row in rows
        if row["average"] == "macro"
    ]
    lead = (
        f"From each {target} {' or '.join(map(str, shots))} images were taken at random, and every other image was named by the "
        "nearest class mean of them (SimpleShot). That was done with "
        f"{rows[0]['folds']} random choices, the same for every encoder; means over them are given. Guessing would be right in "
        f"{percent(1 / rows[0]['taxa'])} of the taxa's images."
    )
    sections = [_accuracy(report, rows, encoders, shots), *_differences(report), *_taxa(report, encoders, shots, target)]
    return Page(lead, cards, sections, TERMS)


def _shots(k: int) -> str:
    return f"{k} image a taxon" if k == 1 else f"{k} images a taxon"


def _points(value: float | None) -> str:
    return "–" if value is None or value != value else f"{100 * value:.1f}"


def _accuracy(report: Report, rows: Sequence[Row], encoders: Sequence[str], shots: Sequence[int]) -> Section:
    figures: list[Block] = []
    for average, words in AVERAGES:
        groups = []
        for k in shots:
            found = [pick(rows, encoder=e, shots=k, average=average) for e in encoders]
            groups.append((_shots(k), [_bar(row) for row in found]))
        figures.append(Figure(bars(f"Accuracy, {average}", groups, encoders), f"Mean over folds and one deviation; {words}."))
    cells = [
        [
            row["encoder"],
            row["average"],
            str(row["shots"]),
            percent(row["mean"], 2),
            _points(row["deviation"]),
            str(row["folds"]),
            f"{row['queries']:,}",
            f"{row['taxa']:,}",
        ]
        for row in rows
    ]
    head = ["encoder", "average", "images a taxon", "mean", "deviation, points", "folds", "queries", "taxa"]
    return Section("How well do a few images name the rest?", "", [*figures, Grid(head, cells, "", "", 2)])


def _bar(row: Row | None) -> Bar:
    if row is None:
        return Bar(float("nan"))
    tip = f"{row['encoder']}: {percent(row['mean'])}, deviation {_points(row['deviation'])} points"
    return Bar(row["mean"], max(row["mean"] - row["deviation"], 0), min(row["mean"] + row["deviation"], 1), tip)


def _differences(report: Report) -> list[Section]:
    rows = report.rows("differences")
    if not rows:
        return []
    cells = [
        [
            row["encoder"],
            row["average"],
            str(row["shots"]),
            f"{points_of(row['mean'])} points",
            _points(row["deviation"]),
            f"{row['better_folds']} of {row['folds']}",
        ]
        for row in rows
    ]
    head = ["encoder", "average", "images a taxon", "mean difference", "deviation, points", "better folds"]
    lead = f"Fold by fold against {rows[0]['baseline']}: both encoders had the same training and test images."
    return [Section("What changed?", lead, [Grid(head, cells, "", "", 2)])]


def _taxa(report: Report, encoders: Sequence[str], shots: Sequence[int], target: str) -> list[Section]:
    k = shots[-1]
    sections = []
    for name in encoders:
        rows = sorted(report.rows("per_taxon", encoder=name, shots=k), key=lambda row: (row["mean"], row["path"]))
        if len(rows) < 2:
            continue
        hardest = rows[:EXTREMES]
        easiest = rows[len(hardest) :][::-1][:EXTREMES]
        blocks: list[Block] = []
        for words, part in (("Hardest", hardest), ("Easiest", easiest)):
            cells = [[row["taxon"], percent(row["mean"], 0), _points(row["deviation"]), f"{row['specimens']:,}"] for row in part]
            if cells:
                blocks.append(Grid([target, "mean", "deviation, points", "specimens"], cells, words))
        sections.append(Section(f"Which taxa are hard with {name}?", f"With {_shots(k)}. All: table per_taxon.", blocks))
    return sections


TERMS = (
    (
        "SimpleShot",
        "The mean of the training images is taken from every vector, which is then made unit; a query gets the taxon whose mean "
        "vector is nearest by Euclidean distance.",
    ),
    ("fold", "One random choice of training images; all other images of those taxa are the queries."),
    ("deviation", "Standard deviation over folds (with n − 1), in percentage points."),
    ("micro, macro", "Micro: every query counts the same. Macro: the share within each taxon, then the mean over taxa."),
)
