"""The sections of a comparison that look at taxa: means and medians per group, extremes, gains, training images, rules."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from biocosmos.evaluate.comparison.improvement import ALL, ENOUGH_QUERIES
from biocosmos.evaluate.pages.blocks import Block, Section
from biocosmos.evaluate.pages.charts import Bar, Point, bars, boxes, scatter, share_boxes
from biocosmos.evaluate.pages.rows import Row, interval, pick
from biocosmos.evaluate.pages.svg import percent, points_of
from biocosmos.evaluate.pages.words import Columns, Words
from biocosmos.evaluate.report import Report

WORDS = Words(__package__)
MOST_GROUPS = 16


def change(row: Row | None) -> str:
    """ "+7.2 points (+4.1 to +10.3)"."""
    if row is None or row["value"] is None:
        return "–"
    ends = "" if row["low"] is None or row["low"] != row["low"] else f" ({points_of(row['low'])} to {points_of(row['high'])})"
    return f"{points_of(row['value'])} points{ends}"


def bar(row: Row | None, what: str = "") -> Bar:
    """A share of one encoder with its interval; none without a row."""
    if row is None or row["value"] is None:
        return Bar(float("nan"))
    return Bar(row["value"], row["low"], row["high"], f"{row['encoder']}{what}: {interval(row)}")


_SPREAD: Columns = [
    *(("measure", "measure"), ("encoder", "encoder"), ("taxa", "taxa")),
    ("baseline mean (median)", lambda row: f"{percent(row['baseline_mean'])} ({percent(row['baseline_median'])})"),
    ("mean (median)", lambda row: f"{percent(row['mean'])} ({percent(row['median'])})"),
    ("mean gain (interval)", lambda row: change({"value": row["gain"], "low": row["low"], "high": row["high"]})),
    *(("better", "improved"), ("worse", "worsened")),
]


def spread(report: Report, base: str, others: Sequence[str], main: str, k: int) -> list[Section]:
    """Mean and median over taxa by both encoders: all measures for all queries, then the main ones within each group."""
    rows = report.rows("spread", k=k)
    blocks: list[Block] = []
    homes = [column.removeprefix("group:") for column in report.table("per_taxon").column_names if column.startswith("group:")]
    for group in [group for group in homes if group != main] or [ALL]:
        blocks += _figures(report, base, others, main, k, group)
    whole = [row for row in rows if row["group"] == ALL]
    blocks.append(WORDS.grid("spread.grid", whole, _SPREAD, left=2, k=k))
    for group in [group for group in dict.fromkeys(row["group"] for row in rows) if group != ALL]:
        shown = [row for row in rows if row["group"] == group and row["measure"] == f"{main} retrieval"]
        shown = sorted(shown, key=lambda row: (-row["taxa"], row["value_of_group"]))[:MOST_GROUPS]
        if shown:
            columns: Columns = [(group, "value_of_group"), *_SPREAD[1:]]
            blocks.append(WORDS.grid("spread.group", shown, columns, left=2, main=main, group=group))
    return [WORDS.section("spread", blocks, k=k)]


def _by_value(rows: Sequence[Row], group: str) -> list[tuple[str, list[Row]]]:
    """Rows of per_taxon by their value of ``group``, groups with most taxa first; one group of all for ALL."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault("all taxa" if group == ALL else row[f"group:{group}"] or "(none)", []).append(row)
    return sorted(found.items(), key=lambda pair: (-len(pair[1]), pair[0]))[:MOST_GROUPS]


def _figures(report: Report, base: str, others: Sequence[str], main: str, k: int, group: str) -> list[Block]:
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
    shares = share_boxes(f"Share right per {main}", values, [base, *others], f"hit@{k} of each {main}")
    figures: list[Block] = [WORDS.figure("spread.shares", shares, k=k, words=words, main=main)]
    for name in others:
        found = [(value, np.array([row["gain"] for row in part])) for value, part in per[name].items()]
        drawn = boxes(f"Gain of {name} per {main}", found, f"gain in hit@{k}, points")
        figures.append(WORDS.figure("spread.gains", drawn, words=words, name=name, base=base))
    return figures


