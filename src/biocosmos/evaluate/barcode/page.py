"""The page of a report on barcodes: accuracy, rarity, names, sisters, cost; gap, BINs and trees are in ``pictures.py``."""

from __future__ import annotations

import math
from collections.abc import Sequence

from biocosmos.evaluate.barcode.accuracy import ALL, RARITY, SEEN, UNSEEN
from biocosmos.evaluate.barcode.bins import MATCH
from biocosmos.evaluate.barcode.gap import GAP, NO_GAP
from biocosmos.evaluate.barcode.names import ANSWER
from biocosmos.evaluate.barcode.sections import WORDS, bin_section, gap_section, tree_sections
from biocosmos.evaluate.pages.blocks import Block, Card, Page, Paragraph, Section
from biocosmos.evaluate.pages.charts import Bar, Bin, bars, reliability
from biocosmos.evaluate.pages.pictures import Pictures
from biocosmos.evaluate.pages.rows import Row, interval, pick
from biocosmos.evaluate.pages.svg import percent
from biocosmos.evaluate.pages.words import Columns, grid
from biocosmos.evaluate.report import Report

PAIRS = 20
"""Confused sisters shown."""
JUDGED = (GAP, NO_GAP)
BYTES = 1024


def page(report: Report, pictures: Pictures) -> Page:
    """Everything the page on barcodes shows."""
    rows, species = report.rows("accuracy"), report.provenance["species"]
    encoders = list(dict.fromkeys(row["encoder"] for row in rows))
    ranks = list(dict.fromkeys(row["rank"] for row in rows))
    sections = [
        *_ranks(report, rows, encoders, ranks),
        *_rarity(report, encoders, ranks, species),
        *_names(report, species),
        *gap_section(report),
        *bin_section(report),
        *_sisters(report, encoders, species),
        *tree_sections(report),
        *_probes(report),
        *_cost(report),
        *_published(report),
    ]
    return Page(
        _lead(report, rows, encoders, ranks, species), _cards(report, rows, encoders, ranks, species), sections, WORDS.terms
    )


def _above(ranks: Sequence[str], species: str) -> str | None:
    """The rank above the species."""
    place = ranks.index(species) if species in ranks else 0
    return ranks[place - 1] if place else None


def _share(rows: Sequence[Row], encoder: str, group: str, rank: str | None, average: str = "micro") -> Row | None:
    row = pick(rows, encoder=encoder, group=group, rank=rank, average=average)
    return row if row is not None and row["queries"] else None


def _gaps(report: Report) -> tuple[int, int]:
    """(species with a gap, species of which it can be said)."""
    rows = (
        [row for row in report.rows("gaps") if row["verdict"] in JUDGED and row["specimens"] > 1]
        if "gaps" in report.tables
        else []
    )
    return sum(row["verdict"] == GAP for row in rows), len(rows)


def _lead(report: Report, rows: Sequence[Row], encoders: Sequence[str], ranks: Sequence[str], species: str) -> str:
    gap, judged = _gaps(report)
    return WORDS(
        "lead",
        specimens=report.provenance["specimens"],
        encoders=len(encoders),
        first=encoders[0],
        species=species,
        seen=_share(rows, encoders[0], SEEN, species),
        unseen=_share(rows, encoders[0], UNSEEN, _above(ranks, species)),
        asked_unseen=report.provenance["counts"].get(UNSEEN, 0),
        gaps=judged,
        gap=gap,
        judged=judged,
    )


def _cards(report: Report, rows: Sequence[Row], encoders: Sequence[str], ranks: Sequence[str], species: str) -> list[Card]:
    cards, above = [], _above(ranks, species)
    best = encoders[0]
    for kind, group, rank in (("seen", SEEN, species), ("unseen", UNSEEN, above)):
        row = _share(rows, best, group, rank)
        if row is not None:
            macro = _share(rows, best, group, rank, "macro")
            cards.append(WORDS.card(f"cards.{kind}", percent(row["value"]), row=row, macro=macro, group=group))
    wrong = pick(report.rows("named"), group=UNSEEN, rank=species)
    if wrong is not None:
        cards.append(WORDS.card("cards.wrong", percent(wrong["wrong_of_all"]), row=wrong, species=species))
    gap, judged = _gaps(report)
    if judged:
        cards.append(WORDS.card("cards.gap", percent(gap / judged), gap=gap, judged=judged))
    bins = report.rows("bins") if "bins" in report.tables else []
    if bins:
        match = sum(row["concordance"] == MATCH for row in bins)
        cards.append(WORDS.card("cards.bins", percent(match / len(bins)), match=match, rows=len(bins)))
    return cards


