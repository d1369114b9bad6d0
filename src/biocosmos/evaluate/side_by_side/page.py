"""The page of several namers on the same specimens."""

from __future__ import annotations

from collections.abc import Sequence

from biocosmos.evaluate.pages.blocks import Block, Card, Page, Section
from biocosmos.evaluate.pages.charts import Difference, differences
from biocosmos.evaluate.pages.pictures import Pictures
from biocosmos.evaluate.pages.rows import Row, interval, pick
from biocosmos.evaluate.pages.svg import percent, points_of
from biocosmos.evaluate.pages.words import Columns, Words, grid
from biocosmos.evaluate.ranks.asked import ALL
from biocosmos.evaluate.ranks.names import BEST_CLASS, BEST_PATH, EACH_RANK, RAW
from biocosmos.evaluate.ranks.sections import (
    AGREEMENT,
    MOST_BRANCHES,
    Scores,
    agreeing,
    bars_of,
    branch_names,
    judged,
    mistakes,
    ranks_of,
    scores_grid,
)
from biocosmos.evaluate.ranks.sections import WORDS as SHARED
from biocosmos.evaluate.report import Report

WORDS = Words(__package__)
OPEN_BRANCHES = 4  # with more, the tables of branches are folded
SHOWN = (("accuracy", "micro", "Accuracy"), ("F1", "macro", "Macro F1"))


def page(report: Report, pictures: Pictures) -> Page:
    """Everything the page of several namers shows."""
    main, base = report.provenance["main_target"], report.provenance["baseline"]
    ranks, names = ranks_of(report), [row["namer"] for row in report.rows("namers")]
    raw = any(row.get("answers") == RAW for row in report.rows("consistency"))
    sections = [
        _table(report, names, ranks, main),
        *_changes(report, names, ranks, base),
        *_answers(report),
        *_branches(report, names, ranks),
        mistakes(report, "namer"),
        *agreeing(report, ranks, (BEST_PATH, BEST_CLASS, RAW if raw else EACH_RANK)),
        *_calibration(report, names, ranks),
        _what(report),
        judged(report),
    ]
    score = Scores(report)
    cards = [_card(name, row, main) for name in names if (row := score(main, "accuracy", "micro", namer=name))]
    return Page(_lead(report, names, base, main), cards, sections, [*SHARED.terms, *WORDS.terms])


def _card(name: str, row: Row, main: str) -> Card:
    return WORDS.card("cards.namer", percent(row["value"]), name=name, row=row, main=main)


def _lead(report: Report, names: Sequence[str], base: str, main: str) -> str:
    verdicts: dict[str, list[str]] = {"More often right than": [], "Less often right than": [], "Not told apart from": []}
    change = Scores(report, "differences")
    for name in names[1:]:
        row = change(main, "accuracy", "micro", namer=name)
        if row is not None and row["low"] == row["low"]:
            verb = list(verdicts)[0 if row["low"] > 0 else 1 if row["high"] < 0 else 2]
            verdicts[verb].append(f"{name} ({points_of(row['value'])})")
    able = pick(report.rows("answerable"), target=main)
    told = [(verb, found) for verb, found in verdicts.items() if found]
    return WORDS("lead", able=able, base=base, main=main, verdicts=told)


def _table(report: Report, names: Sequence[str], ranks: Sequence[str], main: str) -> Section:
    score = Scores(report)
    blocks: list[Block] = []
    for measure, average, words in SHOWN:
        groups = [(name, [score(rank, measure, average, namer=name) for rank in ranks]) for name in names]
        blocks.append(bars_of(f"{words} at each rank", WORDS(f"table.{measure}"), groups, ranks))
    columns: Columns = [("namer", lambda name: name)]
    for rank in ranks:
        columns = [*columns, (f"right at {rank}", lambda name, rank=rank: interval(score(rank, "accuracy", "micro", namer=name)))]
    for average in ("weighted", "macro"):
        value = lambda name, average=average: (score(main, "F1", average, namer=name) or {}).get("value")  # noqa: E731
        columns = [*columns, (f"{average} F1", value)]
    blocks += [WORDS.grid("table.grid", names, columns, main=main), scores_grid(report, ranks)]
    return WORDS.section("table", blocks, decoding=report.provenance["decoding"])


