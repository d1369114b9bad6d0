"""The page of a comparison of encoders."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from biocosmos.evaluate.comparison.improvement_page import by_rule, change, extremes, spread, training
from biocosmos.evaluate.pages.blocks import Block, Card, Figure, Grid, Page, Picture, Section, Strip, Strips
from biocosmos.evaluate.pages.charts import Bar, Difference, bars, differences
from biocosmos.evaluate.pages.pictures import Pictures
from biocosmos.evaluate.pages.rows import interval, pick
from biocosmos.evaluate.pages.svg import percent, points_of
from biocosmos.evaluate.report import Report

Row = dict[str, Any]


def page(report: Report, pictures: Pictures) -> Page:
    """Everything the comparison page shows."""
    main, base = report.provenance["main_target"], report.provenance["baseline"]
    k = report.provenance["options"]["ks"][0]
    others = [name for name in report.provenance["encoders"] if name != base]
    sections = [
        _overall(report, k),
        _changes(report, base, others, k),
        *spread(report, base, others, main, k),
        *(extremes(report, base, name, main, k) for name in others),
        *training(report, base, others, main, k),
        *by_rule(report, base, others),
        *_examples(report, pictures, base, others, main),
    ]
    return Page(_lead(report, base, others, main, k), _cards(report, base, others, main, k), sections, TERMS)


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
        "Other k are in the table differences.",
        "All the differences",
        3,
    )
    return Section("What changed?", "Query by query: where did one find its own taxon and the other not?", [*figures, grid])


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
            once=True,
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
        "retrieval, recall by",
        "“genus retrieval” asks for the right genus, and averages over genera; “species recall by genus” asks for the right "
        "species, within each genus, and averages over genera. Both are called genus recall elsewhere.",
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
        "rule",
        "How neighbours become a name: the taxon of the nearest single specimen (nearest), the taxon whose specimens are "
        "nearest on average (class-mean), each by cosine or Euclidean distance, or the nearest normalised mean (centroid). "
        "On unit vectors the nearest single specimen is the same by both distances. class-mean favours taxa of one specimen; "
        "centroid does not.",
    ),
    (
        "interval",
        "Bootstrap percentile interval of the stated confidence; for a single taxon Bonett and Price's (2012), "
        "which keeps a width with few queries; for a rank correlation, over taxa.",
    ),
)