def _bar(row: Row | None) -> Bar:
    if row is None or row["value"] is None:
        return Bar(math.nan)
    return Bar(
        row["value"],
        row["low"],
        row["high"],
        f"{row['encoder']}, {row['rank']}, {row['group']}: {interval(row)}, {row['queries']:,} queries, {row['taxa']:,} taxa",
    )


def _ranks(report: Report, rows: Sequence[Row], encoders: Sequence[str], ranks: Sequence[str]) -> list[Section]:
    blocks: list[Block] = []
    groups = [group for group in (SEEN, UNSEEN) if any(row["group"] == group for row in rows)] or [ALL]
    for group in groups:
        for average in ("micro", "macro"):
            told = [rank for rank in ranks if any(_share(rows, encoder, group, rank, average) for encoder in encoders)]
            cells = [(rank, [_bar(_share(rows, encoder, group, rank, average)) for encoder in encoders]) for rank in told]
            blocks.append(WORDS.figure(f"ranks.{average}", bars(f"{group}, {average} average", cells, encoders), group=group))
    blocks.append(WORDS.grid("ranks.grid", rows, _COLUMNS, fold=True, left=4))
    return [WORDS.section("ranks", blocks, neighbours=report.provenance["options"]["neighbours"])]


_COLUMNS: Columns = [
    *((name, name) for name in ("encoder", "group", "rank", "average")),
    *(("right (interval)", interval), ("queries", "queries"), ("taxa", "taxa")),
    *(("unanswerable", "unanswerable"), ("no name", "nameless"), ("tied", "tied"), ("at worst", "at_worst")),
    ("at best", "at_best"),
]


def _rarity(report: Report, encoders: Sequence[str], ranks: Sequence[str], species: str) -> list[Section]:
    rows = report.rows("rarity")
    groups = [name for name, _, _ in RARITY if any(row["group"] == name for row in rows)]
    if not groups:
        return []
    blocks: list[Block] = []
    for rank in (species, _above(ranks, species)):
        cells = []
        for group in groups:
            found = [_share(rows, encoder, group, rank) for encoder in encoders]
            asked = max((row["queries"] for row in found if row), default=0)
            cells.append((f"{group} ({asked:,} queries)", [_bar(row) for row in found]))
        if rank is not None:
            blocks.append(WORDS.figure("rarity.chart", bars(f"{rank} by rarity", cells, encoders), rank=rank))
    blocks.append(WORDS.grid("rarity.grid", rows, _COLUMNS, fold=True, left=4))
    return [WORDS.section("rarity", blocks)]


def _names(report: Report, species: str) -> list[Section]:
    rows = report.rows("named")
    if not rows:
        return []
    several = len({row["namer"] for row in rows}) > 1
    first: Columns = [("namer", "namer")] if several else []
    columns: Columns = [
        *first,
        *(
            ("queries", "group"),
            ("number", "queries"),
            ("given a name", "share_answered"),
            ("right", "right"),
            ("wrong", "wrong"),
        ),
        *(
            ("undecided", "undecided"),
            ("wrong of the given", "error"),
            ("interval", _error_ends),
            ("wrong of all", "wrong_of_all"),
        ),
    ]
    answers = [row for row in rows if row["rank"] == ANSWER]
    ranked = [row for row in rows if row["rank"] != ANSWER and row["group"] in (SEEN, UNSEEN)]
    blocks: list[Block] = [
        Paragraph(WORDS("names.answer", promise=rows[0]["promise"])),
        grid(answers, columns, left=1 + several),
        Paragraph(WORDS("names.ranks")),
        grid(ranked, [("rank", "rank"), *columns, ("calibration error", "ece")], left=2 + several),
    ]
    for group in (SEEN, UNSEEN):
        bins = report.rows("reliability", group=group, rank=species, namer=rows[0]["namer"])
        row = pick(rows, group=group, rank=species, namer=rows[0]["namer"])
        if bins and row is not None:
            made = [Bin(b["confidence"], b["accuracy"], b["low"], b["high"], b["count"]) for b in bins]
            chart = reliability(f"Calibration at {species}, {group}", made)
            blocks.append(WORDS.figure("names.calibration", chart, rank=species, group=group, ece=row["ece"]))
    return [WORDS.section("names", blocks)]


