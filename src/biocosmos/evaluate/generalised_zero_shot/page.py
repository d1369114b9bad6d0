"""The page of a generalised zero-shot report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from biocosmos.evaluate.generalised_zero_shot.tables import ALONE, HARMONIC, PARENT, SCORES
from biocosmos.evaluate.pages.blocks import Block, Card, Figure, Grid, Page, Section
from biocosmos.evaluate.pages.charts import Bar, bars
from biocosmos.evaluate.pages.pictures import Pictures
from biocosmos.evaluate.pages.rows import EXTREMES, pick
from biocosmos.evaluate.pages.svg import percent
from biocosmos.evaluate.report import Report
from biocosmos.identify.namers.placed_prototypes import CHOSEN_ON, SEEN, UNSEEN

Row = dict[str, Any]
ROLES = (SEEN, CHOSEN_ON, UNSEEN, HARMONIC, ALONE)
AVERAGES = (("micro", "every specimen counts the same"), ("macro", "every taxon counts the same"))


def page(report: Report, pictures: Pictures) -> Page:
    """Everything the page shows."""
    rows, known = report.rows("ablation"), report.provenance
    variants, ks = known["variants"], known["options"]["ks"]
    best = variants[0]
    sections = [
        _answers(rows, variants, ks),
        *_anomalies(report, variants),
        _taxa(report, best, ks),
    ]
    return Page(_lead(report, rows, best), _cards(report, rows, best), sections, TERMS)


def _lead(report: Report, rows: Sequence[Row], variant: str) -> str:
    unseen = len(report.rows("taxa", role=UNSEEN, draw=report.provenance["draws"][0]))
    own = pick(rows, variant=variant, role=UNSEEN, average="micro", k=1)
    seen = pick(rows, variant=variant, role=SEEN, average="micro", k=1)
    said = (
        f"{unseen} taxa were left out of the training; their names and places in the tree were known, no image. Then all "
        f"{report.provenance['candidates']} taxa were candidates for every test image."
    )
    if own and seen:
        said += (
            f" The model '{variant}' names {percent(own['mean'])} of the images of unseen taxa rightly, and "
            f"{percent(seen['mean'])} of those of seen taxa. Guessing would be right in "
            f"{percent(1 / report.provenance['candidates'])}."
        )
    return said


def _spread(row: Row | None) -> str:
    if row is None:
        return "–"
    return percent(row["mean"]) + ("" if row["deviation"] is None else f" ± {100 * row['deviation']:.1f}")


def _cards(report: Report, rows: Sequence[Row], variant: str) -> list[Card]:
    draws = len(report.provenance["draws"])
    over = f"over {draws} draws of the unseen taxa" if draws > 1 else "one draw of the unseen taxa"
    cards = [
        Card(f"{name}, top-1", _spread(row), f"{variant}, mean over taxa, {over}")
        for name, role in (("unseen taxa", UNSEEN), ("seen taxa", SEEN), ("harmonic mean", HARMONIC), ("right parent", PARENT))
        if (row := pick(rows, variant=variant, role=role, average="macro", k=1))
    ]
    anomalies = report.rows("anomalies", variant=variant, score=SCORES[0])
    return cards + [
        Card(f"anomaly AUROC, {row['anomalies']}", percent(row["mean"]), f"{variant}, distance to the nearest prototype")
        for row in anomalies
        if row["anomalies"] != UNSEEN
    ]


def _answers(rows: Sequence[Row], variants: Sequence[str], ks: Sequence[int]) -> Section:
    blocks: list[Block] = []
    for average, words in AVERAGES:
        for role, what in ((UNSEEN, "unseen taxa, all taxa candidates"), (SEEN, "seen taxa, all taxa candidates")):
            groups = []
            for variant in variants:
                found = [pick(rows, variant=variant, role=role, average=average, k=k) for k in ks]
                groups.append((variant, [_bar(row) for row in found]))
            drawn = bars(f"Top-k of {role} taxa, {average}", groups, [f"top-{k}" for k in ks], shades=True)
            blocks.append(Figure(drawn, f"{what.capitalize()}; {words}. Whiskers: one deviation over draws."))
    for average, words in AVERAGES[::-1]:
        cells = []
        for variant in variants:
            for role in (*ROLES, PARENT):
                found = [pick(rows, variant=variant, role=role, average=average, k=k) for k in ks]
                if any(found):
                    cells.append([variant, role, *(_spread(row) for row in found)])
        caption = f"Share right and one deviation over draws, in points; {words}."
        folded = "" if average == "macro" else f"The same, {words}"
        blocks.append(Grid(["model", "asked about", *(f"top-{k}" for k in ks)], cells, caption, folded, 2))
    lead = "Each part of the model was left out in turn, the taxa staying the same. Untrained: class means of the base encoder."
    return Section("How often is the name right?", lead, blocks)


def _bar(row: Row | None) -> Bar:
    if row is None:
        return Bar(float("nan"))
    spread = row["deviation"]
    if spread is None:
        return Bar(row["mean"], tip=_spread(row))
    return Bar(row["mean"], max(row["mean"] - spread, 0.0), min(row["mean"] + spread, 1.0), _spread(row))


def _anomalies(report: Report, variants: Sequence[str]) -> list[Section]:
    rows = report.rows("anomalies")
    kinds = list(dict.fromkeys(row["anomalies"] for row in rows))
    if not kinds:
        return []
    blocks: list[Block] = []
    groups = []
    for variant in variants:
        found = [pick(rows, variant=variant, anomalies=kind, score=SCORES[0]) for kind in kinds]
        groups.append((variant, [_bar(row) for row in found]))
    blocks.append(Figure(bars("Anomaly AUROC", groups, kinds), "AUROC by the distance to the nearest prototype; 50 % is chance."))
    cells = [
        [variant, score, *(_spread(pick(rows, variant=variant, anomalies=kind, score=score)) for kind in kinds)]
        for variant in variants
        for score in SCORES
    ]
    caption = "AUROC and one deviation over draws, in points. Kinds are never pooled."
    blocks.append(Grid(["model", "score", *kinds], cells, caption, "", 2))
    lead = (
        "Images of no taxon against test images of seen taxa: made of two specimens (halves, quadrants), foreign, or unseen taxa."
    )
    return [Section("Does it know what it does not know?", lead, blocks)]


def _taxa(report: Report, variant: str, ks: Sequence[int]) -> Section:
    rows = report.rows("per_taxon", variant=variant, role=UNSEEN)
    rows = sorted(rows, key=lambda row: (row["draw"], -row[f"top-{ks[0]}"], row["path"]))
    cells = [
        [
            row["path"],
            row["most often taken for"],
            str(row["draw"]),
            f"{row['queries']:,}",
            *(percent(row[f"top-{k}"], 0) for k in ks),
        ]
        for row in rows
    ]
    head = ["unseen taxon", "most often taken for", "draw", "images", *(f"top-{k}" for k in ks)]
    folded = f"All {len(cells)} unseen taxa" if len(cells) > 4 * EXTREMES else ""
    lead = f"By the model '{variant}'. A taxon that is like no seen one, or like two of them equally, cannot be placed."
    return Section("Which unseen taxa can be named?", lead, [Grid(head, cells, "All taxa: table per_taxon.", folded, 2)])


TERMS = (
    ("unseen", "no image of the taxon was in the training; its prototype stands where its relatives in tree and names say"),
    ("chosen on", "left out of the training too; by their validation images the epoch and the handicap were chosen. Their "
     "prototype is the mean of their training images"),
    ("handicap", "what is taken from the scores of taxa with training images, which otherwise win too often; chosen on "
     "validation images, never on test images"),
    ("top-k", "the true taxon is among the k taxa of the highest scores, all taxa being candidates"),
    ("among unseen", "the unseen taxa are the only candidates"),
    ("right parent", "the answer, right or wrong, lies under the true taxon's parent"),
    ("harmonic mean", "2 a b / (a + b) of the shares right of seen and unseen taxa: high only if both are"),
    ("AUROC", "chance that an image of no taxon looks more novel than one of a seen taxon; 50 % is guessing"),
    ("draw", "a random choice of the unseen taxa; the deviation over draws says how much depends on which taxa are left out"),
)  # fmt: skip
