"""The page of a comparison of encoders."""

from __future__ import annotations

from collections.abc import Sequence

from biocosmos.evaluate.comparison.improvement_page import WORDS, bar, by_rule, change, extremes, spread, training
from biocosmos.evaluate.pages.blocks import Block, Card, Page, Picture, Section, Strip
from biocosmos.evaluate.pages.charts import Difference, bars, differences
from biocosmos.evaluate.pages.pictures import Pictures
from biocosmos.evaluate.pages.rows import Row, interval, pick
from biocosmos.evaluate.pages.svg import percent, points_of
from biocosmos.evaluate.pages.words import Columns
from biocosmos.evaluate.report import Report


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
    return Page(_lead(report, base, others, main, k), _cards(report, base, others, main, k), sections, WORDS.terms)


def _difference(report: Report, name: str, target: str, k: int, average: str = "micro") -> Row | None:
    return pick(report.rows("differences"), encoder=name, target=target, k=k, average=average, over="answerable")


def _lead(report: Report, base: str, others: Sequence[str], main: str, k: int) -> str:
    found = []
    for name in others:
        row = _difference(report, name, main, k)
        if row is not None:
            sure = row["low"] == row["low"] and (row["low"] > 0 or row["high"] < 0)
            verdict = ("better than" if row["value"] > 0 else "worse than") if sure else "not told apart from"
            found.append((name, verdict, row))
    return WORDS("lead", found=found, base=base, main=main, k=k, change=change)


def _cards(report: Report, base: str, others: Sequence[str], main: str, k: int) -> list[Card]:
    cards = []
    for name in (base, *others):
        row = pick(report.rows(), encoder=name, target=main, k=k, over="answerable", averaged_over="queries")
        if row:
            cards.append(WORDS.card("cards.encoder", percent(row["value"]), name=name, row=row, main=main, k=k))
    for name in others:
        micro, macro = (_difference(report, name, main, k, average) for average in ("micro", "macro"))
        if micro and macro:
            facts = {"name": name, "base": base, "micro": micro, "macro": change(macro)}
            cards.append(WORDS.card("cards.change", points_of(micro["value"]), **facts))
    return cards


def _overall(report: Report, k: int) -> Section:
    rows = [row for row in report.rows() if row["over"] == "answerable" and row["k"] == k]
    encoders = list(dict.fromkeys(row["encoder"] for row in rows))
    blocks: list[Block] = []
    for average in ("micro", "macro"):
        groups = []
        for target in dict.fromkeys(row["target"] for row in rows):
            by = target if average == "macro" else "queries"
            groups.append((target, [bar(pick(rows, encoder=e, target=target, averaged_over=by)) for e in encoders]))
        blocks.append(WORDS.figure(f"overall.{average}", bars(f"hit@{k} of each encoder", groups, encoders), k=k))
    columns: Columns = [
        *((name, name) for name in ("target", "encoder", "k", "over")),
        *(("averaged over", "averaged_over"), ("right (interval)", interval), ("queries", "queries"), ("taxa", "taxa")),
    ]
    return WORDS.section("overall", [*blocks, WORDS.grid("overall.grid", report.rows(), columns, fold=True, left=2)])


def _changes(report: Report, base: str, others: Sequence[str], k: int) -> Section:
    rows = report.rows("differences", over="answerable", k=k)
    blocks: list[Block] = []
    for name in others:
        groups = []
        for target in dict.fromkeys(row["target"] for row in rows):
            found = [pick(rows, encoder=name, target=target, average=average) for average in ("micro", "macro")]
            groups.append((target, [_dot(row) for row in found if row]))
        chart = differences(f"{name} minus {base}", groups, ["per query", "per taxon"], f"points of hit@{k}")
        blocks.append(WORDS.figure("changes.chart", chart, name=name, base=base))
    columns: Columns = [
        *(("encoder", "encoder"), ("target", "target"), ("average", "average"), ("difference (interval)", change)),
        *((name, name) for name in ("gained", "lost", "queries", "taxa")),
    ]
    blocks.append(WORDS.grid("changes.grid", rows, columns, fold=True, left=3, k=k, base=base))
    return WORDS.section("changes", blocks)


def _dot(row: Row) -> Difference:
    tip = f"{row['target']}, {row['average']}: {change(row)}; gained {row['gained']:,}, lost {row['lost']:,}"
    return Difference(row["value"], row["low"], row["high"], tip)


def _examples(report: Report, pictures: Pictures, base: str, others: Sequence[str], main: str) -> list[Section]:
    rows = report.rows("examples")
    blocks: list[Block] = []
    for name in others:
        for kind, first, second in (("gained", "wrong", "right"), ("lost", "right", "wrong")):
            strips = [
                Strip(
                    Picture(pictures(row["id"]), row["taxon"], f"query {row['id']}"),
                    [
                        Picture(pictures(row["baseline_id"]), row["baseline_taxon"] or "no name", base, first),
                        Picture(pictures(row["encoder_id"]), row["encoder_taxon"] or "no name", name, second),
                    ],
                )
                for row in rows
                if row["encoder"] == name and row["kind"] == kind
            ]
            if strips:
                blocks.append(WORDS.strips(f"examples.{kind}", strips, wide=False, name=name))
    return [WORDS.section("examples", blocks, once=True, main=main)] if blocks else []
