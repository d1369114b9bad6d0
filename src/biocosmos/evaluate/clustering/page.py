"""The page of a report on clusterings: heat table, ranks, noise, spaces, and whether a score without labels can choose."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from biocosmos.evaluate.clustering.chosen import CHOSEN
from biocosmos.evaluate.clustering.grid import FROM_LABELS
from biocosmos.evaluate.clustering.looks import judging_space, put_first
from biocosmos.evaluate.clustering.parted import CLUSTERS, LEFT_OUT, ONE_CLUSTER, REDUCED, SPACES, UMAP
from biocosmos.evaluate.pages.blocks import Block, Card, Page, Paragraph, Picture, Section, Sheet
from biocosmos.evaluate.pages.charts import Bar, Difference, Point, bars, differences, scatter
from biocosmos.evaluate.pages.heat import heat
from biocosmos.evaluate.pages.pictures import Pictures
from biocosmos.evaluate.pages.rows import Row, pick
from biocosmos.evaluate.pages.svg import percent
from biocosmos.evaluate.pages.words import Columns, Words
from biocosmos.evaluate.report import Report

WORDS = Words(__package__)
SCORE = {
    "silhouette": "silhouette",
    "silhouette_cosine": "silhouette, by cosine",
    "calinski_harabasz": "Calinski-Harabasz",
    "davies_bouldin": "Davies-Bouldin (lowest)",
}
MEBIBYTES = 1024
AGREED = ("spearman", "kendall")
SEEN = {UMAP: "UMAP", REDUCED: "reduced"}
"""What a space is called in a sentence."""


def page(report: Report, pictures: Pictures) -> Page:
    """Everything the page on clusterings shows."""
    rows = report.rows()
    for row in rows:
        row |= {"value": row["ami"], "low": row["ami_low"], "high": row["ami_high"]}
    encoders = list(dict.fromkeys(row["encoder"] for row in rows))
    space = judging_space(rows)
    chosen = put_first(rows, space)
    best = max(rows, key=lambda row: _number(row["ami"]))
    facts = {"main": report.provenance["main_rank"], "space": space, "encoders": encoders, "clusterings": len(rows)}
    facts |= {"seen": SEEN[space], "from_labels": FROM_LABELS}
    sections = [
        _settings(rows, encoders, facts),
        *_ranks(report, rows, encoders, facts),
        *_noise(rows, facts),
        _parted(report, encoders, facts),
        *_agreement(report, rows, encoders, facts),
        *_choices(report, facts),
        *_differences(report, facts),
        *_columns(report, rows, encoders, facts),
        *_looks(report, pictures),
        *_failures(report),
    ]
    lead = WORDS("lead", rows=rows, best=best, chosen=chosen, specimens=report.provenance["specimens"], **facts)
    return Page(lead, _cards(report, rows, best, chosen, facts), sections, WORDS.terms)


def _number(value: float | None) -> float:
    return -math.inf if value is None or math.isnan(value) else value


def _cards(report: Report, rows: Sequence[Row], best: Row, chosen: Mapping[str, Any] | None, facts: dict[str, Any]) -> list[Card]:
    cards = []
    if chosen is not None and len(rows) > 1:
        cards.append(WORDS.card("cards.chosen", percent(chosen["ami"]), row=chosen, **facts))
    cards.append(WORDS.card("cards.best", percent(best["ami"]), row=best, **facts))
    shown = chosen or best
    cards.append(WORDS.card("cards.number", f"{shown['clusters']:,}", row=shown, **facts))
    told = _told(report, facts["space"])
    if told is not None:
        cards.append(WORDS.card("cards.agreement", _decimal(told["spearman"]), row=told, ends=_ends(told, "spearman"), **facts))
    return cards


def _told(report: Report, space: str) -> Row | None:
    rows = report.rows("agreement", score="silhouette", space=space, over="all")
    return pick(rows, noise=ONE_CLUSTER) or pick(rows, noise=LEFT_OUT)


def _decimal(value: float | None) -> str:
    return "–" if value is None or math.isnan(value) else f"{round(value, 2) + 0.0:.2f}".replace("-", "−")


def _ends(row: Row, name: str) -> str:
    low = row[f"{name}_low"]
    return "" if low is None or math.isnan(low) else f"{_decimal(low)} to {_decimal(row[f'{name}_high'])}"


def _settings(rows: Sequence[Row], encoders: Sequence[str], facts: dict[str, Any]) -> Section:
    names = list(dict.fromkeys(row["setting"] for row in rows))
    cells = [[pick(rows, encoder=encoder, setting=name) for encoder in encoders] for name in names]
    values = [[math.nan if row is None else row["ami"] for row in line] for line in cells]
    tips = [["not made" if row is None else WORDS("settings.tip", row=row) for row in line] for line in cells]
    chart = heat("AMI by encoder and setting", names, encoders, values, tips)
    columns: Columns = [
        *(("encoder", "encoder"), ("setting", "setting"), ("AMI (interval)", _interval)),
        *(("AMI, clustered only", "ami_clustered"), ("ARI", "ari"), ("clustered", "share_clustered")),
        *(("clusters", "clusters"), ("number from", "counted_by")),
        *((f"silhouette, {space}", (f"silhouette_{space}", _decimal)) for space in SPACES),
        ("CPU seconds", lambda row: f"{row['reduce_seconds']:,.1f} + {row['cluster_seconds']:,.1f}"),
        ("memory, GiB", lambda row: _gibibytes(max(_number(row["reduce_mib"]), _number(row["cluster_mib"])))),
    ]
    order = sorted(rows, key=lambda row: -_number(row["ami"]))
    blocks: list[Block] = [WORDS.figure("settings.heat", chart, **facts)]
    blocks.append(WORDS.grid("settings.grid", order, columns, fold=True, left=2, **facts))
    return WORDS.section("settings", blocks, **facts)


def _interval(row: Row) -> str:
    ends = "" if row["low"] is None or math.isnan(row["low"]) else f" ({percent(row['low'])} to {percent(row['high'])})"
    return f"{percent(row['value'])}{ends}"


def _gibibytes(mib: float) -> str:
    return f"{mib / MEBIBYTES:,.2f}" if math.isfinite(mib) else "–"


def _shown(rows: Sequence[Row], encoders: Sequence[str], space: str) -> list[Mapping[str, Any]]:
    """Of each encoder the clustering that the silhouette puts first, or its first one."""
    mine = [[row for row in rows if row["encoder"] == encoder] for encoder in encoders]
    return [put_first(each, space) or each[0] for each in mine if each]


def _by_rank(report: Report, shown: Sequence[Mapping[str, Any]], kind: str) -> list[tuple[str, list[Bar]]]:
    scores = report.rows("scores", kind=kind)
    groups = []
    for name in dict.fromkeys(row["rank"] for row in scores):
        line = []
        for run in shown:
            row = pick(scores, rank=name, encoder=run["encoder"], setting=run["setting"])
            tip = WORDS("ranks.tip", row=row, run=run)
            line.append(Bar(max(row["ami"], 0.0), row["ami_low"], row["ami_high"], tip) if row else Bar(math.nan))
        groups.append((name, line))
    return groups


def _ranks(report: Report, rows: Sequence[Row], encoders: Sequence[str], facts: dict[str, Any]) -> list[Section]:
    shown = _shown(rows, encoders, facts["space"])
    groups = _by_rank(report, shown, "rank")
    if not groups:
        return []
    series = [f"{run['encoder']}: {run['setting']}" for run in shown]
    scores = report.rows("scores", kind="rank")
    first = [pick(scores, rank=name, encoder=shown[0]["encoder"], setting=shown[0]["setting"]) for name, _ in groups]
    columns: Columns = [
        *(("rank", "rank"), ("specimens", "specimens"), ("without a name", "unnamed"), ("taxa", "taxa"), ("AMI", "ami")),
        *(("ARI", "ari"), ("Fowlkes-Mallows", "fowlkes_mallows"), ("homogeneity", "homogeneity")),
        *(("completeness", "completeness"), ("V-measure", "v_measure"), ("clustered", "share_clustered")),
    ]
    blocks: list[Block] = [WORDS.figure("ranks.chart", bars("AMI by rank", groups, series), **facts)]
    blocks.append(WORDS.grid("ranks.grid", first, columns, run=shown[0], **facts))
    return [WORDS.section("ranks", blocks, **facts)]


def _noise(rows: Sequence[Row], facts: dict[str, Any]) -> list[Section]:
    noisy = [row for row in rows if row["share_clustered"] < 1]
    if not noisy:
        return []
    columns: Columns = [
        *(("encoder", "encoder"), ("setting", "setting"), ("clustered", "share_clustered"), ("clusters", "clusters")),
        *(("AMI, noise as one cluster", "ami"), ("AMI, clustered only", "ami_clustered")),
    ]
    return [WORDS.section("noise", [WORDS.grid("noise.grid", noisy, columns, left=2, **facts)], **facts)]


def _parted(report: Report, encoders: Sequence[str], facts: dict[str, Any]) -> Section:
    rows = [row for row in report.rows("parted", noise=LEFT_OUT) if row["labels"] in (CLUSTERS, facts["main"])]
    order = {name: place for place, name in enumerate(SPACES)}
    rows = sorted(rows, key=lambda row: (encoders.index(row["encoder"]), order[row["space"]], row["labels"] == CLUSTERS))
    columns: Columns = [
        *(("encoder", "encoder"), ("space", "space"), ("labels", "labels"), ("setting", lambda row: row["setting"] or "–")),
        ("silhouette", ("silhouette", _decimal)),
        ("interval", lambda row: _ends(row, "silhouette") or "–"),
        ("by cosine", ("silhouette_cosine", _decimal)),
        ("Calinski-Harabasz", lambda row: _rounded(row["calinski_harabasz"])),
        ("Davies-Bouldin", ("davies_bouldin", _decimal)),
    ]
    taxa = [row for row in rows if row["labels"] != CLUSTERS]
    blocks: list[Block] = [WORDS.grid("parted.taxa", taxa, columns, left=4, **facts)]
    blocks.append(WORDS.grid("parted.grid", rows, columns, fold=True, left=4, **facts))
    return WORDS.section("parted", blocks, **facts)


def _rounded(value: float | None) -> str:
    return "–" if value is None or math.isnan(value) else f"{value:,.0f}"


def _agreement(report: Report, rows: Sequence[Row], encoders: Sequence[str], facts: dict[str, Any]) -> list[Section]:
    found = report.rows("agreement")
    told = _told(report, facts["space"])
    if told is None:
        return []
    key = f"silhouette_{facts['space']}"
    there = [row for row in rows if row["setting"] != CHOSEN and math.isfinite(_number(row[key]) + _number(row["ami"]))]
    points = [
        Point(row[key], row["ami"], WORDS("agreement.tip", row=row, width=_decimal(row[key])), encoders.index(row["encoder"]))
        for row in there
    ]
    low, high = min(p.x for p in points), max(p.x for p in points)
    edge = 0.05 * ((high - low) or 1)
    top = min(math.ceil(10 * max(p.y for p in points) + 0.3) / 10, 1.0)
    chart = scatter(
        "AMI against the silhouette",
        points,
        f"silhouette of the clusters, {facts['seen']} space",
        f"AMI at {facts['main']}",
        y_range=(0, max(top, 0.1)),
        x_range=(low - edge, high + edge),
        names=encoders if len(encoders) > 1 else (),
    )
    blocks: list[Block] = [WORDS.figure("agreement.chart", chart, row=told, **facts)]
    everything = sorted((row for row in found if row["over"] == "all"), key=lambda row: -_number(row["spearman"]))
    agreed: Columns = [(name.capitalize(), partial(_correlated, name=name)) for name in AGREED]
    lost: Columns = [("lost, points", ("lost", _points)), ("AMI of what it picks", "picked_ami")]
    columns: Columns = [("score", lambda row: SCORE[row["score"]]), ("space", "space"), *agreed, *lost, ("it picks", "picked")]
    for key, counted in (("grid", True), ("apart", False)):
        part = [row for row in everything if (row["noise"] == told["noise"]) == counted]
        if part:
            blocks.append(WORDS.grid(f"agreement.{key}", part, columns, fold=not counted, left=2, row=told, **facts))
    parts = [row for row in found if row["over"] != "all" and row["score"] == "silhouette" and row["noise"] == told["noise"]]
    if parts:
        over: Columns = [("over", lambda row: f"{row['over']} {row['which']}"), ("space", "space"), *agreed, *lost]
        over = [*over, ("clusterings", "clusterings")]
        blocks.append(WORDS.grid("agreement.parts", parts, over, fold=True, left=2, **facts))
    return [WORDS.section("agreement", blocks, row=told, ends=_ends(told, "spearman"), value=_decimal(told["spearman"]), **facts)]


def _choices(report: Report, facts: dict[str, Any]) -> list[Section]:
    rows = report.rows("choices")
    if not rows:
        return []
    columns: Columns = [
        *(("encoder", "encoder"), ("chosen", "setting"), ("by", "by"), ("clusters", "clusters"), ("AMI", "ami")),
        *(("best of its clusterings", "best_ami"), ("lost, points", ("lost", _points))),
    ]
    blocks: list[Block] = [WORDS.grid("choices.grid", rows, columns, left=3, **facts)]
    blocks += [Paragraph(WORDS("choices.why", row=row)) for row in rows]
    return [WORDS.section("choices", blocks, **facts)]


def _points(value: float) -> str:
    return f"{100 * value:.1f}"


def _correlated(row: Row, name: str) -> str:
    ends = _ends(row, name)
    return _decimal(row[name]) + (f" ({ends})" if ends else "")


def _differences(report: Report, facts: dict[str, Any]) -> list[Section]:
    rows = report.rows("differences")
    if not rows:
        return []
    others = list(dict.fromkeys(row["encoder"] for row in rows))
    groups = []
    for name in dict.fromkeys(row["setting"] for row in rows):
        line = [pick(rows, setting=name, encoder=encoder) for encoder in others]
        groups.append((name, [_difference(row) for row in line if row is not None]))
    first = rows[0]["first"]
    chart = differences("Gain in AMI", groups, others, f"AMI against {first}, points")
    return [WORDS.section("differences", [WORDS.figure("differences.chart", chart, first=first, **facts)], first=first, **facts)]


def _difference(row: Row) -> Difference:
    return Difference(row["value"], row["low"], row["high"], WORDS("differences.tip", row=row))


def _columns(report: Report, rows: Sequence[Row], encoders: Sequence[str], facts: dict[str, Any]) -> list[Section]:
    shown = _shown(rows, encoders, facts["space"])
    groups = _by_rank(report, shown, "group")
    if not groups:
        return []
    series = [f"{run['encoder']}: {run['setting']}" for run in shown]
    return [WORDS.section("columns", [WORDS.figure("columns.chart", bars("AMI by column", groups, series), **facts)], **facts)]


def _looks(report: Report, pictures: Pictures) -> list[Section]:
    rows = report.rows("looks")
    if not rows:
        return []
    marks = {True: "right", False: "wrong", None: ""}
    blocks: list[Block] = []
    for row in rows:
        seen = [Picture(pictures(one["id"]), one["taxon"] or "no name", "", marks[one["right"]]) for one in row["members"]]
        blocks.append(Sheet(WORDS("looks.heading", row=row), seen, WORDS("looks.caption", row=row)))
    return [WORDS.section("looks", blocks, row=rows[0])]


def _failures(report: Report) -> list[Section]:
    rows = report.rows("failures")
    if not rows:
        return []
    columns: Columns = [("encoder", "encoder"), ("setting", "setting"), ("why", "reason")]
    return [WORDS.section("failures", [WORDS.grid("failures.grid", rows, columns, left=3)])]