def extremes(report: Report, base: str, name: str, main: str, k: int) -> Section:
    """The five most and least improved taxa of every measure there is a table of."""
    rows = report.rows("extremes", encoder=name)
    blocks: list[Block] = []
    for measured in sorted(dict.fromkeys(row["measure"] for row in rows), key=lambda words: words != f"{main} retrieval"):
        for direction in ("most improved", "least improved"):
            part = [row for row in rows if row["measure"] == measured and row["direction"] == direction]
            if part:
                columns: Columns = [
                    (part[0]["averaged_over"], "taxon"),
                    *((base, lambda row: percent(row["baseline_hit"], 0)), (name, lambda row: percent(row["hit"], 0))),
                    (
                        "gain (interval), points",
                        lambda r: f"{points_of(r['gain'])} ({points_of(r['low'])} to {points_of(r['high'])})",
                    ),
                    *(("queries", "queries"), (_what(report), "training")),
                ]
                facts = {"measure": measured, "direction": direction, "enough": ENOUGH_QUERIES}
                blocks.append(WORDS.grid("extremes.grid", part, columns, **facts))
    taxa = report.rows("per_taxon", encoder=name, target=main, k=k)
    up, down = sum(r["gain"] > 0 for r in taxa), sum(r["gain"] < 0 for r in taxa)
    counts = {"up": up, "down": down, "same": len(taxa) - up - down, "taxa": len(taxa)}
    counts |= {"clear": sum(r["low"] > 0 or r["high"] < 0 for r in taxa), "chance": max(round(0.05 * len(taxa)), 1)}
    return WORDS.section("extremes", blocks, once=True, name=name, main=main, k=k, **counts)


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
        x_name, y_name = f"{what} of the {main} (log scale)", f"gain of {name}, points"
        chart = scatter(f"Gain of {name} against {what}", points, x_name, y_name, y_range=(-reach, reach))
        rho = pick(table, encoder=name, target=main, group=ALL, of="gain")
        facts = {"rho": _rho(rho) if rho else "", "taxa": rho["taxa"] if rho else 0}
        blocks.append(WORDS.figure("training.chart", chart, main=main, **facts))
    if not blocks:
        return []
    # One line a target or group, its three correlations side by side.
    lines: dict[tuple[str, ...], dict[str, Row]] = {}
    for row in table:
        if row["group"] == ALL or row["target"] == main:
            lines.setdefault((row["encoder"], row["target"], row["group"], row["value_of_group"]), {})[row["of"]] = row
    columns: Columns = [
        *(("encoder", lambda line: line[0][0]), ("taxa of", lambda line: line[0][1])),
        ("within", lambda line: "all" if line[0][2] == ALL else f"{line[0][2]}: {line[0][3]}"),
        ("taxa", lambda line: next(iter(line[1].values()))["taxa"]),
        (f"with {base}'s share", lambda line: _rho(line[1].get("baseline_hit"))),
        ("with the encoder's share", lambda line: _rho(line[1].get("hit"))),
        ("with the gain", lambda line: _rho(line[1].get("gain"))),
    ]
    blocks.append(WORDS.grid("training.grid", list(lines.items()), columns, fold=True, left=3, what=what, k=k))
    return [WORDS.section("training", blocks, once=True, what=what, k=k)]


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
    encoders, main = [base, *others], report.provenance["main_target"]
    finders = list(dict.fromkeys(row["finder"] for row in rows))
    blocks: list[Block] = []
    for average in ("micro", "macro"):
        groups = []
        for finder in finders:
            found = [pick(rows, encoder=e, target=main, finder=finder, average=average) for e in encoders]
            groups.append((finder, [bar(row, f", {finder}") for row in found]))
        blocks.append(WORDS.figure(f"rules.{average}", bars(f"Rules at {main}, {average}", groups, encoders), main=main))
    lines = []
    for target in dict.fromkeys(row["target"] for row in rows):
        for finder in finders:
            for name in others:
                both = [pick(rows, encoder=e, target=target, finder=finder, average="micro") for e in (base, name)]
                micro, macro = (pick(changes, encoder=name, target=target, finder=finder, average=a) for a in ("micro", "macro"))
                if both[0] and both[1]:
                    shares = {"base": both[0]["value"], "share": both[1]["value"], "micro": change(micro), "macro": change(macro)}
                    lines.append({"target": target, "rule": finder, "encoder": name, **shares})
    columns: Columns = [
        *(("target", "target"), ("rule", "rule"), ("encoder", "encoder"), (base, "base"), ("encoder's share", "share")),
        *(("difference per query", "micro"), ("difference per taxon", "macro")),
    ]
    blocks.append(WORDS.grid("rules.grid", lines, columns, fold=True, left=3))
    return [WORDS.section("rules", blocks)]
