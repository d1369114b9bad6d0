"""The page of a zero-shot report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from biocosmos.evaluate.pages.blocks import Block, Card, Figure, Grid, Page, Section
from biocosmos.evaluate.pages.charts import Bar, bars
from biocosmos.evaluate.pages.pictures import Pictures
from biocosmos.evaluate.pages.rows import ENOUGH, EXTREMES, interval, pick
from biocosmos.evaluate.pages.svg import percent
from biocosmos.evaluate.report import Report
from biocosmos.evaluate.zero_shot.texts import NAME, TEXT_TYPES

Row = dict[str, Any]


def page(report: Report, pictures: Pictures) -> Page:
    """Everything the zero-shot page shows."""
    rows = report.rows()
    target, candidates = report.provenance["main_target"], report.provenance["candidates"]
    ks = report.provenance["options"]["ks"]
    encoders = list(dict.fromkeys(row["encoder"] for row in rows))
    kinds = list(dict.fromkeys(row["text"] for row in rows))
    cards = [
        Card(
            f"{name}, {TEXT_TYPES[kind]}",
            percent(row["value"]),
            f"top-{ks[0]} at {target} of {row['queries']:,} images; interval {percent(row['low'])} to {percent(row['high'])}",
        )
        for name in encoders
        for kind in kinds
        if (row := pick(rows, encoder=name, text=kind, k=ks[0], average="micro"))
    ]
    sentences = report.provenance["templates"]
    how = f"No image was learnt from. Each {target} was written into {len(sentences)} sentences, and each"
    if sentences == [NAME]:
        how = f"Each {target} was asked for by its name alone, by a text tower that learnt names beside images, and each"
    lead = (
        f"{how} image was given the {target} whose text is nearest to it by the encoder's text tower, among {candidates:,}. "
        f"Guessing would be right in {percent(1 / candidates)}."
    )
    sections = [_accuracy(rows, encoders, kinds, ks), *_taxa(report, encoders, kinds, target, ks[0]), _texts(report, kinds)]
    return Page(lead, cards, sections, TERMS)


def _accuracy(rows: Sequence[Row], encoders: Sequence[str], kinds: Sequence[str], ks: Sequence[int]) -> Section:
    figures: list[Block] = []
    for name in encoders:
        for average, words in (("micro", "every image counts the same"), ("macro", "every taxon counts the same")):
            groups = []
            for kind in kinds:
                found = [pick(rows, encoder=name, text=kind, k=k, average=average) for k in ks]
                bar_row = [Bar(r["value"], r["low"], r["high"], interval(r)) if r else Bar(float("nan")) for r in found]
                groups.append((TEXT_TYPES[kind], bar_row))
            drawn = bars(f"Zero-shot, {name}, {average}", groups, [f"top-{k}" for k in ks], shades=True)
            figures.append(Figure(drawn, f"{name}: the true taxon among the k nearest; {words}."))
    cells = [
        [
            row["encoder"],
            TEXT_TYPES[row["text"]],
            row["average"],
            f"top-{row['k']}",
            interval(row),
            f"{row['queries']:,}",
            f"{row['taxa']:,}",
        ]
        for row in rows
    ]
    head = ["encoder", "text", "average", "k", "right (interval)", "queries", "taxa"]
    return Section("How often is the name right?", "", [*figures, Grid(head, cells, "", "All the numbers", 4)])


def _taxa(report: Report, encoders: Sequence[str], kinds: Sequence[str], target: str, k: int) -> list[Section]:
    sections = []
    for name in encoders:
        rows = [row for row in report.rows("per_taxon", encoder=name, text=kinds[0]) if row["queries"] >= ENOUGH]
        rows = sorted(rows, key=lambda row: (-row[f"top-{k}"], -row["queries"], row["path"]))
        easiest = rows[:EXTREMES]
        hardest = rows[len(easiest) :][::-1][:EXTREMES]
        blocks: list[Block] = []
        for words, part in (("Best known", easiest), ("Least known", hardest)):
            cells = [
                [
                    row["taxon"],
                    percent(row[f"top-{k}"], 0),
                    f"{percent(row[f'low-{k}'], 0)} to {percent(row[f'high-{k}'], 0)}",
                    f"{row['queries']:,}",
                ]
                for row in part
            ]
            if cells:
                caption = f"{words}, of the taxa with at least {ENOUGH} queries."
                blocks.append(Grid([target, f"top-{k}", "interval (Wilson)", "queries"], cells, caption))
        if blocks:
            lead = f"By {TEXT_TYPES[kinds[0]]}. All taxa and text types are in the table per_taxon."
            sections.append(Section(f"Which names does {name} know?", lead, blocks))
    return sections


def _texts(report: Report, kinds: Sequence[str]) -> Section:
    rows = report.rows("texts")[:EXTREMES]
    cells = [[row[kind] for kind in kinds] for row in rows]
    shown = report.provenance["templates"]
    grid = Grid(
        [TEXT_TYPES[kind] for kind in kinds], cells, "What stands for the first taxa; all are in the table texts.", "", len(kinds)
    )
    sentences = Grid(["sentence"], [[template] for template in shown], "", f"All {len(shown)} sentences")
    return Section("What was read?", "What stood for {name} in the sentences.", [grid, sentences])


TERMS = (
    ("top-k", "The share of images whose true taxon is among the k taxa whose texts are nearest by cosine."),
    ("text", "What stands for a taxon: its scientific or common name, its names from the first rank down, or two of them."),
    ("micro, macro", "Micro: every image counts the same. Macro: the share within each taxon, then the mean over taxa."),
    ("interval", "Bootstrap percentile interval of the stated confidence; for a single taxon, Wilson's interval."),
)
