"""Sections that the page of one head and the page of several share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from biocosmos.evaluate.pages.blocks import Figure, Grid, Section
from biocosmos.evaluate.pages.charts import Bar, Difference, differences, stacked
from biocosmos.evaluate.pages.rows import interval, pick
from biocosmos.evaluate.pages.svg import percent
from biocosmos.evaluate.ranks.decodings import ALL, BEST_PATH, DECODINGS, RAW
from biocosmos.evaluate.report import Report

Row = dict[str, Any]
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
        self._first = rows[0]["head"] if rows else ""
        self._rows = {
            (row["head"], row["branch"], row["target"], row["measure"], row["average"]): row
            for row in rows
            if row.get("over", "all") == "all"
        }

    def __call__(self, target: str, measure: str, average: str, branch: str = ALL, head: str | None = None) -> Row | None:
        """The row over all specimens; ``head`` is the first by default."""
        return self._rows.get((head or self._first, branch, target, measure, average))


def branch_names(report: Report) -> list[str]:
    """The branches by themselves, the largest first."""
    size = {row["branch"]: row["specimens"] for row in report.rows("hierarchical") if row["over"] == "all"}
    return sorted((name for name in size if name != ALL), key=lambda name: -size[name])


def severity_words(ranks: int) -> str:
    """ "right", "1 rank off", "2 ranks off"."""
    return "right" if not ranks else f"{ranks} rank{'s' if ranks > 1 else ''} off"


def bar(row: Row | None) -> Bar:
    return (
        Bar(row["value"], row["low"], row["high"], f"{interval(row)}, {row['specimens']:,} specimens")
        if row
        else Bar(float("nan"))
    )


def scores_grid(report: Report, ranks: Sequence[str], **where: Any) -> Grid:
    """All the numbers of all specimens and of the answerable ones, folded."""
    rows = [row for rank in ranks for row in report.rows(target=rank, branch=ALL, **where)]
    head = sorted({row["head"] for row in rows})
    cells = [
        [
            *([row["head"]] if len(head) > 1 else []),
            *(row["target"], row["measure"], averaged(row), row["over"], interval(row)),
            *(f"{row['specimens']:,}", f"{row['taxa']:,}"),
        ]
        for row in rows
    ]
    names = ["rank", "measure", "averaged over", "over", "value (interval)", "specimens", "taxa"]
    return Grid([*(["head"] if len(head) > 1 else []), *names], cells, "", "All the numbers", 4 + (len(head) > 1))


def averaged(row: Row) -> str:
    """What a mean was taken over, in words."""
    if row["average"] == "weighted":
        return "taxa, weighted by specimens"
    return "taxa" if row["average"] == "macro" else "specimens"


def mistakes(report: Report, by: str) -> Section:
    """How far off the answers are, one bar per value of the column ``by`` (branch or head)."""
    rows = [row for row in report.rows("severity") if by == "branch" or row["branch"] == ALL]
    values = [ALL, *branch_names(report)[:MOST_BRANCHES]] if by == "branch" else list(dict.fromkeys(row[by] for row in rows))
    steps = sorted({row["severity"] for row in rows})
    shown = [
        (value, [(pick(rows, **{by: value, "severity": s}) or {"specimens": 0})["specimens"] for s in steps]) for value in values
    ]
    css = [SHADES[min(step, len(SHADES) - 1)] for step in steps]
    figure = Figure(
        stacked(
            "How far off", [(label, counts) for label, counts in shown if sum(counts)], [severity_words(s) for s in steps], css
        ),
        "How many ranks one must climb from the true taxon to reach one that also holds the answer: 1 is a sister taxon, the "
        "whole height of the tree is nothing in common. All specimens of which anything is known.",
    )
    kept = [row for row in report.rows("hierarchical") if by == "branch" or row["branch"] == ALL]
    found = [row for value in values for row in kept if row[by] == value]
    cells = [
        [
            row[by],
            row["over"],
            percent(row["precision"]),
            percent(row["recall"]),
            interval({"value": row["f1"], "low": row["f1_low"], "high": row["f1_high"]}),
            _ranks_off(row, "mistake_severity"),
            _ranks_off(row, "mean_severity"),
            f"{row['mistakes']:,} of {row['specimens']:,}",
        ]
        for row in found
        if row["over"] == "all" or row["specimens"] != pick(found, **{by: row[by], "over": "all"})["specimens"]  # type: ignore[index]
    ]
    grid = Grid(
        [by, "over", "h. precision", "h. recall", "hierarchical F1", "severity of mistakes", "mean severity", "mistakes"],
        cells,
        "Hierarchical precision: of the taxa named at ranks where the truth is known, the share that is true; recall: of the "
        "true taxa, the share named; pooled over ranks and specimens. Severity in ranks, over mistakes and over all specimens. "
        "Answerable: the deepest known taxon has a class.",
        "",
        2,
    )
    ranks = ranks_of(report)
    lead = "Some mistakes are worse than others, and two heads with the same accuracy may differ in them."
    if len(ranks) > 1:
        lead = f"A wrong {ranks[-1]} in the right {ranks[-2]} is a smaller mistake than a wrong {ranks[0]}."
    return Section("How bad are the mistakes?", lead, [figure, grid])


def _ranks_off(row: Row, name: str) -> str:
    value, low, high = row[name], row[f"{name}_low"], row[f"{name}_high"]
    if value is None or value != value:
        return "–"
    return f"{value:.2f}" + ("" if low is None or low != low else f" ({low:.2f} to {high:.2f})")


def agreeing(report: Report, ranks: Sequence[str], ways: Sequence[str] = tuple(DECODINGS)) -> Section:
    """Other ways to read the answers: whether ranks agree, and what each way gains or loses."""
    rows = [row for row in report.rows("consistency") if row["answers"] in ways]
    names = list(dict.fromkeys((row["head"], row["answers"]) for row in rows))
    several = len({head for head, _ in names}) > 1
    cells, groups = [], []
    for head, way in names:
        found = [pick(rows, head=head, answers=way, target=rank) for rank in ranks]
        share = next(row["consistent"] for row in found if row)
        cells.append(
            [*([head] if several else []), way, percent(share), *(percent(row["accuracy"]) if row else "–" for row in found)]
        )
        if way != BEST_PATH:
            dots = [
                Difference(row["difference"], row["low"], row["high"], f"{row['gained']:,} gained, {row['lost']:,} lost")
                for row in found
                if row
            ]
            groups.append((f"{head}, {way}" if several else way, dots))
    grid = Grid(
        [*(["head"] if several else []), "answers read as", "on one path", *(f"right at {rank}" for rank in ranks)],
        cells,
        "On one path: the share of specimens whose answers at all ranks can be true together. The ways are explained under "
        "Words.",
        "",
        2 if several else 1,
    )
    figure = Figure(
        differences(
            f"Accuracy against the {BEST_PATH}",
            groups,
            [rank for rank in ranks if any(row["target"] == rank for row in rows)],
            "percentage points",
        ),
        f"Right of zero: so read, answers are right more often than along the {BEST_PATH}. Paired over specimens.",
    )
    lead = (
        f"Answers along the {BEST_PATH} never contradict each other: what is said at one rank lies under what is said above. "
        "This shows what that costs or gains against other ways to read them. The report itself reads the "
        f"{report.provenance['decoding']}."
    )
    if not any(row["answers"] == RAW for row in rows):
        lead += " There are no raw levels: a head with one distribution over its classes has no opinion of its own at each rank."
    elif several:
        lead += " Heads without raw levels have one distribution over their classes and no opinion of their own at each rank."
    return Section("Do the ranks agree, and what does agreement cost?", lead, [figure, grid])


def unanswerable(report: Report) -> Section:
    """What could be judged and answered at each rank."""
    kinds = ("specimens", "not_in_tree", "nothing_known", "null", "judged", "unanswerable")
    names = (*kinds, "taxa", "unanswerable_taxa", "classes")
    cells = [[row["target"], *(f"{row[name]:,}" for name in names)] for row in report.rows("answerable")]
    head = ["rank", "specimens", "not in tree", "unnamed", "null here", *kinds[-2:], "taxa", "unanswerable"]
    lead = (
        "A specimen without a name at a rank judges nothing there. It is unanswerable where its true taxon has no class of "
        "the head at or under it: wrong in “all”, left out of “answerable”."
    )
    return Section("Who was judged?", lead, [Grid([*head, "head's taxa"], cells)])
