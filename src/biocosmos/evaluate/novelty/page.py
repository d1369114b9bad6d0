"""The page of a leave-out report."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from biocosmos.evaluate.novelty.metrics import KNOWN
from biocosmos.evaluate.novelty.protocol import BEST_PATH, COLUMNS, FAR, INSIDE, KNOWN_OUTLIER, MIDDLE, NEAR, NOTHING_ASIDE
from biocosmos.evaluate.pages.blocks import Block, Card, Page, Section
from biocosmos.evaluate.pages.charts import Bar, bars, lines, share_boxes, stacked
from biocosmos.evaluate.pages.pictures import Pictures
from biocosmos.evaluate.pages.rows import Row, pick
from biocosmos.evaluate.pages.svg import percent, points_of
from biocosmos.evaluate.pages.words import Columns, Words, grid
from biocosmos.evaluate.report import Report

WORDS = Words(__package__)
WHO = {
    NEAR: "unseen class of a known group",
    MIDDLE: "unseen group",
    KNOWN_OUTLIER: "new images of classes shown as outliers",
    FAR: "foreign images and chimeras",
    KNOWN: "known specimens",
}
PLACES = (
    ("exact", "exact", "c3"),
    ("deep", "under", "c1"),
    ("shallow", "above", "c4"),
    ("none", "nowhere", "none"),
    ("wrong", "wrong", "c2"),
)
MEASURES = ("auroc", "fpr95_novel_positive", "fpr95_known_positive", "aupr_novel", "aupr_known")
MOST_TAXA = 10
SHORT = {BEST_PATH: "path", INSIDE: "inside"}


def page(report: Report, pictures: Pictures) -> Page:
    """Everything the novelty page shows."""
    main = report.provenance["main_detector"]
    columns = [name for name in COLUMNS if any(row["column"] == name for row in report.rows("summary"))]
    sections = [
        _separation(report, main, columns),
        _taxa(report, main, columns),
        _placement(report, columns),
        _counts(report, columns),
        *_kept(report),
        *_failed(report),
    ]
    return Page(_lead(report, main), _cards(report, main, columns), sections, WORDS.terms)


def _lead(report: Report, main: str) -> str:
    runs, together = report.provenance["runs"], report.provenance["taxa_left_out_together"]
    how = "one taxon" if together == [1] else f"{' or '.join(map(str, together))} taxa"
    return WORDS("lead", runs=runs, how=how, main=main)


def _spread(row: Row | None, name: str) -> str | None:
    """Mean and deviation in percent: "81.2 ± 9.1 %"; only the mean where one taxon stands behind it."""
    if row is None or row[name] is None or math.isnan(row[name]):
        return None
    deviation = row[f"{name}_deviation"]
    if deviation is None or math.isnan(deviation):
        return percent(row[name])
    return f"{100 * row[name]:.1f} ± {100 * deviation:.1f} %"


def _cards(report: Report, main: str, columns: Sequence[str]) -> list[Card]:
    cards = []
    for column in columns:
        if row := pick(report.rows("summary"), column=column, detector=main):
            behind = _behind(row, column)
            cards.append(WORDS.card("cards.column", percent(row["auroc"]), column=column, who=WHO[column], behind=behind))
    placed = [row for row in report.rows("placement", column=NEAR, rule=INSIDE) if not math.isnan(row["inside"])]
    if placed:
        images = sum(row["specimens"] for row in placed)
        share = sum(row["inside"] * row["specimens"] for row in placed) / images
        mean = float(np.mean([row["inside"] for row in placed]))
        cards.append(WORDS.card("cards.placed", percent(share), images=images, mean=mean))
    kept = [row for row in report.rows("kept") if row.get("change") is not None]
    if kept:
        cards.append(WORDS.card("cards.kept", f"{points_of(kept[-1]['change'])} points", rank=kept[-1]["rank"]))
    return cards


def _behind(row: Row, column: str) -> str:
    """What a mean rests on, in words."""
    images = f"{row['novel']:,} images"
    if column in (NEAR, MIDDLE):
        taxa = f"{row['taxa']:,} {'taxon' if row['taxa'] == 1 else 'taxa'} left out"
        return f"{taxa}, {images}" + ("" if row["taxa"] == 1 else f"; deviation {percent(row['auroc_deviation'])}")
    return f"{row['runs']:,} {'run' if row['runs'] == 1 else 'runs'}, {images}"


def _separation(report: Report, main: str, columns: Sequence[str]) -> Section:
    by = {(row["detector"], row["column"]): row for row in report.rows("summary")}
    detectors = list(report.provenance["detectors"])
    groups = [(detector, [_bar(by.get((detector, column))) for column in columns]) for detector in detectors]
    blocks: list[Block] = [WORDS.figure("separation.bars", bars("AUROC of every detector", groups, columns))]
    if curves := _curves(report, columns):
        chart = lines("Caught against false alarms", curves, "known specimens called novel", "strangers caught")
        blocks.append(WORDS.figure("separation.curves", chart, main=main))
    for name in MEASURES:
        shown: Columns = [("detector", lambda detector: detector)]
        for column in columns:
            cell = lambda detector, c=column, n=name: _spread(by.get((detector, c)), n)  # noqa: E731
            shown = [*shown, (column, cell)]
        blocks.append(WORDS.grid(f"separation.{name}", detectors, shown, fold=name != "auroc"))
    return WORDS.section("separation", blocks)


def _curves(report: Report, columns: Sequence[str]) -> list[tuple[str, list[tuple[float, float]]]]:
    """Share of strangers caught over the share of false alarms, for each column the mean over taxa, from stored quantiles."""
    groups: dict[tuple[str, str, str], list[tuple[float, float]]] = {}
    for row in report.rows("scores"):
        groups.setdefault((row["run"], row["column"], row["taxon"]), []).append((row["quantile"], row["score"]))
    known = {run: np.array(points) for (run, column, _), points in groups.items() if column == KNOWN}
    curves = []
    for column in columns:
        caught = []
        for (run, here, _), points in groups.items():
            if here == column and run in known:
                steps, scores = np.array(points).T
                caught.append(1 - np.interp(known[run][::-1, 1], scores, steps, left=0, right=1))
        if caught:
            alarms = 1 - next(iter(known.values()))[::-1, 0]
            curves.append((column, [(0.0, 0.0), *zip(alarms.tolist(), np.mean(caught, axis=0).tolist()), (1.0, 1.0)]))
    return curves


def _bar(row: Row | None) -> Bar:
    if row is None:
        return Bar(math.nan)
    deviation = row["auroc_deviation"]
    tip = f"{row['column']}: {_spread(row, 'auroc')}"
    if deviation is None or math.isnan(deviation):
        return Bar(row["auroc"], tip=tip)
    return Bar(row["auroc"], max(row["auroc"] - deviation, 0), min(row["auroc"] + deviation, 1), tip)


def _taxa(report: Report, main: str, columns: Sequence[str]) -> Section:
    rows = [row for row in report.rows("separation", detector=main) if row["column"] in (NEAR, MIDDLE)]
    blocks: list[Block] = []
    boxes = [(c, [np.array([row["auroc"] for row in rows if row["column"] == c])]) for c in columns if c in (NEAR, MIDDLE)]
    boxes = [(name, values) for name, values in boxes if len(values[0]) > 1]
    if boxes:
        blocks.append(WORDS.figure("taxa.chart", share_boxes("AUROC by taxon", boxes, [main], "AUROC")))
    placed = {(row["run"], row["column"], row["taxon"]): row for row in report.rows("placement", rule=INSIDE)}
    ordered = sorted(rows, key=lambda row: row["auroc"])
    ordered = [row | {"placed": placed.get((row["run"], row["column"], row["taxon"]), {})} for row in ordered]
    hardest = ordered[:MOST_TAXA]
    easiest = ordered[::-1][: max(0, min(MOST_TAXA, len(ordered) - len(hardest)))]
    shown: Columns = [
        *(("taxon left out", "taxon"), ("kind", "column"), ("AUROC", "auroc")),
        ("in the right branch", lambda row: percent(row["placed"].get("inside"), 0)),
        ("in a wrong branch", lambda row: percent(row["placed"].get("wrong"), 0)),
        ("images", "novel"),
    ]
    for words, part in (("hardest", hardest), ("easiest", easiest)):
        if part:
            blocks.append(WORDS.grid(f"taxa.{words}", part, shown, left=2))
    return WORDS.section("taxa", blocks, main=main)


def _placement(report: Report, columns: Sequence[str]) -> Section:
    by = {(row["column"], row["rule"]): row for row in report.rows("places")}
    shown = [
        row
        for column in (KNOWN, *[c for c in columns if c in (NEAR, MIDDLE)])
        for rule in (BEST_PATH, INSIDE)
        if (row := by.get((column, rule))) and not math.isnan(row["exact"])
    ]
    blocks: list[Block] = []
    if shown:
        parts = [(f"{row['column']}, {SHORT[row['rule']]}", [100 * row[name] for name, _, _ in PLACES]) for row in shown]
        chart = stacked("Placement", parts, [name for _, name, _ in PLACES], [style for _, _, style in PLACES])
        blocks.append(WORDS.figure("placement.chart", chart))
        placed: Columns = [
            *(("specimens", "column"), ("rule", "rule"), *((words, name) for name, words, _ in PLACES)),
            *(("right branch", "inside"), ("right ranks", "depth")),
        ]
        blocks.append(WORDS.grid("placement.grid", shown, placed, left=2))
    names = report.table("places").column_names
    ranks = [name for name in names if name.startswith("answered_") and not name.endswith("_deviation")]
    headings = [name.removeprefix("answered_") for name in ranks]
    at: Columns = [
        ("specimens", "column"),
        *((f"at {rank}" if rank != "none" else "nowhere", name) for rank, name in zip(headings, ranks)),
        ("novel", "flagged"),
    ]
    inside = [row for column in (KNOWN, *columns) if (row := by.get((column, INSIDE)))]
    blocks.append(WORDS.grid("placement.ranks", inside, at))
    return WORDS.section("placement", blocks, alarms=report.provenance.get("false_alarms"))


def _counts(report: Report, columns: Sequence[str]) -> Section:
    blocks: list[Block] = []
    shown: Columns = [
        ("false alarms meant", lambda row: _aside(row["put_aside"])),
        *(("observed", "false_alarms"), ("strangers caught", "caught"), ("distortion", "bray_curtis")),
        *(("counted too many", "over"), ("too few", "under")),
    ]
    for column in columns:
        if mine := [row for row in report.rows("counts") if row["column"] == column]:
            facts = {"column": column, "who": WHO[column], "share": mine[0]["novel_share"]}
            blocks.append(WORDS.grid("counts.grid", mine, shown, **facts))
    return WORDS.section("counts", blocks)


def _aside(point: str) -> str:
    return "nothing" if point == NOTHING_ASIDE else percent(float(point), 0)


def _kept(report: Report) -> list[Section]:
    rows = report.rows("kept") if report.table("kept").num_rows else []
    if not rows:
        return []
    compared = any(row["reference"] is not None for row in rows)
    shown: Columns = [("rank", "rank"), ("accuracy on known specimens", "accuracy")]
    if compared:
        more = (("training with all taxa", "reference"), ("difference, points", ("change", points_of)))
        shown = [*shown, *more, ("worst run", ("worst_change", points_of))]
    return [WORDS.section("kept", [WORDS.grid("kept.grid", rows, shown, compared=compared)], compared=compared)]


def _failed(report: Report) -> list[Section]:
    rows = report.rows("failed") if report.table("failed").num_rows else []
    shown: Columns = [("run", "run"), ("taxa", "taxa"), ("reason", "reason")]
    return [WORDS.section("failed", [grid(rows, shown, "", "", 3)])] if rows else []
