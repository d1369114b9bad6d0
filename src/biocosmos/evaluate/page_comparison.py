"""The page of a comparison of encoders."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from biocosmos.evaluate.blocks import Block, Card, Figure, Grid, Page, Picture, Section, Strip, Strips
from biocosmos.evaluate.charts import Bar, Difference, Point, bars, boxes, differences, points_of, scatter
from biocosmos.evaluate.page_retrieval import ENOUGH, EXTREMES, interval, pick
from biocosmos.evaluate.pictures import Pictures
from biocosmos.evaluate.svg import percent

if TYPE_CHECKING:
    from biocosmos.evaluate.report import Report

Row = dict[str, Any]
MOST_GROUPS = 16


def page(report: Report, pictures: Pictures, facts: Sequence[tuple[str, str]], stamp: str) -> Page:
    """Everything the comparison page shows."""
    main, base = report.provenance["main_target"], report.provenance["baseline"]
    k = report.provenance["options"]["ks"][0]
    others = [name for name in report.provenance["encoders"] if name != base]
    sections = [
        _overall(report, k),
        _changes(report, base, others, k),
        *(_taxa(report, base, name, main, k) for name in others),
        *_groups(report, base, others, main, k),
        _training(report, others, main, k),
        *_examples(report, pictures, base, others, main),
    ]
    return Page(
        report.title,
        _lead(report, base, others, main, k),
        _cards(report, base, others, main, k),
        sections,
        TERMS,
        report.caveats,
        facts,
        stamp,
    )


def change(row: Row | None) -> str:
    """ "+7.2 points (+4.1 to +10.3)"."""
    if row is None or row["value"] is None:
        return "–"
    ends = "" if row["low"] is None or row["low"] != row["low"] else f" ({points_of(row['low'])} to {points_of(row['high'])})"
    return f"{points_of(row['value'])} points{ends}"


def _difference(report: Report, name: str, target: str, k: int, average: str = "micro", over: str = "answerable") -> Row | None:
    return pick(report.rows("differences"), encoder=name, target=target, k=k, average=average, over=over)


def _lead(report: Report, base: str, others: Sequence[str], main: str, k: int) -> str:
    parts = []
    for name in others:
        row = _difference(report, name, main, k)
        if row is None:
            continue
        sure = row["low"] == row["low"] and (row["low"] > 0 or row["high"] < 0)
        verdict = ("better than" if row["value"] > 0 else "worse than") if sure else "not told apart from"
        parts.append(
            f"{name} is {verdict} {base} at {main}: {change(row)}; it gained {row['gained']:,} queries that {base} got wrong "
            f"and lost {row['lost']:,} that it got right, of {row['queries']:,}."
        )
    return (
        f"The same queries were put to the same gallery with each encoder, and the answers compared query by query (hit@{k}). "
    ) + " ".join(parts)


def _cards(report: Report, base: str, others: Sequence[str], main: str, k: int) -> list[Card]:
    rows = report.rows()
    cards = []
    for name in (base, *others):
        row = pick(rows, encoder=name, target=main, k=k, over="answerable", averaged_over="queries")
        if row:
            cards.append(
                Card(
                    name,
                    percent(row["value"]),
                    f"hit@{k} at {main}, {row['queries']:,} answerable queries; "
                    f"interval {percent(row['low'])} to {percent(row['high'])}",
                )
            )
    for name in others:
        micro, macro = (_difference(report, name, main, k, average) for average in ("micro", "macro"))
        if micro and macro:
            cards.append(
                Card(
                    f"{name} − {base}",
                    points_of(micro["value"]),
                    f"points per query ({points_of(micro['low'])} to {points_of(micro['high'])}); mean over taxa {change(macro)}",
                )
            )
    return cards


def _overall(report: Report, k: int) -> Section:
    rows = [row for row in report.rows() if row["over"] == "answerable" and row["k"] == k]
    encoders = list(dict.fromkeys(row["encoder"] for row in rows))
    targets = list(dict.fromkeys(row["target"] for row in rows))
    figures: list[Block] = []
    for macro, words in ((False, "every query counts the same (micro)"), (True, "every taxon counts the same (macro)")):
        groups = []
        for target in targets:
            found = [pick(rows, encoder=e, target=target, averaged_over=target if macro else "queries") for e in encoders]
            groups.append(
                (
                    target,
                    [
                        Bar(r["value"], r["low"], r["high"], f"{r['encoder']}: {interval(r)}")
                        if r and r["value"] is not None
                        else Bar(float("nan"))
                        for r in found
                    ],
                )
            )
        figures.append(Figure(bars(f"hit@{k} of each encoder", groups, encoders), f"hit@{k} over answerable queries; {words}."))
    grid = Grid(
        ["target", "encoder", "k", "over", "averaged over", "right (interval)", "queries", "taxa"],
        [
            [
                r["target"],
                r["encoder"],
                str(r["k"]),
                r["over"],
                r["averaged_over"],
                interval(r),
                f"{r['queries']:,}",
                f"{r['taxa']:,}",
            ]
            for r in report.rows()
        ],
        "",
        "All the numbers",
        2,
    )
    return Section(
        "How good is each?",
        "The encoders side by side. Overlapping intervals here do not mean they are equal: "
        "the next section compares them on the same queries, which is sharper.",
        [*figures, grid],
    )


def _changes(report: Report, base: str, others: Sequence[str], k: int) -> Section:
    rows = report.rows("differences", over="answerable", k=k)
    targets = list(dict.fromkeys(row["target"] for row in rows))
    figures: list[Block] = []
    for name in others:
        groups = []
        for target in targets:
            found = [pick(rows, encoder=name, target=target, average=a) for a in ("micro", "macro")]
            groups.append(
                (
                    target,
                    [
                        Difference(
                            r["value"],
                            r["low"],
                            r["high"],
                            f"{target}, {r['average']}: {change(r)}; gained {r['gained']:,}, lost {r['lost']:,}",
                        )
                        for r in found
                        if r
                    ],
                )
            )
        figures.append(
            Figure(
                differences(f"{name} minus {base}", groups, ["per query", "per taxon"], f"points of hit@{k}"),
                f"{name} minus {base}, in percentage points. Right of the dashed line {name} is better. A line that crosses "
                "it: the difference may be chance.",
            )
        )
    grid = Grid(
        ["encoder", "target", "average", "difference (interval)", "gained", "lost", "queries", "taxa"],
        [
            [
                r["encoder"],
                r["target"],
                r["average"],
                change(r),
                f"{r['gained']:,}",
                f"{r['lost']:,}",
                f"{r['queries']:,}",
                f"{r['taxa']:,}",
            ]
            for r in rows
        ],
        f"hit@{k} over answerable queries against {base}. Gained: only the encoder was right; lost: only the baseline was. "
        "Other k are in differences.csv.",
        "",
        3,
    )
    return Section("What changed?", "Query by query: where did one find its own taxon and the other not?", [*figures, grid])


def _taxa(report: Report, base: str, name: str, main: str, k: int) -> Section:
    rows = report.rows("per_taxon", encoder=name, target=main, k=k)
    enough = sorted(
        (row for row in rows if row["queries"] >= ENOUGH), key=lambda row: (-row["gain"], -row["queries"], row["path"])
    )
    better, worse = [r for r in enough if r["gain"] > 0][:EXTREMES], [r for r in reversed(enough) if r["gain"] < 0][:EXTREMES]
    clear = [r for r in rows if r["low"] > 0 or r["high"] < 0]
    blocks: list[Block] = []
    for title, part in (("Most improved", better), ("Most worsened", worse)):
        if part:
            blocks.append(
                Grid(
                    [main, base, name, "gain (interval)", "gained", "lost", "queries"],
                    [
                        [
                            r["taxon"],
                            percent(r["baseline_hit"], 0),
                            percent(r["hit"], 0),
                            f"{points_of(r['gain'])} ({points_of(r['low'])} to {points_of(r['high'])})",
                            str(r["gained"]),
                            str(r["lost"]),
                            str(r["queries"]),
                        ]
                        for r in part
                    ],
                    f"{title}, of the taxa with at least {ENOUGH} queries.",
                )
            )
    up, down = sum(r["gain"] > 0 for r in rows), sum(r["gain"] < 0 for r in rows)
    lead = (
        f"hit@{k} of each {main}: {up:,} taxa gained, {down:,} lost, {len(rows) - up - down:,} stayed the same. For "
        f"{len(clear):,} of {len(rows):,} the interval of the taxon's own "
        f"gain leaves out zero; up to {max(round(0.05 * len(rows)), 1):,} would by chance alone if nothing had changed."
    )
    return Section(f"Which taxa gained and lost with {name}?", lead, blocks)


def _groups(report: Report, base: str, others: Sequence[str], main: str, k: int) -> list[Section]:
    rows = report.rows("per_taxon", target=main, k=k)
    columns = [column for column in report.table("per_taxon").column_names if column.startswith("group:")]
    sections = []
    for column in columns or [None]:
        figures: list[Block] = []
        for name in others:
            part = [row for row in rows if row["encoder"] == name]
            values = sorted({row[column] or "(none)" for row in part}) if column else ["all taxa"]
            groups = [
                (v, np.array([row["gain"] for row in part if column is None or (row[column] or "(none)") == v])) for v in values
            ]
            groups = sorted(groups, key=lambda pair: -len(pair[1]))[:MOST_GROUPS]
            figures.append(
                Figure(
                    boxes(f"Gain of {name} per taxon", groups, f"gain in hit@{k}, points"),
                    f"One dot per {main} (in brackets: how many). Box: the middle half of the taxa; thick line: the median; "
                    "thin lines: the rest but for far ones.",
                )
            )
        words = f"the column “{column.removeprefix('group:')}”" if column else "all taxa"
        sections.append(
            Section(
                "Is the gain spread evenly?" if not column else f"Gains by {column.removeprefix('group:')}",
                f"How the taxa's own gains over {base} are spread within {words}.",
                figures,
            )
        )
    return sections


def _training(report: Report, others: Sequence[str], main: str, k: int) -> Section:
    given = report.provenance["training_counts"] == "given"
    what = "training images" if given else "gallery specimens"
    figures: list[Block] = []
    for name in others:
        rows = [row for row in report.rows("per_taxon", encoder=name, target=main, k=k) if row["training"] > 0]
        points = [
            Point(
                row["training"],
                row["gain"],
                f"{row['taxon']}: {points_of(row['gain'])} points, {row['training']:,} {what}, {row['queries']} queries",
            )
            for row in rows
        ]
        reach = max([0.1, *(abs(p.y) for p in points)])
        reach = min(1.0, np.ceil(reach * 10) / 10)
        rho = pick(report.rows("training"), encoder=name, k=k)
        words = (
            (
                f" Spearman's rank correlation {rho['spearman']:+.2f} over {rho['taxa']:,} taxa (1: always more with more, "
                "0: unrelated)."
            )
            if rho and rho["spearman"] is not None
            else ""
        )
        figures.append(
            Figure(
                scatter(
                    f"Gain of {name} against {what}",
                    points,
                    f"{what} of the taxon (log scale)",
                    "gain, points",
                    y_range=(-reach, reach),
                ),
                f"One dot per {main}.{words}",
            )
        )
    return Section(
        f"Do taxa with more {what} gain more?", f"The gain in hit@{k} of each taxon against its number of {what}.", figures
    )


def _examples(report: Report, pictures: Pictures, base: str, others: Sequence[str], main: str) -> list[Section]:
    rows = report.rows("examples")
    blocks: list[Block] = []
    for name in others:
        for kind, title in (("gained", f"Gained by {name}"), ("lost", f"Lost by {name}")):
            strips = [
                Strip(
                    Picture(pictures(r["id"]), r["taxon"], f"query {r['id']}"),
                    [
                        Picture(
                            pictures(r["baseline_id"]),
                            r["baseline_taxon"] or "no name",
                            base,
                            "wrong" if kind == "gained" else "right",
                        ),
                        Picture(
                            pictures(r["encoder_id"]),
                            r["encoder_taxon"] or "no name",
                            name,
                            "right" if kind == "gained" else "wrong",
                        ),
                    ],
                )
                for r in rows
                if r["encoder"] == name and r["kind"] == kind
            ]
            if strips:
                blocks.append(Strips(title, strips, wide=False))
    if not blocks:
        return []
    return [
        Section(
            "Look at them",
            f"Queries whose nearest neighbour is of the right {main} by one encoder only, drawn at "
            "random by the seed: the query, then the nearest specimen by each.",
            blocks,
        )
    ]


TERMS = (
    ("hit@k", "The share of queries with at least one specimen of their own taxon among the k nearest gallery specimens."),
    ("points", "Percentage points: from 57.8 % to 65.1 % is +7.3 points."),
    (
        "gained, lost",
        "Queries that only the encoder, or only the baseline, got right. Their difference over all queries is "
        "the difference of the shares.",
    ),
    (
        "paired",
        "Both encoders answer the same queries, so resampling draws queries with both answers; what is hard for both "
        "cancels out.",
    ),
    (
        "per query / per taxon",
        "Micro: every query counts the same. Macro: the difference within each taxon, then the mean over taxa.",
    ),
    ("answerable", "A query whose taxon, at that rank, has another specimen in the gallery."),
    (
        "interval",
        "Bootstrap percentile interval of the stated confidence; for a single taxon Bonett and Price's (2012), "
        "which keeps a width with few queries.",
    ),
)