def _changes(report: Report, names: Sequence[str], ranks: Sequence[str], base: str) -> list[Section]:
    if len(names) < 2:
        return []
    change = Scores(report, "differences")
    blocks: list[Block] = []
    for measure, average, words in SHOWN:
        groups = []
        for name in names[1:]:
            rows = [row for rank in ranks if (row := change(rank, measure, average, namer=name))]
            tips = [f"{name}, {row['target']}: {row['gained']:,} gained, {row['lost']:,} lost" for row in rows]
            groups.append((name, [Difference(row["value"], row["low"], row["high"], tip) for row, tip in zip(rows, tips)]))
        chart = differences(f"{words} against {base}", groups, list(ranks), f"points against {base}")
        blocks.append(WORDS.figure(f"changes.{measure}", chart, base=base))
    rows = [row for name in names[1:] for rank in ranks if (row := change(rank, "accuracy", "micro", namer=name))]
    columns: Columns = [("namer", "namer"), ("rank", "target")]
    for measure, average, words in AGREEMENT:
        cell = lambda row, m=measure, a=average: _points(change(row["target"], m, a, namer=row["namer"]))  # noqa: E731
        columns = [*columns, (words, cell)]
    columns = [*columns, ("only this one right", "gained"), (f"only {base} right", "lost")]
    return [WORDS.section("changes", [*blocks, grid(rows, columns, "", "All the numbers", 2)], base=base)]


def _points(row: Row | None) -> str | None:
    """ "+1.2 (0.4 to 2.0)" points."""
    if row is None:
        return None
    ends = "" if row["low"] != row["low"] else f" ({points_of(row['low'])} to {points_of(row['high'])})"
    return points_of(row["value"]) + ends


def _answers(report: Report) -> list[Section]:
    rows = report.rows("rollback")
    if not rows:
        return []
    columns: Columns = [
        *(("namer", "namer"), ("rank", "target"), ("answered", "answered"), ("of all", "share_answered"), ("right", "right")),
        *(("right of answered (interval)", _right_of_answered), ("wrong of all", "wrong_of_all")),
    ]
    return [WORDS.section("answers", [WORDS.grid("answers.grid", rows, columns, left=2)])]


def _right_of_answered(row: Row) -> str:
    return interval({"value": row["accuracy"], "low": row["accuracy_low"], "high": row["accuracy_high"]})


def _branches(report: Report, names: Sequence[str], ranks: Sequence[str]) -> list[Section]:
    branches, score = branch_names(report)[:MOST_BRANCHES], Scores(report)
    if not branches:
        return []
    by = report.provenance["branch_rank"]
    blocks: list[Block] = []
    for branch in branches:
        shown = [rank for rank in ranks if score(rank, "accuracy", "micro", branch=branch)]
        columns: Columns = [("namer", lambda name: name)]
        for rank in shown:
            cell = lambda name, r=rank, b=branch: interval(score(r, "accuracy", "micro", branch=b, namer=name))  # noqa: E731
            columns = [*columns, (f"right at {rank}", cell)]
        for rank in shown[-1:]:
            value = lambda name, r=rank, b=branch: (score(r, "F1", "macro", branch=b, namer=name) or {}).get("value")  # noqa: E731
            columns = [*columns, (f"macro F1 at {rank}", value)]
        count = pick(report.rows("hierarchical"), branch=branch, over="all") or {"specimens": 0}
        words = f"{branch}: {count['specimens']:,} specimens"
        blocks.append(grid(names, columns, *((words, "") if len(branches) <= OPEN_BRANCHES else ("", words))))
    return [WORDS.section("branches", blocks, by=by)]


def _calibration(report: Report, names: Sequence[str], ranks: Sequence[str]) -> list[Section]:
    rows = {(row["namer"], row["target"]): row for row in report.rows("calibration") if _whole(row)}
    there = [name for name in names if any((name, rank) in rows for rank in ranks)]
    if not there:
        return []
    columns: Columns = [("namer", lambda name: name)]
    for key, words in (("ece", "ECE"), ("mean_p", "mean confidence")):
        for rank in ranks:
            value = lambda name, k=key, r=rank: (rows.get((name, r)) or {}).get(k)  # noqa: E731
            columns = [*columns, (f"{words} at {rank}", value)]
    return [WORDS.section("calibration", [grid(there, columns)])]


def _whole(row: Row) -> bool:
    return row.get("branch") == ALL and row["over"] == "all"


def _what(report: Report) -> Section:
    columns: Columns = [("name", "namer"), ("namer", "kind"), *((name, name) for name in ("encoder", "digest", "classes"))]
    return WORDS.section("what", [grid(report.rows("namers"), columns, "", "", 4)])
