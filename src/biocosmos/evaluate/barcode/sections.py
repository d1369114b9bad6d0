"""Sections of the page that show the barcodes themselves: gap, BINs and trees."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from biocosmos.evaluate.barcode.bins import KINDS, MATCH
from biocosmos.evaluate.barcode.drawing import PLOT_EDGE, GapPoint, Leaf, gap_plot, tree_drawing
from biocosmos.evaluate.barcode.gap import ALONE, APART, GAP, NO_GAP
from biocosmos.evaluate.barcode.neighbour_joining import Tree
from biocosmos.evaluate.pages.blocks import Block, Figure, Paragraph, Section
from biocosmos.evaluate.pages.charts import histograms, stacked
from biocosmos.evaluate.pages.rows import Row
from biocosmos.evaluate.pages.svg import percent
from biocosmos.evaluate.pages.words import Columns, Words, grid
from biocosmos.evaluate.report import Report

WORDS = Words(__package__)
DISTANCE = {"p": "p-distance over the overlap", "k2p": "Kimura's two-parameter distance (K2P) over the overlap"}
SHOWN = 20
"""Rows of a table on the page; all are in the report's tables."""
EDGE = 0.25
"""Distances beyond are no barcodes of one group: the histogram ends here."""
IDS = 2


def gap_section(report: Report) -> list[Section]:
    """The gap plot, the histogram, and the species without a gap with those they collide with."""
    rows = report.rows("gaps") if "gaps" in report.tables else []
    measure = report.provenance["options"]["distance"]
    within, between = f"max_within_{measure}", f"min_between_{measure}"
    counts = Counter(row["verdict"] for row in rows)
    if not rows:
        return []
    drawn = [row for row in rows if row["verdict"] in (GAP, NO_GAP) and row[within] is not None]
    points = [
        GapPoint(
            row[within],
            row[between],
            f"{row['species']} ({row['specimens']:,} specimens): within at most {percent(row[within])}, "
            f"nearest {row['nearest']} at {percent(row[between])}",
            row["verdict"] == GAP,
        )
        for row in drawn
    ]
    facts: dict[str, Any] = {"distance": DISTANCE[measure], "judged": len(drawn)}
    facts |= {"edge": PLOT_EDGE, "far": sum(max(row[within], row[between]) > PLOT_EDGE for row in drawn)}
    facts |= {"gap": counts[GAP], "without": counts[NO_GAP], "alone": counts[ALONE], "apart": counts[APART]}
    blocks: list[Block] = []
    if points:
        chart = gap_plot(
            "Barcode gap", points, ("with a gap", "without"), "largest distance within", "smallest distance to another species"
        )
        blocks.append(WORDS.figure("gap.plot", chart, **facts))
    blocks += _histogram(report, facts)
    without = sorted((row for row in rows if row["verdict"] == NO_GAP), key=lambda row: (row[between], row["path"]))
    columns: Columns = [
        *(("species", "species"), ("collides with", "nearest"), ("one genus", _one_parent), ("specimens", "specimens")),
        *(("largest within", within), ("smallest between", between), ("specimen", "id"), ("of the other", "nearest_id")),
    ]
    if without:
        far = sum(_one_parent(row) == "no" for row in without)
        shown = without[:SHOWN]
        blocks.append(Paragraph(WORDS("gap.without", shown=len(shown), all=len(without), far=far)))
        blocks.append(grid(shown, columns, left=3))
    return [WORDS.section("gap", blocks, **facts)]


def _one_parent(row: Row) -> str:
    """Whether the two species hang from one taxon."""
    return "yes" if row["path"].rpartition(" / ")[0] == row["nearest_path"].rpartition(" / ")[0] else "no"


def _histogram(report: Report, facts: dict[str, Any]) -> list[Block]:
    rows = report.rows("distances")
    kept = [row for row in rows if row["low"] < EDGE]
    sides = []
    for name in ("within", "between"):
        middles = np.array([(row["low"] + row["high"]) / 2 for row in kept])
        sides.append(np.repeat(middles, [row[name] for row in kept]) if kept else np.empty(0))
    if not all(len(side) for side in sides):
        return []
    beyond = sum(row["within"] + row["between"] for row in rows if row["low"] >= EDGE)
    series = [("within a species", sides[0]), ("to the nearest other species", sides[1])]
    chart = histograms("Distances", series, "distance", len(kept), of="distances", x_percent=True)
    return [WORDS.figure("gap.histogram", chart, **{**facts, "beyond": beyond, "edge": EDGE})]


def bin_section(report: Report) -> list[Section]:
    """How BINs and species agree, and the species that do not match."""
    rows = report.rows("bins") if "bins" in report.tables else []
    if not rows:
        return []
    counts = Counter(row["concordance"] for row in rows)
    named = [f"{kind} ({counts[kind]:,})" for kind in KINDS]
    chart = stacked("BINs", [("species", [counts[kind] for kind in KINDS])], named, ("c3", "c1", "c2", "c4"))
    blocks: list[Block] = [WORDS.figure("bins.chart", chart, rows=len(rows))]
    odd = [row for row in rows if row["concordance"] != MATCH]
    odd.sort(key=lambda row: (-KINDS.index(row["concordance"]), -row["specimens"], row["path"]))
    columns: Columns = [
        *(("species", "species"), ("verdict", "concordance"), ("BINs", lambda row: ", ".join(row["bins"]))),
        *(("shared with", lambda row: _some(row["shared_with"], 4) or "–"), ("specimens", "specimens")),
    ]
    if odd:
        blocks.append(Paragraph(WORDS("bins.odd", shown=min(len(odd), SHOWN), all=len(odd))))
        blocks.append(grid(odd[:SHOWN], columns, left=4))
    return [WORDS.section("bins", blocks, rows=len(rows))]


def tree_sections(report: Report) -> list[Section]:
    """A section for each tree."""
    sections = []
    for row in report.rows("trees") if "trees" in report.tables else []:
        nodes = report.rows("tips", genus=row["genus"])
        tree = Tree(np.array([n["parent"] for n in nodes]), np.array([n["length"] for n in nodes]), row["tips"])
        leaves = [_leaf(node) for node in nodes if node["tip"] is not None]
        chart = tree_drawing(f"Tree of {row['genus']}", tree, leaves, f"distance from the root ({DISTANCE[row['measure']]})")
        facts = {**row, "distance": DISTANCE[row["measure"]]}
        sections.append(WORDS.section("tree", [Figure(chart, WORDS("tree.chart", **facts), wide=True)], **facts))
    return sections


def _leaf(node: Row) -> Leaf:
    name, ids = node["species"] or "no species name", node["ids"]
    label = f"{name} · {ids[0]}" + (f" ({len(ids):,})" if len(ids) > 1 else "")
    asked = f", {node['queries']:,} asked about" if node["queries"] else ""
    return Leaf(name, label, f"{name}: {_some(ids)}{asked}", node["queries"] > 0)


def _some(names: Sequence[str], most: int = IDS) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most:,} more" if len(names) > most else "")
