"""The page of a leave-out report."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from biocosmos.evaluate.novelty.metrics import KNOWN
from biocosmos.evaluate.novelty.protocol import BEST_PATH, COLUMNS, FAR, INSIDE, KNOWN_OUTLIER, MIDDLE, NEAR, NOTHING_ASIDE
from biocosmos.evaluate.pages.blocks import Block, Card, Figure, Grid, Page, Section
from biocosmos.evaluate.pages.charts import Bar, bars, lines, share_boxes, stacked
from biocosmos.evaluate.pages.pictures import Pictures
from biocosmos.evaluate.pages.rows import pick
from biocosmos.evaluate.pages.svg import percent, points_of
from biocosmos.evaluate.report import Report

Row = dict[str, Any]
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
    return Page(_lead(report, main), _cards(report, main, columns), sections, TERMS)


def _lead(report: Report, main: str) -> str:
    runs, together = report.provenance["runs"], report.provenance["taxa_left_out_together"]
    how = "one taxon" if together == [1] else f"{' or '.join(map(str, together))} taxa"
    heads = (
        f"A head was trained without {how}, then" if runs == 1 else f"{runs:,} heads were trained, each without {how}, then each"
    )
    return (
        f"{heads} was asked about known specimens it had not seen and about strangers. A detector gives every "
        "specimen a score of novelty; AUROC is the chance "
        f"that a stranger scores above a known specimen (50 % is guessing). Numbers on the cards are by the detector “{main}”. "
        "Kinds of stranger differ much in difficulty and are never averaged with each other."
    )


def _spread(row: Row | None, name: str) -> str:
    """Mean and deviation in percent: "81.2 ± 9.1 %"; only the mean where one taxon stands behind it."""
    if row is None or row[name] is None or math.isnan(row[name]):
        return "–"
    deviation = row[f"{name}_deviation"]
    if deviation is None or math.isnan(deviation):
        return percent(row[name])
    return f"{100 * row[name]:.1f} ± {100 * deviation:.1f} %"


def _cards(report: Report, main: str, columns: Sequence[str]) -> list[Card]:
    cards = []
    for column in columns:
        row = pick(report.rows("summary"), column=column, detector=main)
        if row:
            cards.append(Card(f"{column}: AUROC", percent(row["auroc"]), f"{WHO[column]}; {_behind(row, column)}"))
    placed = [row for row in report.rows("placement", column=NEAR, rule=INSIDE) if not math.isnan(row["inside"])]
    if placed:
        images = sum(row["specimens"] for row in placed)
        share = sum(row["inside"] * row["specimens"] for row in placed) / images
        detail = (
            f"of {images:,} images of unseen classes; mean over classes {percent(float(np.mean([r['inside'] for r in placed])))}"
        )
        cards.append(Card("placed in the right group", percent(share), detail))
    kept = [row for row in report.rows("kept") if row["change"] is not None] if report.table("kept").num_rows else []
    if kept:
        row = kept[-1]
        cards.append(Card(f"accuracy at {row['rank']}", f"{points_of(row['change'])} points", "against a training with all taxa"))
    return cards


def _behind(row: Row, column: str) -> str:
    """What a mean rests on, in words."""
    images = f"{row['novel']:,} images"
    if column in (NEAR, MIDDLE):
        taxa = f"{row['taxa']:,} {'taxon' if row['taxa'] == 1 else 'taxa'} left out"
        return f"{taxa}, {images}" + ("" if row["taxa"] == 1 else f"; deviation {percent(row['auroc_deviation'])}")
    return f"{row['runs']:,} {'run' if row['runs'] == 1 else 'runs'}, {images}"


def _separation(report: Report, main: str, columns: Sequence[str]) -> Section:
    rows = report.rows("summary")
    detectors = list(report.provenance["detectors"])
    groups = []
    for detector in detectors:
        found = [pick(rows, column=column, detector=detector) for column in columns]
        groups.append((detector, [_bar(row) for row in found]))
    figures: list[Block] = [
        Figure(
            bars("AUROC of every detector", groups, columns),
            "Mean AUROC over left-out taxa, whiskers one deviation between taxa. The left edge is 0 and guessing stands at 50 %.",
        )
    ]
    curves = _curves(report, columns)
    if curves:
        words = f"By “{main}”, for every threshold: how many strangers it catches, and how many known specimens it calls novel."
        figures.append(
            Figure(lines("Caught against false alarms", curves, "known specimens called novel", "strangers caught"), words)
        )
    head = ["detector", *columns]
    for name, words, summary in _MEASURES:
        cells = [[d, *(_spread(pick(rows, column=c, detector=d), name) for c in columns)] for d in detectors]
        figures.append(Grid(head, cells, words, summary))
    lead = "All detectors on the same predictions. Higher AUROC and AUPR are better, lower false positive rates are better."
    return Section("How well are strangers told from the known?", lead, figures)


_MEASURES = (
    ("auroc", "AUROC, mean ± deviation over taxa.", ""),
    (
        "fpr95_novel_positive",
        "Share of known specimens called novel at the threshold that catches 95 % of the novel ones. Novel is positive, as in "
        "OpenOOD.",
        "False positive rate at 95 %, novel is positive",
    ),
    (
        "fpr95_known_positive",
        "Share of novel specimens taken for known at the threshold that keeps 95 % of the known ones. Known is positive, as in "
        "older papers.",
        "False positive rate at 95 %, known is positive",
    ),
    (
        "aupr_novel",
        "Area under precision and recall, novel is positive; it depends on how many there are.",
        "AUPR, novel is positive",
    ),
    (
        "aupr_known",
        "Area under precision and recall, known is positive; it depends on how many there are.",
        "AUPR, known is positive",
    ),
)


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
        blocks.append(Figure(share_boxes("AUROC by taxon", boxes, [main], "AUROC"), "Every dot is a taxon left out."))
    placed = {(row["run"], row["column"], row["taxon"]): row for row in report.rows("placement", rule=INSIDE)}
    ordered = sorted(rows, key=lambda row: row["auroc"])
    hardest = ordered[:MOST_TAXA]
    easiest = ordered[::-1][: max(0, min(MOST_TAXA, len(ordered) - len(hardest)))]
    for words, part in (("Hardest to tell", hardest), ("Easiest to tell", easiest)):
        cells = []
        for row in part:
            found = placed.get((row["run"], row["column"], row["taxon"]), {})
            inside, wrong = (percent(found.get(name), 0) for name in ("inside", "wrong"))
            cells.append([row["taxon"], row["column"], percent(row["auroc"]), inside, wrong, f"{row['novel']:,}"])
        if cells:
            head = ["taxon left out", "kind", "AUROC", "in the right branch", "in a wrong branch", "images"]
            blocks.append(Grid(head, cells, words, "", 2))
    lead = f"By “{main}”. Below 50 % the head finds the unseen taxon more usual than the taxa it knows. All: table separation."
    return Section("Which taxa are hard to tell?", lead, blocks)


def _placement(report: Report, columns: Sequence[str]) -> Section:
    rows = report.rows("places")
    blocks: list[Block] = []
    bars_of, cells = [], []
    for column in (KNOWN, *[c for c in columns if c in (NEAR, MIDDLE)]):
        for rule in (BEST_PATH, INSIDE):
            row = pick(rows, column=column, rule=rule)
            if row is None or math.isnan(row["exact"]):
                continue
            bars_of.append((f"{column}, {SHORT[rule]}", [100 * row[name] for name, _, _ in PLACES]))
            shown = [percent(row[name]) for name, _, _ in PLACES]
            cells.append([column, rule, *shown, percent(row["inside"]), percent(row["depth"])])
    if bars_of:
        names, css = [name for _, name, _ in PLACES], [style for _, _, style in PLACES]
        words = (
            "Where specimens end up: by the best path, which always goes to a class, and by the deepest rank inside the known."
        )
        blocks.append(Figure(stacked("Placement", bars_of, names, css), words))
        head = ["specimens", "rule", *names, "right branch", "right ranks"]
        words = (
            "Means over taxa. Exact: the deepest known taxon of the true path, for an unseen class its group. Under: a class of "
            "that group, which cannot be right, but the group is; exact and under make the right branch. Above: a true ancestor. "
            "Wrong: another branch. Right ranks: share of the true path's known ranks that the answer has right."
        )
        blocks.append(Grid(head, cells, words, "", 2))
    ranks = [name.removeprefix("answered_") for name in report.table("places").column_names if name.startswith("answered_")]
    ranks = [name for name in ranks if not name.endswith("_deviation")]
    cells = []
    for column in (KNOWN, *columns):
        row = pick(rows, column=column, rule=INSIDE)
        if row:
            cells.append([column, *(percent(row[f"answered_{rank}"]) for rank in ranks), percent(row["flagged"])])
    words = (
        "Share of specimens placed at each rank by the deepest rank inside the known, and share called novel at the deepest one."
    )
    blocks.append(Grid(["specimens", *(f"at {rank}" if rank != "none" else "nowhere" for rank in ranks), "novel"], cells, words))
    alarms = report.provenance.get("false_alarms")
    promise = f" At every rank at most {percent(alarms, 0)} of those inside it should be placed above it." if alarms else ""
    lead = f"An unseen species should go to its genus, an unseen genus to its family, a stranger nowhere.{promise}"
    return Section("Where do they go?", lead, blocks)


def _counts(report: Report, columns: Sequence[str]) -> Section:
    rows = report.rows("counts")
    blocks: list[Block] = []
    for column in columns:
        mine = [row for row in rows if row["column"] == column]
        cells = []
        for row in mine:
            name = "nothing" if row["put_aside"] == NOTHING_ASIDE else percent(float(row["put_aside"]), 0)
            shown = [percent(row[key]) for key in ("false_alarms", "caught", "bray_curtis", "over", "under")]
            cells.append([name, *shown])
        if cells:
            head = ["false alarms meant", "observed", "strangers caught", "distortion", "counted too many", "too few"]
            words = f"{column}: {WHO[column]}; they are {percent(mine[0]['novel_share'])} of the sample on average."
            blocks.append(Grid(head, cells, words))
    lead = (
        "A survey counts specimens by taxon. Whatever scores above a threshold is put aside as unknown; the counts of the rest "
        "are compared with the true ones. Putting aside more spares false counts of strangers and loses known specimens: "
        "choose by what the counts are for. Distortion is Bray-Curtis dissimilarity, 0 when every count is right."
    )
    return Section("What does it do to the counts?", lead, blocks)


def _kept(report: Report) -> list[Section]:
    rows = report.rows("kept") if report.table("kept").num_rows else []
    if not rows:
        return []
    compared = any(row["reference"] is not None for row in rows)
    head = [
        "rank",
        "accuracy on known specimens",
        *(["training with all taxa", "difference, points", "worst run"] if compared else []),
    ]
    cells = []
    for row in rows:
        cells.append([row["rank"], percent(row["accuracy"])])
        if compared:
            none = row["reference"] is None
            cells[-1] += (
                ["–"] * 3 if none else [percent(row["reference"]), points_of(row["change"]), points_of(row["worst_change"])]
            )
    words = "Mean over runs; known test specimens only" + (", the same ones for both trainings." if compared else ".")
    title = "Is the classifier still as good?" if compared else "How good is the classifier on what it knows?"
    return [Section(title, "", [Grid(head, cells, words)])]


def _failed(report: Report) -> list[Section]:
    rows = report.rows("failed") if report.table("failed").num_rows else []
    if not rows:
        return []
    cells = [[row["run"], row["taxa"], row["reason"]] for row in rows]
    return [
        Section(
            "What could not be run?",
            "Run the command again to try these once more.",
            [Grid(["run", "taxa", "reason"], cells, "", "", 3)],
        )
    ]


TERMS = (
    ("near, middle, known outlier, far", "; ".join(f"{name}: {WHO[name]}" for name in COLUMNS) + "."),
    ("combined", "Mean of energy, whitened-knn and class-angle, each in units of its spread over known specimens."),
    ("energy", "Minus the logarithm of the summed exponentials of all class scores: high where no class has a large score."),
    (
        "knn, whitened-knn",
        "Distance to the k-th nearest training specimen; whitened: directions in which a class varies weigh less.",
    ),
    ("class-angle, mahalanobis", "Angle, or squared distance, to the nearest class mean, in units of the spread within classes."),
    ("msp, max-logit", "One minus the largest class probability; minus the largest class score."),
    ("vim", "Virtual-logit matching: how much of the features lies outside the space of the known, against the energy."),
    (
        "rank-outliers",
        "How many deviations the winning score of a rank falls short of what is usual for its taxon; the worst rank.",
    ),
    ("odin", "The largest softmax at a high temperature after a small step of the image towards the answer."),
    (
        "AUROC",
        "Area under the receiver operating curve: the chance that a stranger scores above a known specimen; ties count half.",
    ),
    ("±", "One standard deviation (n − 1) between taxa. It says how unlike taxa are, not how sure the mean is."),
)
