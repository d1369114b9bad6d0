"""The sections of a comparison that look at taxa: means and medians per group, extremes, gains, training images, rules."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from biocosmos.evaluate.comparison.improvement import ALL, ENOUGH_QUERIES
from biocosmos.evaluate.pages.blocks import Block, Figure, Grid, Section
from biocosmos.evaluate.pages.charts import Bar, Point, bars, boxes, scatter, share_boxes
from biocosmos.evaluate.pages.rows import interval, pick
from biocosmos.evaluate.pages.svg import percent, points_of
from biocosmos.evaluate.report import Report

Row = dict[str, Any]
MOST_GROUPS = 16


def change(row: Row | None) -> str:
    """ "+7.2 points (+4.1 to +10.3)"."""
    if row is None or row["value"] is None:
        return "–"
    ends = "" if row["low"] is None or row["low"] != row["low"] else f" ({points_of(row['low'])} to {points_of(row['high'])})"
    return f"{points_of(row['value'])} points{ends}"


def _mean_median(mean: float, median: float) -> str:
    return f"{percent(mean)} ({percent(median)})"


def spread(report: Report, base: str, others: Sequence[str], main: str, k: int) -> list[Section]:
    """Mean and median over taxa by both encoders: all measures for all queries, then the main ones within each group."""
    rows = report.rows("spread", k=k)
    blocks: list[Block] = []
    groups = [group for group in dict.fromkeys(row["group"] for row in rows) if group != ALL]
    homes = [column.removeprefix("group:") for column in report.table("per_taxon").column_names if column.startswith("group:")]
    for group in [group for group in homes if group != main] or [ALL]:
        blocks += _figures(report, base, others, main, k, group)
    whole = [row for row in rows if row["group"] == ALL]
    blocks.append(Grid(_SPREAD_HEAD, [_spread_cells(row, base) for row in whole], _spread_caption(k), "", 2))
    for group in groups:
        part = [row for row in rows if row["group"] == group]
        shown = [row for row in part if row["measure"] == f"{main} retrieval"]
        shown = sorted(shown, key=lambda row: (-row["taxa"], row["value_of_group"]))[:MOST_GROUPS]
        caption = f"{main} retrieval within each {group}, those of most taxa first; all are in the table spread."
        if shown:
            cells = [[row["value_of_group"], *_spread_cells(row, base)[1:]] for row in shown]
            blocks.append(Grid([group, *_SPREAD_HEAD[1:]], cells, caption, "", 2))
    lead = (
        f"The share right (hit@{k}) was taken within each taxon first, then its mean and, in brackets, its median over taxa. A "
        "median far above the mean: a few taxa are very hard."
    )
    return [Section("How do taxa do, group by group?", lead, blocks)]


_SPREAD_HEAD = [
    "measure",
    "encoder",
    "taxa",
    "baseline mean (median)",
    "mean (median)",
    "mean gain (interval)",
    "better",
    "worse",
]


def _spread_caption(k: int) -> str:
    return f"hit@{k} over answerable queries. Better, worse: how many taxa gained and lost. Other k are in the table spread."


def _spread_cells(row: Row, base: str) -> list[str]:
    return [
        row["measure"],
        row["encoder"],
        f"{row['taxa']:,}",
        _mean_median(row["baseline_mean"], row["baseline_median"]),
        _mean_median(row["mean"], row["median"]),
        change({"value": row["gain"], "low": row["low"], "high": row["high"]}),
        f"{row['improved']:,}",
        f"{row['worsened']:,}",
    ]


def _by_value(rows: Sequence[Row], group: str) -> list[tuple[str, list[Row]]]:
    """Rows of per_taxon by their value of ``group``, groups with most taxa first; one group of all for ALL."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault("all taxa" if group == ALL else row[f"group:{group}"] or "(none)", []).append(row)
    return sorted(found.items(), key=lambda pair: (-len(pair[1]), pair[0]))[:MOST_GROUPS]


