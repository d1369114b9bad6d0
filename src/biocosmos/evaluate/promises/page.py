"""The page of a report on promises."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from biocosmos.evaluate.pages.blocks import Block, Card, Page, Section
from biocosmos.evaluate.pages.charts import stacked
from biocosmos.evaluate.pages.pictures import Pictures
from biocosmos.evaluate.pages.rows import Row, pick
from biocosmos.evaluate.pages.svg import percent
from biocosmos.evaluate.pages.words import Columns, Words, grid
from biocosmos.evaluate.promises.chart import Promised, against, group_errors
from biocosmos.evaluate.promises.tables import BROKEN, ERRORS, IMPOSSIBLE, LEVEL, NOTHING, REJECTED_SHARE
from biocosmos.evaluate.report import Report
from biocosmos.identify.confidence.promises import KINDS, rounded_up

WORDS = Words(__package__)
TITLES = {"mean": "Wrong among all", "answered": "Wrong among the answered"}
AMONG = {"mean": "all", "answered": "the answered"}
CSS = {"mean": "c1", "answered": "c3"}
# Error rates with a card.
SHOWN = (0.05, 0.1)
# Groups in a chart; the table has all of them.
MOST_GROUPS = 12


def page(report: Report, pictures: Pictures) -> Page:
    """Everything the page of promises shows."""
    sections = [_kept(report), _depth(report), *_groups(report), _calibration(report), *_sets(report)]
    return Page(_lead(report), _cards(report), sections, WORDS.terms)


def _made(report: Report, kind: str) -> list[Row]:
    return [row for row in report.rows("summary", promise=kind) if row["verdict"] != IMPOSSIBLE]


def _lead(report: Report) -> str:
    rows = report.rows("summary")
    broken = sum(row["verdict"] == BROKEN for row in rows)
    ranks = [row["rank"] for row in report.rows("calibration")]
    resplits, namer = report.provenance["options"]["resplits"], report.provenance["namer"]["name"]
    return WORDS("lead", namer=namer, ranks=ranks, resplits=resplits, row=rows[0], broken=broken, promises=len(rows))


def _cards(report: Report) -> list[Card]:
    few = len(report.rows("summary")) <= 2 * len(SHOWN)
    return [
        WORDS.card("cards.promise", percent(row["observed"]), row=row, among=among)
        for kind, among in AMONG.items()
        for row in _made(report, kind)
        if few or row["alpha"] in SHOWN
    ]


def _kept(report: Report) -> Section:
    blocks: list[Block] = [
        WORDS.figure("kept.chart", against(title, _promised(report, kind)), title=title)
        for kind, title in TITLES.items()
        if _made(report, kind)
    ]
    more: dict[str, Columns] = {
        "mean": [("within two of alpha", "within_two_errors"), ("expected by the draw", ("expected", _fine))],
        "answered": [
            (
                f"tests rejecting at {LEVEL:.0%}",
                lambda row: None if row["rejected"] is None else f"{row['rejected']} of {row['resplits']}",
            )
        ],
    }
    facts = {"errors": ERRORS, "rejected": REJECTED_SHARE, "delta": report.provenance["options"]["delta"]}
    for kind in KINDS:
        columns: Columns = [
            *(("promised", _promise), ("observed mean", ("observed", _fine)), ("standard error", ("standard_error", _fine))),
            *more[kind],
            ("resplits above", lambda row: None if row["above"] is None else f"{row['above']} of {row['resplits']}"),
            *(("answered", "answered"), ("verdict", _verdict)),
        ]
        blocks.append(WORDS.grid(f"kept.{kind}", report.rows("summary", promise=kind), columns, kind=KINDS[kind], **facts))
    return WORDS.section("kept", blocks)


def _fine(value: float) -> str:
    return percent(value, 2)


def _promise(row: Row) -> str:
    return f"{row['alpha'] * 100:g} %"


def _verdict(row: Row) -> str:
    if row["verdict"] == IMPOSSIBLE:
        return f"impossible: {rounded_up(row['smallest_alpha'])} is the least"
    return str(row["verdict"])


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


def _depth(report: Report) -> Section:
    rows = report.rows("answered_at")
    ranks = [*reversed(list(dict.fromkeys(row["rank"] for row in rows if row["rank"] != NOTHING))), NOTHING]
    css = [f"s{min(i + 1, 3)}" for i in range(len(ranks) - 1)] + ["none"]
    blocks: list[Block] = []
    cells: list[Row] = []
    for kind, title in TITLES.items():
        shares = [
            {"promise": title, "alpha": row["alpha"], **_shares(rows, kind, row["alpha"], ranks)} for row in _made(report, kind)
        ]
        cells += shares
        if shares:
            bars_ = [(f"promised {_promise(row)}", [row[rank] or 0.0 for rank in ranks]) for row in shares]
            blocks.append(WORDS.figure("depth.chart", stacked(f"{title}: answered at", bars_, ranks, css), title=title))
    columns: Columns = [("promise", "promise"), ("promised", _promise), *((rank, rank) for rank in ranks)]
    return WORDS.section("depth", [*blocks, grid(cells, columns)])


def _shares(rows: Sequence[Row], kind: str, alpha: float, ranks: Sequence[str]) -> Row:
    found = [pick(rows, promise=kind, alpha=alpha, rank=rank) for rank in ranks]
    return {rank: None if row is None else row["share"] for rank, row in zip(ranks, found)}


def _groups(report: Report) -> list[Section]:
    rows = report.rows("groups")
    blocks: list[Block] = []
    for by in dict.fromkeys(row["by"] for row in rows):
        mine = [row for row in rows if row["by"] == by]
        names = list(dict.fromkeys(row["group"] for row in mine))[:MOST_GROUPS]
        for kind, title in TITLES.items():
            alphas = [row["alpha"] for row in _made(report, kind)]
            if not alphas or not names:
                continue
            shown = 0.1 if 0.1 in alphas else alphas[-1]
            found = [row for name in names if (row := pick(mine, promise=kind, alpha=shown, group=name))]
            drawn = [(row["group"], row["error"], _group_tip(row)) for row in found if row["error"] is not None]
            chart = group_errors(f"{title} by {by}", drawn, shown, CSS[kind])
            blocks.append(WORDS.figure("groups.chart", chart, title=title, by=by, shown=shown))
        columns: Columns = [
            *((by, "group"), ("promise", lambda row: TITLES[row["promise"]]), ("promised", _promise)),
            *(("observed", ("error", _fine)), ("deviation over resplits", ("deviation", _fine)), ("answered", "answered")),
            ("specimens a resplit", ("specimens", "{:,.0f}".format)),
        ]
        blocks.append(WORDS.grid("groups.grid", mine, columns, fold=True, left=2, by=by))
    return [WORDS.section("groups", blocks)] if blocks else []


def _group_tip(row: Row) -> str:
    return f"{row['group']}: {percent(row['error'], 2)} of {row['specimens']:,.0f} specimens a resplit"


def _calibration(report: Report) -> Section:
    columns: Columns = [
        *(("rank", "rank"), ("temperature", ("temperature", "{:.2f}".format)), ("error before", ("before", _fine))),
        *(("error after", ("after", _fine)), ("said before", "said_before"), ("said after", "said"), ("right", "right")),
        ("answers", "answers"),
    ]
    return WORDS.section("calibration", [grid(report.rows("calibration"), columns)])


def _sets(report: Report) -> list[Section]:
    rows: list[Any] = report.rows("sets")
    columns: Columns = [
        *(("rank", "rank"), ("promised", lambda row: percent(1 - row["alpha"], 0)), ("covered", ("covered", _fine))),
        *(
            ("standard error", ("standard_error", _fine)),
            ("mean size", ("mean_size", "{:.2f}".format)),
            ("of one taxon", "single"),
        ),
    ]
    return [WORDS.section("sets", [grid(rows, columns)])] if rows else []
