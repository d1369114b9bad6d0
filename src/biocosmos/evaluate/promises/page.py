"""The page of a report on promises."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from biocosmos.evaluate.pages.blocks import Block, Card, Figure, Grid, Page, Section
from biocosmos.evaluate.pages.charts import stacked
from biocosmos.evaluate.pages.pictures import Pictures
from biocosmos.evaluate.pages.rows import pick
from biocosmos.evaluate.pages.svg import percent
from biocosmos.evaluate.promises.chart import Promised, against, group_errors
from biocosmos.evaluate.promises.tables import BROKEN, ERRORS, IMPOSSIBLE, LEVEL, NOTHING, REJECTED_SHARE
from biocosmos.evaluate.report import Report
from biocosmos.identify.confidence.promises import KINDS, rounded_up

Row = dict[str, Any]
TITLES = {"mean": "Wrong among all", "answered": "Wrong among the answered"}
AMONG = {"mean": "all", "answered": "the answered"}
CSS = {"mean": "c1", "answered": "c3"}
# Error rates with a card.
SHOWN = (0.05, 0.1)
# Groups in a chart; the table has all of them.
MOST_GROUPS = 12


def page(report: Report, pictures: Pictures) -> Page:
    """Everything the page of promises shows."""
    sections = [_kept(report), _answered(report), *_groups(report), _calibration(report), *_sets(report)]
    return Page(_lead(report), _cards(report), sections, TERMS)


def _made(report: Report, kind: str) -> list[Row]:
    return [row for row in report.rows("summary", promise=kind) if row["verdict"] != IMPOSSIBLE]


def _lead(report: Report) -> str:
    rows = report.rows("summary")
    broken = sum(row["verdict"] == BROKEN for row in rows)
    verdict = f"{broken} of {len(rows)} promises were not kept" if broken else "Every promise that could be made was kept"
    ranks = [row["rank"] for row in report.rows("calibration")]
    return (
        f"A head that may answer at any rank ({', '.join(ranks)}), or not at all, was given an error rate to keep. In "
        f"{_resplits(report)} random resplits thresholds were set on {rows[0]['calibration']:,} specimens, and the answers "
        f"judged on {rows[0]['test']:,} others. {verdict}."
    )


def _resplits(report: Report) -> int:
    return int(report.provenance["options"]["resplits"])


def _cards(report: Report) -> list[Card]:
    cards = []
    for kind, among in AMONG.items():
        for row in _made(report, kind):
            if row["alpha"] in SHOWN or len(report.rows("summary")) <= 2 * len(SHOWN):
                detail = f"wrong, mean over {row['resplits']} resplits; {percent(row['answered'])} of the specimens answered"
                cards.append(Card(f"{row['alpha'] * 100:g} % of {among} promised", percent(row["observed"]), detail))
    return cards


def _kept(report: Report) -> Section:
    chance = report.provenance["options"]["delta"]
    caption = "a faint dot is a resplit, the full dot their mean with two standard errors, the dashed line what was promised."
    figures: list[Block] = [
        Figure(against(title, _promised(report, kind)), f"{title}: {caption}")
        for kind, title in TITLES.items()
        if _made(report, kind)
    ]
    first = [
        _cells(row, [_yes(row["within_two_errors"]), percent(row["expected"], 2)])
        for row in report.rows("summary", promise="mean")
    ]
    second = [
        _cells(row, ["–" if row["rejected"] is None else f"{row['rejected']} of {row['resplits']}"])
        for row in report.rows("summary", promise="answered")
    ]
    head = ["promised", "observed mean", "standard error"]
    tail = ["resplits above", "answered", "verdict"]
    grids: list[Block] = [
        Grid(
            [*head, "within two of alpha", "expected by the draw", *tail],
            first,
            f"“mean”: {KINDS['mean']}; answering nothing is never wrong. Kept: the mean over resplits is at most alpha plus "
            f"{ERRORS:g} standard errors. It should scatter around the line.",
        ),
        Grid(
            [*head, f"tests rejecting at {LEVEL:.0%}", *tail],
            second,
            f"“answered”: {KINDS['answered']} (delta {chance:g}). Kept: a one-sided binomial test rejects in at most "
            f"{percent(REJECTED_SHARE, 0)} of the resplits. It should lie below the line: nearly every resplit must keep it.",
        ),
    ]
    lead = "Two promises are made, about the mean over all specimens and about the answers given, and both are put to the test."
    return Section("Are the promises kept?", lead, [*figures, *grids])


def _promised(report: Report, kind: str) -> list[Promised]:
    return [
        Promised(
            f"promised {row['alpha'] * 100:g} %",
            row["alpha"],
            [run["error"] for run in report.rows("resplits", promise=kind, alpha=row["alpha"]) if run["error"] is not None],
            row["observed"],
            row["standard_error"],
            CSS[kind],
        )
        for row in _made(report, kind)
    ]


def _yes(value: bool | None) -> str:
    return "–" if value is None else "yes" if value else "no"


def _cells(row: Row, middle: Sequence[str]) -> list[str]:
    if row["verdict"] == IMPOSSIBLE:
        return [
            f"{row['alpha'] * 100:g} %",
            *["–"] * (len(middle) + 4),
            f"impossible: {rounded_up(row['smallest_alpha'])} is the least",
        ]
    return [
        f"{row['alpha'] * 100:g} %",
        percent(row["observed"], 2),
        percent(row["standard_error"], 2),
        *middle,
        f"{row['above']} of {row['resplits']}",
        percent(row["answered"]),
        row["verdict"],
    ]


def _answered(report: Report) -> Section:
    rows = report.rows("answered_at")
    ranks = [*reversed(list(dict.fromkeys(row["rank"] for row in rows if row["rank"] != NOTHING))), NOTHING]
    css = [f"s{min(i + 1, 3)}" for i in range(len(ranks) - 1)] + ["none"]
    figures: list[Block] = []
    grid = []
    for kind, title in TITLES.items():
        bars_ = []
        for row in _made(report, kind):
            shares = [pick(rows, promise=kind, alpha=row["alpha"], rank=rank) or {} for rank in ranks]
            bars_.append((f"promised {row['alpha'] * 100:g} %", [share.get("share", 0.0) for share in shares]))
            grid.append([title, f"{row['alpha'] * 100:g} %", *(percent(share.get("share")) for share in shares)])
        if bars_:
            figures.append(
                Figure(stacked(f"{title}: answered at", bars_, ranks, css), f"{title}: share of specimens answered at each rank.")
            )
    lead = "What the promise costs: the smaller the error rate, the more answers stay at a coarse rank, or out."
    return Section("How far down are answers given?", lead, [*figures, Grid(["promise", "promised", *ranks], grid, "", "", 1)])


def _groups(report: Report) -> list[Section]:
    rows = report.rows("groups")
    blocks: list[Block] = []
    for by in dict.fromkeys(row["by"] for row in rows):
        for kind, title in TITLES.items():
            alphas = [row["alpha"] for row in _made(report, kind)]
            names = list(dict.fromkeys(row["group"] for row in rows if row["by"] == by))[:MOST_GROUPS]
            if not alphas or not names:
                continue
            shown = 0.1 if 0.1 in alphas else alphas[-1]
            found = [row for name in names if (row := pick(rows, promise=kind, alpha=shown, by=by, group=name))]
            drawn = [
                (
                    row["group"],
                    row["error"],
                    f"{row['group']}: {percent(row['error'], 2)} of {row['specimens']:,.0f} specimens a resplit",
                )
                for row in found
                if row["error"] is not None
            ]
            words = f"{title} by {by}, where {shown * 100:g} % was promised over all (dashed); the most frequent first."
            blocks.append(Figure(group_errors(f"{title} by {by}", drawn, shown, CSS[kind]), words))
        cells = [
            [
                row["group"],
                TITLES[row["promise"]],
                f"{row['alpha'] * 100:g} %",
                percent(row["error"], 2),
                percent(row["deviation"], 2),
                percent(row["answered"]),
                f"{row['specimens']:,.0f}",
            ]
            for row in rows
            if row["by"] == by
        ]
        head = [by, "promise", "promised", "observed", "deviation over resplits", "answered", "specimens a resplit"]
        blocks.append(Grid(head, cells, "", f"All the numbers by {by}", 2))
    if not blocks:
        return []
    lead = (
        "The promises hold over the mixture. Within a group nothing was promised, and some are above; to promise within a group, "
        "calibrate on it alone."
    )
    return [Section("Is it the same in every group?", lead, blocks)]


def _calibration(report: Report) -> Section:
    rows = report.rows("calibration")
    caption = (
        "Error: mean distance between the confidence said and the share right (ECE, 10 bins), on specimens that set nothing."
    )
    cells = [
        [
            row["rank"],
            f"{row['temperature']:.2f}",
            percent(row["before"], 2),
            percent(row["after"], 2),
            percent(row["said_before"]),
            percent(row["said"]),
            percent(row["right"]),
            f"{row['answers']:,}",
        ]
        for row in rows
    ]
    head = ["rank", "temperature", "error before", "error after", "said before", "said after", "right", "answers"]
    lead = (
        "A temperature for the choice at each rank, fitted on a quarter of the calibration side, makes the confidence of the "
        f"best path mean what it says. {caption}"
    )
    return Section("Does confidence mean what it says?", lead, [Grid(head, cells)])


def _sets(report: Report) -> list[Section]:
    rows = report.rows("sets")
    if not rows:
        return []
    cells = [
        [
            row["rank"],
            percent(1 - row["alpha"], 0),
            percent(row["covered"], 2),
            percent(row["standard_error"], 2),
            f"{row['mean_size']:.2f}",
            percent(row["single"]),
        ]
        for row in rows
    ]
    head = ["rank", "promised", "covered", "standard error", "mean size", "of one taxon"]
    lead = (
        "Instead of one answer, all taxa of a rank that are probable enough to hold the true one. A set has one taxon at least, "
        "so where the head is right more often than promised, so are the sets."
    )
    return [Section("How large are sets?", lead, [Grid(head, cells)])]


TERMS = (
    ("wrong", "An answer that is neither the true taxon nor an ancestor of it. Answering nothing (the root) is never wrong."),
    (
        "cannot be told",
        "An answer finer than what is known of a specimen, or beside a rank where it has no name, counts as wrong: that can cost "
        "answers and cannot void a promise.",
    ),
    ("alpha", "The promised error rate."),
    ("mean", "Conformal risk control (Angelopoulos et al., ICLR 2024): the expected share of wrong answers among all specimens."),
    (
        "answered, delta",
        "Learn then Test (Angelopoulos et al., 2021): the share of wrong answers among those given is at most alpha, for all "
        "but a share delta of calibration parts.",
    ),
    (
        "expected by the draw",
        "floor(alpha (n + 1)) / (n + 1): with n specimens that set a threshold, the most that can be promised.",
    ),
    ("resplit", "Calibration and test part pooled, and divided anew at random by a seed."),
    ("standard error", "Deviation over resplits, divided by the square root of their number."),
    ("temperature", "Above 1: the head was too sure of its choices at this rank; below 1: not sure enough."),
    ("covered", "Share of sets that hold the true taxon."),
)
