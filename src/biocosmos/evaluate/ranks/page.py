"""The page of a report on one head, rank by rank."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from biocosmos.evaluate.pages.blocks import Block, Card, Figure, Grid, Page, Section
from biocosmos.evaluate.pages.charts import Bin, bars, reliability
from biocosmos.evaluate.pages.pictures import Pictures
from biocosmos.evaluate.pages.rows import interval, pick
from biocosmos.evaluate.pages.svg import fit, percent
from biocosmos.evaluate.ranks.decodings import ALL, DECODINGS, RAW
from biocosmos.evaluate.ranks.sections import (
    AGREEMENT,
    MOST_BRANCHES,
    Scores,
    agreeing,
    bar,
    branch_names,
    mistakes,
    ranks_of,
    scores_grid,
    unanswerable,
)
from biocosmos.evaluate.report import Report

Row = dict[str, Any]
MOST_TAXA, MOST_PAIRS = 10, 15
LONGEST = 240  # pixels of a name in a table
ENOUGH = 5  # specimens a taxon needs to be called hard or easy
OF_RANK = "Every specimen whose name at the rank is known counts; those without one there are left out."


def page(report: Report, pictures: Pictures) -> Page:
    """Everything the page of one head shows."""
    main = report.provenance["main_target"]
    ranks = ranks_of(report)
    sections = [
        _agreement(report, ranks),
        *branches(report, ranks),
        mistakes(report, "branch"),
        agreeing(report, ranks),
        calibration(report, ranks, main),
        _taxa(report, main),
        unanswerable(report),
    ]
    return Page(_lead(report, main), _cards(report, ranks, main), sections, TERMS)


def _lead(report: Report, main: str) -> str:
    able = pick(report.rows("answerable"), target=main) or {}
    tree = pick(report.rows("hierarchical"), branch=ALL, over="all") or {}
    own = Scores(report)(main, "accuracy", "micro")
    words = (
        f"{able['specimens']:,} specimens were put to one head, which names each at every rank of its tree, read as the "
        f"{report.provenance['decoding']}. At {main}, {interval(own)} of the {able['judged']:,} whose {main} is known are right."
    )
    if tree.get("mistakes"):
        words += (
            f" {tree['mistakes']:,} answers are wrong somewhere; on average one must climb {tree['mistake_severity']:.2f} "
            "ranks from the true taxon to reach one that is right."
        )
    return words


def _cards(report: Report, ranks: Sequence[str], main: str) -> list[Card]:
    cards, score = [], Scores(report)
    for rank in ranks if len(ranks) <= 3 else dict.fromkeys((ranks[0], main)):
        row = score(rank, "accuracy", "micro")
        if row:
            detail = f"of {row['specimens']:,} specimens; interval {percent(row['low'])} to {percent(row['high'])}"
            cards.append(Card(f"right at {rank}", percent(row["value"]), detail))
    row = score(main, "F1", "macro")
    if row:
        cards.append(
            Card(f"macro F1 at {main}", percent(row["value"]), f"mean over {row['taxa']:,} taxa, each counting the same")
        )
    tree = pick(report.rows("hierarchical"), branch=ALL, over="all")
    if tree and tree["mistakes"]:
        detail = f"ranks to climb to something right, mean over {tree['mistakes']:,} mistakes"
        cards.append(Card("severity of a mistake", f"{tree['mistake_severity']:.2f}", detail))
    raw = pick(report.rows("consistency"), answers=RAW)
    if raw:
        detail = f"of {raw['judged']:,} specimens, before the ranks are made to agree"
        cards.append(Card("ranks agree by themselves", percent(raw["consistent"]), detail))
    error = pick(report.rows("calibration"), target=main, branch=ALL, over="all")
    if error:
        detail = f"how far p is from the share right, {error['answers']:,} answers"
        cards.append(Card(f"calibration error at {main}", percent(error["ece"]), detail))
    return cards


def _agreement(report: Report, ranks: Sequence[str]) -> Section:
    groups, score = [], Scores(report)
    for rank in ranks:
        rows = [score(rank, measure, average) for measure, average, _ in AGREEMENT]
        groups.append((rank, [bar(row) for row in rows]))
    figure = Figure(
        bars("Right at each rank", groups, [words for *_, words in AGREEMENT]),
        f"{OF_RANK} Unanswerable specimens count as wrong. Lines: bootstrap intervals.",
    )
    tops = list(dict.fromkeys(row["measure"] for row in report.rows() if row["measure"].startswith("top-")))
    blocks: list[Block] = [figure]
    if tops:
        found = [(rank, [score(rank, top, "micro") for top in tops]) for rank in ranks]
        groups = [(rank, [bar(row) for row in rows]) for rank, rows in found if any(rows)]
        words = (
            "The true taxon is among the k most probable of its rank; p of a taxon is the sum over the classes at or under it."
        )
        blocks.append(Figure(bars("Among the k most probable", groups, tops, shades=len(tops) <= 3), words))
    blocks.append(scores_grid(report, ranks))
    lead = (
        "Accuracy lets every specimen count the same, so common taxa decide; a mean over taxa lets every taxon count the same. "
        "Weighted recall is accuracy under another name and is in the table only."
    )
    return Section("How often right at each rank?", lead, blocks)


def branches(report: Report, ranks: Sequence[str]) -> list[Section]:
    """Each branch of the tree by itself, one figure a measure."""
    names, score = branch_names(report), Scores(report)
    if not names:
        return []
    by, shown = report.provenance["branch_rank"], names[:MOST_BRANCHES]
    figures: list[Block] = []
    for measure, average, words in (AGREEMENT[0], AGREEMENT[3]):
        groups = []
        for name in shown:
            rows = [score(rank, measure, average, branch=name) for rank in ranks]
            if any(rows):
                groups.append((name, [bar(row) for row in rows]))
        caption = (
            "A wrong branch is wrong at every rank below."
            if measure == "accuracy"
            else (f"Mean over the taxa of the branch. At {by} itself a branch is one taxon, and no such mean is taken.")
        )
        figures.append(Figure(bars(f"{words}, by {by}", groups, list(ranks)), f"{words[0].upper()}{words[1:]}. {caption}"))
    cells = [
        [name, rank, f"{row['specimens']:,}", interval(row), *_cells(score, rank, name)]
        for name in names
        for rank in ranks
        if (row := score(rank, "accuracy", "micro", branch=name))
    ]
    head = [by, "rank", "specimens", "accuracy (interval)", *(words for *_, words in AGREEMENT[1:])]
    lead = (
        f"The specimens that truly belong to each {by}, whatever {by} they were answered. Precision and F1 look at these "
        "specimens alone, so names wrongly given to specimens of another branch do not count here."
    )
    return [Section(f"How often right within each {by}?", lead, [*figures, Grid(head, cells, "", "All the numbers", 2)])]


def _cells(score: Scores, rank: str, branch: str) -> list[str]:
    found = [score(rank, measure, average, branch=branch) for measure, average, _ in AGREEMENT[1:]]
    return ["–" if row is None else percent(row["value"]) for row in found]


def calibration(report: Report, ranks: Sequence[str], main: str) -> Section:
    """Reliability at the main and the coarsest rank, and the expected calibration error at each."""
    figures: list[Block] = []
    for rank in dict.fromkeys((main, ranks[0])):
        rows = report.rows("reliability", target=rank, branch=ALL, over="all")
        bins = [Bin(row["confidence"], row["accuracy"], row["low"], row["high"], row["count"]) for row in rows]
        if bins:
            words = (
                f"At {rank}: p of the answer against the share right, in ten bins. Below the line the head is too sure of itself."
            )
            figures.append(Figure(reliability(f"Reliability at {rank}", bins), words))
    cells = [
        [
            row["target"],
            row["branch"],
            row["over"],
            percent(row["mean_p"]),
            percent(row["accuracy"]),
            percent(row["ece"]),
            f"{row['answers']:,}",
        ]
        for row in report.rows("calibration")
    ]
    head = ["rank", "branch", "over", "mean p", "share right", "calibration error (ECE)", "answers"]
    grid = Grid(head, cells, "", "Calibration at every rank and branch", 3)
    lead = "p of a taxon is the sum over the classes at or under it. Where it says 80 %, eight of ten answers should be right."
    return Section("Does p mean what it says?", lead, [*figures, grid])


def _taxa(report: Report, main: str) -> Section:
    rows = [row for row in report.rows("per_taxon", target=main) if row["specimens"] >= ENOUGH and row["answerable"]]
    rows.sort(key=lambda row: (row["f1"], row["path"]))
    blocks: list[Block] = []
    easiest = rows[max(MOST_TAXA, len(rows) - MOST_TAXA) :][::-1]
    for words, part in (("Hardest", rows[:MOST_TAXA]), ("Easiest", easiest)):
        cells = [
            [
                fit(row["taxon"], LONGEST),
                percent(row["f1"], 0),
                "–" if row["precision"] is None else percent(row["precision"], 0),
                f"{percent(row['recall'], 0)} ({percent(row['recall_low'], 0)} to {percent(row['recall_high'], 0)})",
                f"{row['specimens']:,}",
                f"{fit(row['mostly_taken_for'], LONGEST)} ({row['taken_for']:,})" if row["mostly_taken_for"] else "–",
            ]
            for row in part
        ]
        if cells:
            blocks.append(Grid([main, "F1", "precision", "recall (interval)", "specimens", "most taken for"], cells, words))
    pairs = sorted(report.rows("confusion", target=main), key=lambda row: -row["count"])[:MOST_PAIRS]
    cells = [
        [
            row["true"],
            row["found"],
            f"{row['count']:,} of {row['queries']:,}",
            percent(row["share"], 0),
            row["parent"] or "different parents",
        ]
        for row in pairs
    ]
    if cells:
        blocks.append(Grid(["is", "answered", "how often", "share", "both in"], cells, "Most frequent confusions", "", 2))
    lead = f"By F1, among the answerable taxa with at least {ENOUGH} specimens. All are in the tables per_taxon and confusion."
    return Section(f"Which taxa at {main} are hard?", lead, blocks)


TERMS = (
    *DECODINGS.items(),
    ("accuracy", "Share of specimens whose answer at the rank is the true taxon. No answer where there is a true name is wrong."),
    (
        "precision, recall",
        "Of the specimens named a taxon, the share that is; of those that are, the share named. A taxon never named has "
        "precision 0.",
    ),
    ("F1", "Harmonic mean of a taxon's precision and recall. Macro F1 is the mean of the taxa's F1, not the F1 of the means."),
    (
        "weighted, macro",
        "Weighted: each taxon counts as often as it has specimens. Macro: each taxon that has specimens counts once.",
    ),
    ("null rank", "A rank at which a specimen's taxon has no name. It judges nothing: what was answered there counts nowhere."),
    (
        "unanswerable",
        "A specimen whose true taxon at the rank has no class of the head at or under it, so that no answer could be right.",
    ),
    ("severity", "Ranks to climb from the true taxon to the lowest taxon that holds both it and the answer; 0 is right."),
    (
        "hierarchical F1",
        "Over the sets of taxa on the paths to answer and truth, at ranks where the truth is known (Kiritchenko et al. 2006).",
    ),
    ("ECE", "Expected calibration error: mean distance between p and share right over ten bins of p, weighed by their answers."),
    (
        "interval",
        "Bootstrap percentile interval; weighted numbers draw among all specimens, macro ones within each taxon. Single taxa: "
        "Wilson's.",
    ),
)