def _figures(report: Report, base: str, others: Sequence[str], main: str, k: int, group: str) -> list[Figure]:
    """Box plots of the taxa's shares by every encoder, then of their gains with each of the others."""
    rows = report.rows("per_taxon", target=main, k=k)
    per = {name: dict(_by_value([row for row in rows if row["encoder"] == name], group)) for name in others}
    values = [
        (value, [np.array([r["baseline_hit"] for r in part]), *(np.array([r["hit"] for r in per[n][value]]) for n in others)])
        for value, part in per[others[0]].items()
    ]
    if not values:
        return []
    words = "all taxa" if group == ALL else f"the taxa of each {group}"
    how = (
        f"One dot per {main} (in brackets: how many). Box: the middle half; thick line: the median; thin lines: the rest but "
        "for far ones."
    )
    shares = share_boxes(f"Share right per {main}", values, [base, *others], f"hit@{k} of each {main}")
    figures = [Figure(shares, f"hit@{k} of {words}. {how}")]
    for name in others:
        found = [(value, np.array([row["gain"] for row in part])) for value, part in per[name].items()]
        drawn = boxes(f"Gain of {name} per {main}", found, f"gain in hit@{k}, points")
        figures.append(Figure(drawn, f"The gain of {words}: {name} minus {base}. Right of the dashed line {name} is better."))
    return figures


def extremes(report: Report, base: str, name: str, main: str, k: int) -> Section:
    """The five most and least improved taxa of every measure there is a table of."""
    rows = report.rows("extremes", encoder=name)
    blocks: list[Block] = []
    for measured in sorted(dict.fromkeys(row["measure"] for row in rows), key=lambda words: words != f"{main} retrieval"):
        for direction in ("most improved", "least improved"):
            part = [row for row in rows if row["measure"] == measured and row["direction"] == direction]
            if part:
                cells = [
                    [
                        r["taxon"],
                        percent(r["baseline_hit"], 0),
                        percent(r["hit"], 0),
                        f"{points_of(r['gain'])} ({points_of(r['low'])} to {points_of(r['high'])})",
                        f"{r['queries']:,}",
                        f"{r['training']:,}",
                    ]
                    for r in part
                ]
                head = [part[0]["averaged_over"], base, name, "gain (interval), points", "queries", _what(report)]
                caption = f"{measured}: {direction}, of the taxa with at least {ENOUGH_QUERIES} queries."
                blocks.append(Grid(head, cells, caption))
    taxa = report.rows("per_taxon", encoder=name, target=main, k=k)
    up, down = sum(r["gain"] > 0 for r in taxa), sum(r["gain"] < 0 for r in taxa)
    clear = [r for r in taxa if r["low"] > 0 or r["high"] < 0]
    lead = (
        f"hit@{k} of each {main}: {up:,} taxa gained, {down:,} lost, {len(taxa) - up - down:,} stayed the same. For "
        f"{len(clear):,} of {len(taxa):,} the interval of the taxon's own "
        f"gain leaves out zero; up to {max(round(0.05 * len(taxa)), 1):,} would by chance alone if nothing had changed. "
        "Equal gains stand by number of queries."
    )
    return Section(f"Which taxa gained and lost most with {name}?", lead, blocks, once=True)


def _what(report: Report) -> str:
    return "training images" if report.provenance["training_counts"] == "given" else "gallery specimens"


