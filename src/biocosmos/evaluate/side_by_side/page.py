"""The page of several heads on the same specimens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from biocosmos.evaluate.pages.blocks import Block, Card, Figure, Grid, Page, Section
from biocosmos.evaluate.pages.charts import Difference, bars, differences, points_of
from biocosmos.evaluate.pages.pictures import Pictures
from biocosmos.evaluate.pages.rows import interval, pick
from biocosmos.evaluate.pages.svg import percent
from biocosmos.evaluate.ranks.decodings import ALL, BEST_CLASS, BEST_PATH, EACH_RANK, RAW
from biocosmos.evaluate.ranks.page import TERMS
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
OPEN_BRANCHES = 4  # with more, the tables of branches are folded
SHOWN = (("accuracy", "micro", "Accuracy"), ("F1", "macro", "Macro F1"))


def page(report: Report, pictures: Pictures) -> Page:
    """Everything the page of several heads shows."""
    main, base = report.provenance["main_target"], report.provenance["baseline"]
    ranks, heads = ranks_of(report), [row["head"] for row in report.rows("heads")]
    raw = any(row["answers"] == RAW for row in report.rows("consistency"))
    sections = [
        _table(report, heads, ranks, main),
        *_changes(report, heads, ranks, base),
        *_branches(report, heads, ranks),
        mistakes(report, "head"),
        agreeing(report, ranks, (BEST_PATH, BEST_CLASS, RAW if raw else EACH_RANK)),
        *_calibration(report, heads, ranks),
        _what(report),
        unanswerable(report),
    ]
    terms = [
        *TERMS,
        ("paired", "Both heads answered the same specimens, which are drawn anew together; so a small difference can be told."),
    ]
    return Page(_lead(report, heads, base, main), _cards(report, heads, main), sections, terms)


def _points(row: Row | None) -> str:
    """ "+1.2 (0.4 to 2.0)" points."""
    if row is None:
        return "–"
    return points_of(row["value"]) + (
        "" if row["low"] != row["low"] else f" ({points_of(row['low'])} to {points_of(row['high'])})"
    )


def _lead(report: Report, heads: Sequence[str], base: str, main: str) -> str:
    able = pick(report.rows("answerable"), target=main) or {}
    words = [
        f"The same {able['specimens']:,} specimens were put to each, and the answers compared specimen by specimen with those "
        f"of {base}."
    ]
    better: list[str] = []
    worse: list[str] = []
    same: list[str] = []
    change = Scores(report, "differences")
    for head in heads[1:]:
        row = change(main, "accuracy", "micro", head=head)
        if row is None or row["low"] != row["low"]:
            continue
        (better if row["low"] > 0 else worse if row["high"] < 0 else same).append(f"{head} ({points_of(row['value'])})")
    for names, verb in ((better, "More often right than"), (worse, "Less often right than"), (same, "Not told apart from")):
        if names:
            words.append(f"{verb} {base} at {main}, in points: {', '.join(names)}.")
    return " ".join(words)


def _cards(report: Report, heads: Sequence[str], main: str) -> list[Card]:
    cards, score = [], Scores(report)
    for head in heads:
        row = score(main, "accuracy", "micro", head=head)
        if row:
            detail = f"right at {main}, {row['specimens']:,} specimens; interval {percent(row['low'])} to {percent(row['high'])}"
            cards.append(Card(head, percent(row["value"]), detail))
    return cards


def _table(report: Report, heads: Sequence[str], ranks: Sequence[str], main: str) -> Section:
    score = Scores(report)
    figures: list[Block] = []
    for measure, average, words in SHOWN:
        groups = [(head, [bar(score(rank, measure, average, head=head)) for rank in ranks]) for head in heads]
        caption = (
            "Every specimen counts the same."
            if average == "micro"
            else "Mean over taxa of each one's F1: every taxon counts the same."
        )
        figures.append(
            Figure(bars(f"{words} at each rank", groups, list(ranks)), f"{words}. {caption} Lines: bootstrap intervals.")
        )
    cells = []
    for head in heads:
        right = [score(rank, "accuracy", "micro", head=head) for rank in ranks]
        f1 = [score(main, "F1", average, head=head) for average in ("weighted", "macro")]
        cells.append([head, *(interval(row) for row in right), *(percent(row["value"]) if row else "–" for row in f1)])
    grid = Grid(
        ["head", *(f"right at {rank}" for rank in ranks), "weighted F1", "macro F1"],
        cells,
        f"Accuracy with its interval; F1 at {main}. Specimens whose name at the rank is not known are left out there; "
        "unanswerable ones count as wrong.",
    )
    reading = report.provenance["decoding"]
    lead = f"Each head names every specimen at every rank, however unsure. Answers are read as the {reading}."
    return Section("Which head is how often right?", lead, [*figures, grid, scores_grid(report, ranks)])


def _changes(report: Report, heads: Sequence[str], ranks: Sequence[str], base: str) -> list[Section]:
    if len(heads) < 2:
        return []
    change = Scores(report, "differences")
    figures: list[Block] = []
    for measure, average, words in SHOWN:
        groups = []
        for head in heads[1:]:
            rows = [row for rank in ranks if (row := change(rank, measure, average, head=head))]
            tips = [f"{head}, {row['target']}: {row['gained']:,} gained, {row['lost']:,} lost" for row in rows]
            groups.append((head, [Difference(row["value"], row["low"], row["high"], tip) for row, tip in zip(rows, tips)]))
        chart = differences(f"{words} against {base}", groups, list(ranks), f"points against {base}")
        figures.append(Figure(chart, f"{words}. Right of zero: better than {base}. Paired over specimens."))
    head_names = ["head", "rank", *(words for *_, words in AGREEMENT), "only this one right", f"only {base} right"]
    cells = []
    for head in heads[1:]:
        for rank in ranks:
            found = [change(rank, measure, average, head=head) for measure, average, _ in AGREEMENT]
            if found[0]:
                cells.append([head, rank, *(_points(row) for row in found), f"{found[0]['gained']:,}", f"{found[0]['lost']:,}"])
    lead = f"Differences from {base}, in percentage points. An interval that holds zero tells nothing apart."
    return [Section(f"What changes against {base}?", lead, [*figures, Grid(head_names, cells, "", "All the numbers", 2)])]


def _branches(report: Report, heads: Sequence[str], ranks: Sequence[str]) -> list[Section]:
    names, score = branch_names(report)[:MOST_BRANCHES], Scores(report)
    if not names:
        return []
    by = report.provenance["branch_rank"]
    blocks: list[Block] = []
    for name in names:
        cells = []
        shown = [rank for rank in ranks if score(rank, "accuracy", "micro", branch=name)]
        for head in heads:
            found = [score(rank, "accuracy", "micro", branch=name, head=head) for rank in shown]
            f1 = score(shown[-1], "F1", "macro", branch=name, head=head) if shown else None
            cells.append([head, *(interval(row) for row in found), percent(f1["value"]) if f1 else "–"])
        count = pick(report.rows("hierarchical"), branch=name, over="all") or {"specimens": 0}
        columns = ["head", *(f"right at {rank}" for rank in shown), f"macro F1 at {shown[-1]}" if shown else "macro F1"]
        words = f"{name}: {count['specimens']:,} specimens"
        blocks.append(Grid(columns, cells, words) if len(names) <= OPEN_BRANCHES else Grid(columns, cells, "", words))
    lead = f"The specimens that truly belong to each {by}. A wrong {by} is wrong at every rank below it."
    return [Section(f"How often right within each {by}?", lead, blocks)]


def _calibration(report: Report, heads: Sequence[str], ranks: Sequence[str]) -> list[Section]:
    rows = [row for row in report.rows("calibration") if row["branch"] == ALL and row["over"] == "all"]
    cells = []
    for head in heads:
        found = [pick(rows, head=head, target=rank) for rank in ranks]
        if any(found):
            cells.append(
                [
                    head,
                    *(percent(row["ece"]) if row else "–" for row in found),
                    *(percent(row["mean_p"]) if row else "–" for row in found),
                ]
            )
    if not cells:
        return []
    columns = ["head", *(f"ECE at {rank}" for rank in ranks), *(f"mean p at {rank}" for rank in ranks)]
    lead = "Expected calibration error: how far p is from the share right, over ten bins of p. Beside it p itself, on average."
    return [Section("Does p mean what it says?", lead, [Grid(columns, cells)])]


def _what(report: Report) -> Section:
    cells = [
        [row["head"], row["kind"], row["encoder"] or "–", row["digest"] or "–", f"{row['classes']:,}" if row["classes"] else "–"]
        for row in report.rows("heads")
    ]
    lead = "The digest is of a head's weights and tree and of its encoder's weights."
    return Section("What was compared?", lead, [Grid(["name", "head", "encoder", "digest", "classes"], cells, "", "", 4)])
