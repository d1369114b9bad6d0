"""Sections that the page of one namer and the page of several share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from biocosmos.evaluate.pages.blocks import Block, Figure, Grid, Section
from biocosmos.evaluate.pages.charts import Bar, Difference, bars, differences, stacked
from biocosmos.evaluate.pages.rows import Row, interval
from biocosmos.evaluate.pages.words import Columns, Words, grid
from biocosmos.evaluate.ranks.asked import ALL
from biocosmos.evaluate.ranks.names import BEST_PATH, DECODINGS, RAW
from biocosmos.evaluate.report import Report

WORDS = Words(__package__)
AGREEMENT = (
    ("accuracy", "micro", "accuracy"),
    ("F1", "weighted", "weighted F1"),
    ("recall", "macro", "macro recall"),
    ("F1", "macro", "macro F1"),
)
SHADES = ("c3", "s3", "s2", "s1", "c5", "c2", "c4", "none")
MOST_BRANCHES = 12


def ranks_of(report: Report) -> list[str]:
    """The ranks judged, coarsest first."""
    return [row["target"] for row in report.rows("answerable")]


class Scores:
    """Rows of the summary, or of the differences, by what they are of: a page asks for hundreds."""

    def __init__(self, report: Report, table: str = "summary") -> None:
        rows = report.rows(table)
        self._first = rows[0]["namer"] if rows else ""
        self._rows = {
            (row["namer"], row["branch"], row["target"], row["measure"], row["average"]): row
            for row in rows
            if row.get("over", "all") == "all"
        }

    def __call__(self, target: str, measure: str, average: str, branch: str = ALL, namer: str | None = None) -> Row | None:
        """The row over all specimens; ``namer`` is the first by default."""
        return self._rows.get((namer or self._first, branch, target, measure, average))


def branch_names(report: Report) -> list[str]:
    """The branches by themselves, the largest first."""
    size = {row["branch"]: row["specimens"] for row in report.rows("hierarchical") if row["over"] == "all"}
    return sorted((name for name in size if name != ALL), key=lambda name: -size[name])


def bar(row: Row | None) -> Bar:
    """A bar of a share with its interval; none without a row."""
    if row is None:
        return Bar(float("nan"))
    return Bar(row["value"], row["low"], row["high"], f"{interval(row)}, {row['specimens']:,} specimens")


def scores_grid(report: Report, ranks: Sequence[str]) -> Grid:
    """All the numbers of all specimens and of the answerable ones, folded."""
    rows = [row for rank in ranks for row in report.rows(target=rank, branch=ALL)]
    several = len({row["namer"] for row in rows}) > 1
    columns: Columns = [
        *([("namer", "namer")] if several else []),
        *(("rank", "target"), ("measure", "measure"), ("averaged over", averaged), ("over", "over")),
        *(("value (interval)", interval), ("specimens", "specimens"), ("taxa", "taxa")),
    ]
    return grid(rows, columns, "", "All the numbers", 4 + several)


def averaged(row: Row) -> str:
    """What a mean was taken over, in words."""
    if row["average"] == "weighted":
        return "taxa, weighted by specimens"
    return "taxa" if row["average"] == "macro" else "specimens"


def mistakes(report: Report, by: str) -> Section:
    """How far off the names are, one bar per value of the column ``by`` (branch or namer)."""
    rows = [row for row in report.rows("severity") if by == "branch" or row["branch"] == ALL]
    values = [ALL, *branch_names(report)[:MOST_BRANCHES]] if by == "branch" else list(dict.fromkeys(row[by] for row in rows))
    steps = sorted({row["severity"] for row in rows})
    counts = {(row[by], row["severity"]): row["specimens"] for row in rows}
    shown = [(value, [counts.get((value, step), 0) for step in steps]) for value in values]
    css = [SHADES[min(step, len(SHADES) - 1)] for step in steps]
    chart = stacked("How far off", [bar_ for bar_ in shown if sum(bar_[1])], [_steps(step) for step in steps], css)
    tree = [row for row in report.rows("hierarchical") if by == "branch" or row["branch"] == ALL]
    whole = {(row[by], row["answers"]): row["specimens"] for row in tree if row["over"] == "all"}
    found = [
        row
        for value in values
        for row in tree
        if row[by] == value and (row["over"] == "all" or row["specimens"] != whole[value, row["answers"]])
    ]
    columns: Columns = [
        (by, by),
        *([("answers", "answers")] if len({row["answers"] for row in tree}) > 1 else []),
        ("over", "over"),
        ("h. precision", "precision"),
        ("h. recall", "recall"),
        ("hierarchical F1", lambda row: interval({"value": row["f1"], "low": row["f1_low"], "high": row["f1_high"]})),
        ("severity of mistakes", lambda row: _ranks_off(row, "mistake_severity")),
        ("mean severity", lambda row: _ranks_off(row, "mean_severity")),
        ("distance", ("tree_distance", "{:.2f}".format)),
        ("mistakes", lambda row: f"{row['mistakes']:,} of {row['specimens']:,}"),
    ]
    blocks: list[Block] = [WORDS.figure("mistakes.chart", chart), WORDS.grid("mistakes.grid", found, columns, left=2)]
    return WORDS.section("mistakes", blocks, ranks=ranks_of(report))


def _steps(ranks: int) -> str:
    """ "right", "1 rank off", "2 ranks off"."""
    return "right" if not ranks else f"{ranks} rank{'s' if ranks > 1 else ''} off"


def _ranks_off(row: Row, name: str) -> str | None:
    value, low, high = row[name], row[f"{name}_low"], row[f"{name}_high"]
    if value is None or value != value:
        return None
    return f"{value:.2f}" + ("" if low is None or low != low else f" ({low:.2f} to {high:.2f})")


def agreeing(report: Report, ranks: Sequence[str], ways: Sequence[str] = tuple(DECODINGS)) -> list[Section]:
    """Other ways to read the names: whether ranks agree, and what each way gains or loses; nothing where there is one way."""
    rows = [row for row in report.rows("consistency") if row.get("answers") in ways]
    if not rows:
        return []
    by = {(row["namer"], row["answers"], row["target"]): row for row in rows}
    kinds = list(dict.fromkeys((row["namer"], row["answers"]) for row in rows))
    several = len({namer for namer, _ in kinds}) > 1
    groups = []
    for namer, way in kinds:
        dots = [
            Difference(row["difference"], row["low"], row["high"], f"{row['gained']:,} gained, {row['lost']:,} lost")
            for rank in ranks
            if (row := by.get((namer, way, rank)))
        ]
        if way != BEST_PATH:
            groups.append((f"{namer}, {way}" if several else way, dots))
    columns: Columns = [
        *([("namer", lambda kind: kind[0])] if several else []),
        ("read as", lambda kind: kind[1]),
        ("on one path", lambda kind: next(by[(*kind, rank)]["consistent"] for rank in ranks if (*kind, rank) in by)),
        *((f"right at {rank}", _accuracy_at(by, rank)) for rank in ranks),
    ]
    there = [rank for rank in ranks if any(row["target"] == rank for row in rows)]
    chart = differences(f"Accuracy against the {BEST_PATH}", groups, there, "percentage points")
    blocks: list[Block] = [WORDS.figure("agreeing.chart", chart), WORDS.grid("agreeing.grid", kinds, columns, left=1 + several)]
    raw, decoding = any(row["answers"] == RAW for row in rows), report.provenance["decoding"]
    return [WORDS.section("agreeing", blocks, decoding=decoding, raw=raw, several=several)]


def _accuracy_at(by: dict[Any, Row], rank: str) -> Any:
    return lambda kind: (by.get((*kind, rank)) or {}).get("accuracy")


def judged(report: Report) -> Section:
    """What could be judged and answered at each rank."""
    names = (
        "specimens",
        "not_in_tree",
        "nothing_known",
        "null",
        "judged",
        "unanswerable",
        "taxa",
        "unanswerable_taxa",
        "classes",
    )
    words = (*names[:1], "not in tree", "unnamed", "null here", "judged", "unanswerable", "taxa", "unanswerable", "taxa it knows")
    columns: Columns = [("rank", "target"), *zip(words, names)]
    return WORDS.section("judged", [grid(report.rows("answerable"), columns)])


def bars_of(title: str, words: str, groups: Sequence[tuple[str, Sequence[Row | None]]], series: Sequence[str]) -> Figure:
    """Bars of rows, one group per label."""
    return Figure(bars(title, [(label, [bar(row) for row in rows]) for label, rows in groups if any(rows)], series), words)