def training(report: Report, base: str, others: Sequence[str], main: str, k: int) -> list[Section]:
    """Gain against training images, and the rank correlations."""
    what = _what(report)
    blocks: list[Block] = []
    table = [row for row in report.rows("training", k=k) if row["spearman"] is not None]
    for name in others:
        rows = [row for row in report.rows("per_taxon", encoder=name, target=main, k=k) if row["training"] > 0]
        if not rows:
            continue
        points = [
            Point(
                row["training"],
                row["gain"],
                f"{row['taxon']}: {points_of(row['gain'])} points, {row['training']:,} {what}, {row['queries']} queries",
            )
            for row in rows
        ]
        reach = min(1.0, np.ceil(max([0.1, *(abs(p.y) for p in points)]) * 10) / 10)
        rho = pick(table, encoder=name, target=main, group=ALL, of="gain")
        blocks.append(
            Figure(
                scatter(
                    f"Gain of {name} against {what}",
                    points,
                    f"{what} of the {main} (log scale)",
                    f"gain of {name}, points",
                    y_range=(-reach, reach),
                ),
                f"One dot per {main}." + (f" Spearman's rank correlation {_rho(rho)} over {rho['taxa']:,} taxa." if rho else ""),
            )
        )
    if not blocks:
        return []
    shown = [row for row in table if row["group"] == ALL or row["target"] == main]
    # One line a target or group, its three correlations side by side.
    lines: dict[tuple[str, ...], dict[str, Row]] = {}
    for row in shown:
        lines.setdefault((row["encoder"], row["target"], row["group"], row["value_of_group"]), {})[row["of"]] = row
    cells = [
        [
            encoder,
            target,
            "all" if group == ALL else f"{group}: {value}",
            f"{next(iter(found.values()))['taxa']:,}",
            *(_rho(found.get(of)) for of in ("baseline_hit", "hit", "gain")),
        ]
        for (encoder, target, group, value), found in lines.items()
    ]
    head = ["encoder", "taxa of", "within", "taxa", f"with {base}'s share", "with the encoder's share", "with the gain"]
    caption = (
        f"Spearman's rank correlation of a taxon's {what} with its hit@{k}, and its interval over taxa. +1: always more with "
        "more, 0: unrelated, −1: always less. An interval that holds 0: perhaps unrelated."
    )
    blocks.append(Grid(head, cells, caption, "All the correlations", 3))
    title = f"Do taxa with more {what} gain more?"
    return [Section(title, f"The gain in hit@{k} of each taxon against its number of {what}.", blocks, once=True)]


def _rho(row: Row | None) -> str:
    if row is None or row["spearman"] is None:
        return "–"
    ends = "" if row["low"] is None or row["low"] != row["low"] else f" ({row['low']:+.2f} to {row['high']:+.2f})"
    return f"{row['spearman']:+.2f}{ends}".replace("-", "−")


def by_rule(report: Report, base: str, others: Sequence[str]) -> list[Section]:
    """The neighbour rules by every encoder: nearest single specimen and class mean, by cosine and by Euclidean distance."""
    if "rules" not in report.tables:
        return []
    rows, changes = report.rows("rules", over="answerable"), report.rows("rule_differences", over="answerable")
    encoders = [base, *others]
    targets = list(dict.fromkeys(row["target"] for row in rows))
    finders = list(dict.fromkeys(row["finder"] for row in rows))
    figures: list[Block] = []
    main = report.provenance["main_target"]
    for average, words in (("micro", "every query counts the same"), ("macro", "every taxon counts the same")):
        groups = []
        for finder in finders:
            found = [pick(rows, encoder=e, target=main, finder=finder, average=average) for e in encoders]
            bar_row = [
                Bar(r["value"], r["low"], r["high"], f"{r['encoder']}, {finder}: {interval(r)}")
                if r and r["value"] is not None
                else Bar(float("nan"))
                for r in found
            ]
            groups.append((finder, bar_row))
        figures.append(
            Figure(bars(f"Rules at {main}, {average}", groups, encoders), f"Share of {main} named rightly by each rule; {words}.")
        )
    cells = []
    for target in targets:
        for finder in finders:
            for name in others:
                both = [pick(rows, encoder=e, target=target, finder=finder, average="micro") for e in (base, name)]
                differences = [
                    pick(changes, encoder=name, target=target, finder=finder, average=average) for average in ("micro", "macro")
                ]
                if both[0] and both[1]:
                    cells.append(
                        [target, finder, name, *(percent(row["value"]) for row in both if row), *map(change, differences)]
                    )
    head = ["target", "rule", "encoder", base, "encoder's share", "difference per query", "difference per taxon"]
    caption = "Share of answerable queries whose first name by the rule is right, and the paired difference with its interval."
    figures.append(Grid(head, cells, caption, "All ranks, groups and rules", 3))
    lead = (
        "A rule turns neighbours into a name: by the nearest single specimen, or by all specimens of a taxon on average; by "
        "cosine or by Euclidean distance, on unit vectors."
    )
    return [Section("Which rule names best, with which encoder?", lead, figures)]
