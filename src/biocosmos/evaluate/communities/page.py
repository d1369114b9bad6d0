"""The page of a community."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from biocosmos.discover.communities.diversity import hill
from biocosmos.discover.communities.ordination import Ordination
from biocosmos.discover.communities.table import COUNT, Community
from biocosmos.evaluate.communities.places import deep, when, where
from biocosmos.evaluate.pages.blocks import Block, Card, Page, Section
from biocosmos.evaluate.pages.charts import stacked
from biocosmos.evaluate.pages.curves import curves
from biocosmos.evaluate.pages.heat import heat
from biocosmos.evaluate.pages.ordinations import Sample, ordination, ordination_table
from biocosmos.evaluate.pages.svg import number, percent
from biocosmos.evaluate.pages.words import Words
from biocosmos.evaluate.report import Report

WORDS = Words(__package__)
Floats = npt.NDArray[np.float64]
MOST_BARS, MOST_ROWS, MOST_HEAT, TOP = 40, 200, 24, 7
"""Samples of the bars, rows of a table, samples of the heat table, and taxa that have a colour of their own."""
REST = "c8"
LARGEST = 3
"""Shares of each sample that are shown."""


def laid_out(report: Report, community: Community, rows: npt.NDArray[np.int64], apart: Floats, laid: Ordination | None) -> Page:
    """Headlines, shares, where, when, how deep, diversity, how alike, how sure; what is not known is left out.

    rows: samples that can be compared, apart: their distances.
    """
    top = commonest(community)
    specimens = community.beside["specimens"].sum(axis=1)
    facts: dict[str, Any] = {
        "samples": len(community),
        "specimens": int(specimens.sum()),
        "taxa": int((community.beside["specimens"].sum(axis=0) > 0).sum()),
        "empty": int((specimens == 0).sum()),
        "predicted": community.predicted,
        "unit": _unit(community),
    }
    sections = [
        _composition(community, top),
        *where(WORDS, community),
        *when(WORDS, community, top[:4], _unit(community)),
        *deep(WORDS, community, top[:4], _unit(community)),
        _diverse(report, community),
        *_alike(community, rows, apart, laid),
        *_sure(community),
        *_shares(report),
    ]
    return Page(WORDS("lead", **facts), _cards(community, facts, top), sections, WORDS.terms)


def commonest(community: Community) -> list[int]:
    """Columns of the taxa with most, the most first."""
    sums = np.nansum(community.counts, axis=0)
    order = np.argsort(-sums, kind="stable")
    return [int(i) for i in order if sums[i] > 0]


def _unit(community: Community) -> str:
    return "specimens" if community.unit == COUNT else f"individuals {community.unit}"


def _cards(community: Community, facts: dict[str, Any], top: list[int]) -> list[Card]:
    each = hill(community.counts, 1)
    known = each[~np.isnan(each)]
    cards = [
        WORDS.card("samples", f"{facts['samples']:,}", **facts),
        WORDS.card("specimens", f"{facts['specimens']:,}", **facts),
        WORDS.card("taxa", f"{facts['taxa']:,}", commonest=str(community.taxa[top[0]]) if top else "none"),
    ]
    if len(known):
        ends = number(float(known.min())), number(float(known.max()))
        cards.append(WORDS.card("diversity", f"{float(np.median(known)):.1f}", low=ends[0], high=ends[1]))
    return cards


def _composition(community: Community, top: list[int]) -> Section:
    shown, rest = top[:TOP], top[TOP:]
    names = [str(community.taxa[i]) for i in shown] + (["all others"] if rest else [])
    css = [f"c{i + 1}" for i in range(len(shown))] + ([REST] if rest else [])
    known = np.nan_to_num(community.counts)
    bars = []
    for i in np.flatnonzero(known.sum(axis=1) > 0)[:MOST_BARS]:
        values = [float(known[i, j]) for j in shown] + ([float(known[i, rest].sum())] if rest else [])
        bars.append((str(community.samples[i]), values))
    left = len(community) - len(bars)
    blocks: list[Block] = []
    if bars:
        chart = stacked("What is in each sample", bars, names, css)
        blocks.append(WORDS.figure("composition.figure", chart, left=max(left, 0)))
    specimens, amounts = community.beside["specimens"], community.counts
    found = [
        {
            "taxon": str(community.taxa[i]),
            "specimens": int(specimens[:, i].sum()),
            "samples": int((specimens[:, i] > 0).sum()),
            "mean": number(float(np.nanmean(amounts[:, i]))) if not np.isnan(amounts[:, i]).all() else "–",
        }
        for i in top[:MOST_ROWS]
    ]
    columns = [("taxon", "taxon"), ("specimens", "specimens"), ("in samples", "samples"), (f"mean, {_unit(community)}", "mean")]
    blocks.append(WORDS.grid("composition.grid", found, columns, fold=True))
    return WORDS.section("composition", blocks, unit=_unit(community))


def _diverse(report: Report, community: Community) -> Section:
    series: dict[str, list[tuple[float, float]]] = {}
    for row in report.rows("rarefaction"):
        series.setdefault(row["sample"], []).append((float(row["specimens"]), row["taxa"]))
    rows = report.rows("diversity")
    columns: list[tuple[str, Any]] = [("sample", _named(community))]
    columns += [("specimens", "specimens"), ("richness", "richness")]
    more = ", corrected" if "D1_corrected" in rows[0] else ""
    columns += [(name + more, _ended(name)) for name in ("D1", "D2")]
    columns += [
        (name.capitalize(), _plain(name)) for name in ("shannon", "simpson", "coverage", "rarefied", "chao1") if name in rows[0]
    ]
    told = [{**row, "": i} for i, row in enumerate(rows[:MOST_ROWS])]
    size = next((row["rarefied_to"] for row in rows if row.get("rarefied_to")), 0)
    blocks: list[Block] = []
    if series:
        chart = curves("Rarefaction", list(series.items()), "specimens", "taxa")
        blocks.append(WORDS.figure("diverse.curves", chart))
    blocks.append(WORDS.grid("diverse.grid", told, columns, size=size))
    return WORDS.section("diverse", blocks)


def _named(community: Community) -> Any:
    return lambda row: str(community.samples[row[""]])


def _plain(name: str) -> Any:
    return lambda row: "–" if row[name] is None else f"{row[name]:.3g}" if name != "rarefied" else f"{row[name]:.1f}"


def _ended(name: str) -> Any:
    def said(row: dict[str, Any]) -> str:
        value = row.get(f"{name}_corrected", row[name])
        if value is None:
            return "–"
        low, high = row.get(f"{name}_low"), row.get(f"{name}_high")
        return f"{value:.1f}" + ("" if low is None or high is None else f" ({low:.1f} to {high:.1f})")

    return said


def _alike(community: Community, rows: npt.NDArray[np.int64], apart: Floats, laid: Ordination | None) -> list[Section]:
    names = [str(community.samples[i]) for i in rows]
    blocks: list[Block] = []
    if laid is not None:
        groups = _groups(community, rows)
        spots = [Sample(float(x), float(y), name, group) for (x, y), name, group in zip(laid.axes, names, groups)]
        chart = ordination("Samples by how alike they are", spots, *laid.names, note=laid.note)
        blocks.append(WORDS.figure("alike.ordination", chart, method=laid.method))
        blocks.append(ordination_table(spots, *laid.names))
    if 1 < len(rows) <= MOST_HEAT:
        tips = [[f"{a}, {b}: {value:.3f}" for b, value in zip(names, row)] for a, row in zip(names, apart)]
        shares = [[math.nan if i == j else float(value) for j, value in enumerate(row)] for i, row in enumerate(apart)]
        blocks.append(WORDS.figure("alike.heat", heat("Bray-Curtis distances", names, names, shares, tips)))
    return [WORDS.section("alike", blocks, unit=_unit(community))] if blocks else []


def _groups(community: Community, rows: npt.NDArray[np.int64]) -> list[str]:
    """Of the first column that tells samples apart and that several share."""
    facts = community.facts
    assert facts is not None
    for name in facts.column_names:
        if name in ("sample", "date", "latitude", "longitude", "depth_min", "depth_max", "samples"):
            continue
        values = [str(value) for value in facts[name].take(rows.tolist()).to_pylist()]
        if 1 < len(set(values)) < len(values):
            return values
    return [""] * len(rows)


def _sure(community: Community) -> list[Section]:
    if "low" not in community.beside:
        return []
    specimens = community.beside["specimens"]
    corrected = community.beside.get("corrected")
    rows = []
    for i in np.flatnonzero(specimens.sum(axis=1) > 0)[:MOST_ROWS]:
        j = int(specimens[i].argmax())
        row = {"sample": str(community.samples[i]), "taxon": str(community.taxa[j]), "n": int(specimens[i, j])}
        row |= {} if corrected is None else {"corrected": _amount(corrected[i, j])}
        ends = community.beside["low"][i, j], community.beside["high"][i, j]
        rows.append(row | {"interval": f"{_amount(ends[0])} to {_amount(ends[1])}"})
    columns: list[tuple[str, Any]] = [("sample", "sample"), ("taxon", "taxon"), ("counted", "n")]
    columns += [] if corrected is None else [("corrected", "corrected")]
    grid = WORDS.grid("sure.grid", rows, [*columns, ("interval", "interval")], left=2, corrected=corrected is not None)
    return [WORDS.section("sure", [grid], corrected=corrected is not None)] if rows else []


def _shares(report: Report) -> list[Section]:
    """What quantification says, the largest shares of each sample."""
    if "shares" not in report.tables:
        return []
    largest: dict[str, int] = {}
    rows: list[dict[str, Any]] = []
    for row in report.rows("shares"):
        largest[row["sample"]] = largest.get(row["sample"], 0) + 1
        if largest[row["sample"]] <= LARGEST and len(rows) < MOST_ROWS:
            rows.append(row)

    def said(row: dict[str, Any]) -> str:
        low, high = row.get("share_low"), row.get("share_high")
        return percent(row["share"]) + ("" if low is None or high is None else f" ({percent(low)} to {percent(high)})")

    columns: list[tuple[str, Any]] = [("sample", "sample"), ("taxon", "taxon"), ("share", said), ("by", "method")]
    shut = len({row["sample"] for row in report.rows("shares") if row.get("gate") == "shut"})
    grid = WORDS.grid("shares.grid", rows, [*columns, ("gate", "gate")], left=2, largest=LARGEST)
    return [WORDS.section("shares", [grid], shut=shut)]


def _amount(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.1f}"


__all__ = ["commonest", "laid_out"]