def _error_ends(row: Row) -> str:
    return "–" if row["low"] is None else f"{percent(row['low'])} to {percent(row['high'])}"


def _sisters(report: Report, encoders: Sequence[str], species: str) -> list[Section]:
    every = report.rows("confusion", encoder=encoders[0], target=species)
    if not every:
        return []
    rows = [row for row in every if row["seen"]]
    pairs = sorted((row for row in rows if row["siblings"] and row["parent"] is not None), key=lambda row: -row["count"])
    facts: Row = {"rank": species, "encoder": encoders[0], "shown": min(len(pairs), PAIRS), "all": len(pairs)}
    facts |= {"within": sum(row["count"] for row in pairs), "wrong": sum(row["count"] for row in rows)}
    facts["unseen"] = sum(row["count"] for row in every if not row["seen"])
    facts["unseen_within"] = sum(row["count"] for row in every if not row["seen"] and row["siblings"])
    columns: Columns = [
        *(("is", "true"), ("taken for", "found"), ("both in", "parent"), ("times", "count")),
        *(("of queries", "queries"), ("share", "share"), ("example", "example_id"), ("found", "example_found_id")),
    ]
    if not pairs:
        return [WORDS.section("sisters", [Paragraph(WORDS("sisters.none", **facts))], **facts)]
    blocks: list[Block] = [Paragraph(WORDS("sisters.grid", **facts)), grid(pairs[:PAIRS], columns, left=3)]
    return [WORDS.section("sisters", blocks, **facts)]


def _cost(report: Report) -> list[Section]:
    rows = report.rows("cost")
    if not rows:
        return []
    columns: Columns = [
        *(("encoder", "encoder"), ("of", "of"), ("numbers", "dim"), ("specimens", "specimens"), ("vectors, MiB", _mebibytes)),
        *(("embedded", "embedded"), ("embedded a second", lambda row: _rate(row["embedded"], row["embed_seconds"]))),
        ("embedding, MiB", lambda row: _whole(row["embed_mib"])),
        *(("queries", "queries"), ("searched a second", lambda row: _rate(row["queries"], row["search_seconds"]))),
        ("search, MiB", lambda row: _whole(row["search_mib"])),
    ]
    return [WORDS.section("cost", [Paragraph(WORDS("cost.grid")), grid(rows, columns, left=2)])]


def _mebibytes(row: Row) -> str:
    return "–" if row["bytes"] is None else f"{row['bytes'] / BYTES / BYTES:,.1f}"


def _rate(number: int | None, seconds: float | None) -> str:
    return "–" if not number or not seconds or math.isnan(seconds) else f"{number / seconds:,.0f}"


def _whole(value: float | None) -> str:
    return "–" if value is None or math.isnan(value) else f"{max(0.0, value):,.0f}"


def _probes(report: Report) -> list[Section]:
    rows = report.rows("probes")
    if not rows:
        return []
    columns: Columns = [
        *(("encoder", "encoder"), ("probe", "probe"), ("rank", "rank"), ("measure", "measure")),
        *(("value (interval)", interval), ("specimens", "specimens")),
    ]
    return [WORDS.section("probes", [Paragraph(WORDS("probes.grid")), grid(rows, columns, left=4)])]


def _published(report: Report) -> list[Section]:
    rows = report.rows("published") if "published" in report.tables else []
    if not rows:
        return []
    columns: Columns = [
        *(("task", "task"), ("data", "data"), ("model", "model"), ("measure", "measure")),
        *(("published", "published"), ("measured here", "measured_here")),
    ]
    sources = "; ".join(dict.fromkeys(row["source"] for row in rows if row["published"] is not None))
    here = [row for row in rows if row["measured_here"] is not None]
    papers = [row for row in rows if row["measured_here"] is None]
    blocks: list[Block] = [Paragraph(WORDS("published.grid", sources=sources)), *([grid(here, columns, left=4)] if here else [])]
    if papers:
        blocks.append(grid(papers, columns, summary=WORDS("published.papers", number=len(papers)), left=4))
    return [WORDS.section("published", blocks)]
