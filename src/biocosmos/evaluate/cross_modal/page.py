"""The page of a report across modalities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from biocosmos.encoders.modality import BOUND
from biocosmos.evaluate.cross_modal.page_bound import counterparts_section, names_section, shown, sums_section
from biocosmos.evaluate.pages.blocks import Block, Card, Figure, Grid, Page, Section
from biocosmos.evaluate.pages.charts import Bar, bars, lines, stacked
from biocosmos.evaluate.pages.heat import heat
from biocosmos.evaluate.pages.pictures import Pictures
from biocosmos.evaluate.pages.rows import of_column, pick
from biocosmos.evaluate.pages.svg import percent
from biocosmos.evaluate.pages.words import Words
from biocosmos.evaluate.report import Report

Row = dict[str, Any]
WORDS = Words(__package__)
SEEN, UNSEEN, MEAN = "seen", "unseen", "harmonic_mean"
PARTS = (SEEN, UNSEEN)
MEASURES = {name: f"top-1 macro, {name.replace('_', ' ')}" for name in (SEEN, UNSEEN, MEAN)}
HEADINGS = {SEEN: "seen", UNSEEN: "unseen", MEAN: "H.M."}
ALONE = "concatenated"
"""Vectors that are asked of their like alone: a line of the table, and no line of the heat table."""
HERE = "measured here"
FINE_RANKS = 2
"""Ranks, the finest, that have a heat table of their own."""


def page(report: Report, pictures: Pictures) -> Page:
    """Everything the page shows."""
    there = {name: report.rows(name) if name in report.tables else [] for name in _TABLES}
    facts = report.provenance
    sections = [_pairs(there["retrieval"])]
    sections += [counterparts_section(there["counterparts"])] if there["counterparts"] else []
    sections += [names_section(there["names"])] if there["names"] else []
    sections += [sums_section(there["sums"])] if there["sums"] else []
    if not there["counterparts"] or any((row["query"], row["key"]) == ("image", "dna") for row in there["retrieval"]):
        sections += [_layout(there["published"], facts["name"])]
    sections += [_decisions(there["decisions"], there["decision_curve"])] if there["decisions"] else []
    sections += [_back_off(there["back_off"])] if there["back_off"] else []
    sections += [_damage(there["damage"])] if there["damage"] else []
    sections.append(_every(there["retrieval"], there["baselines"]))
    cards = _cards(there["retrieval"]) + _bound_cards(there["counterparts"])
    return Page(WORDS("lead", space=facts["name"], **facts["specimens"]), cards, sections, WORDS.terms)


_TABLES = (
    "retrieval",
    "names",
    "counterparts",
    "sums",
    "baselines",
    "decisions",
    "decision_curve",
    "back_off",
    "damage",
    "published",
)
_HEADLINES = (("image", "dna", "genus", UNSEEN), ("image", "dna", "species", MEAN))
_MORE = (("image", "image", "species", MEAN), ("dna", "dna", "species", MEAN))
_BOUND_K = 10


def _cards(rows: Sequence[Row]) -> list[Card]:
    cards = []
    for query, key, rank, what in (*_HEADLINES, *_MORE):
        row = pick(rows, query=query, key=key, rank=rank, k=1, average="micro")
        if row is not None and row[what] == row[what]:
            kind = "unseen" if what == UNSEEN else "mean"
            facts = {"row": row, "query": shown(query), "key": shown(key)}
            cards.append(WORDS.card(f"cards.{kind}", percent(row[what]), **facts))
    return cards


def _bound_cards(rows: Sequence[Row]) -> list[Card]:
    """From the anchor to each that is bound to it: R@10."""
    asked = [row for row in rows if row["query"] in ("image", "dna") and row["key"] in BOUND]
    asked = [row for row in asked if (row["k"], row["average"]) == (_BOUND_K, "micro")]
    return [
        WORDS.card("cards.counterpart", percent(row["value"]), row=row, query=shown(row["query"]), key=row["key"])
        for row in asked
    ]


def _pairs(rows: Sequence[Row]) -> Section:
    """Heat tables of top-1 micro: queries down, keys across, of the finest ranks and each part."""
    blocks: list[Block] = []
    for rank in _fine(rows):
        for part in PARTS:
            mine = [row for row in rows if (row["rank"], row["k"], row["average"]) == (rank, 1, "micro")]
            if not any(row[part] == row[part] for row in mine):
                continue
            mine = [row for row in mine if row["query"] != ALONE]
            queries, keys = (list(dict.fromkeys(row[name] for row in mine)) for name in ("query", "key"))
            table = [[pick(mine, query=query, key=key) for key in keys] for query in queries]
            values = [[float("nan") if row is None else row[part] for row in line] for line in table]
            tips = [[_tip(row, part) for row in line] for line in table]
            title = f"{rank.capitalize()}, {part} species: query down, key across"
            svg = heat(title, [shown(each) for each in queries], [shown(each) for each in keys], values, tips)
            blocks.append(Figure(svg, WORDS("pairs.figure", rank=rank, part=part)))
    columns = [
        *(("query", ("query", shown)), ("key", ("key", shown)), ("rank", "rank")),
        *((part, lambda row, part=part: of_column(row, part)) for part in PARTS),
        *(("H.M.", (MEAN, percent)), ("by chance, unseen", ("unseen_chance", percent))),
        *((f"cannot be right, {part}", f"{part}_unanswerable") for part in PARTS),
        *((f"{part}, of the others", (f"{part}_answerable", percent)) for part in PARTS),
    ]
    first = [row for row in rows if (row["k"], row["average"]) == (1, "micro")]
    blocks.append(WORDS.grid("pairs.grid", first, columns, fold=True, left=3))
    return WORDS.section("pairs", blocks)


def _fine(rows: Sequence[Row]) -> list[str]:
    """The finest ranks at which anything can be right."""
    ranks = list(dict.fromkeys(row["rank"] for row in rows if any(row[part] == row[part] for part in PARTS)))
    return ranks[-FINE_RANKS:][::-1]


def _tip(row: Row | None, part: str) -> str:
    if row is None or row[part] != row[part]:
        return ""
    asked = f"{shown(row['query'])} to {shown(row['key'])}: {of_column(row, part)}"
    return f"{asked}, by chance {percent(row[f'{part}_chance'])}, {row[f'{part}_specimens']:,} queries"


def _layout(published: Sequence[Row], space: str) -> Section:
    """CLIBD's table: rank and alignment down, pairs of kinds and seen, unseen, harmonic mean across."""
    found: dict[tuple[str, str, str], dict[tuple[str, str], float]] = {}
    pairs: list[str] = []
    for row in published:
        rank, _, pair = row["task"].partition(", ")
        if " to " not in pair or row["measure"] not in MEASURES.values():
            continue
        here = row["measured_here"] is not None
        value = row["measured_here"] if here else row["published"]
        found.setdefault((rank, HERE if here else row["data"], row["model"]), {})[pair, row["measure"]] = value
        pairs += [] if pair in pairs else [pair]
    ranks = list(dict.fromkeys(rank for rank, _, _ in found))
    columns = ["rank", "data", "aligned", *pairs]
    rows = []
    for rank in ranks:
        for (own, data, model), cells in found.items():
            if own == rank:
                rows.append([rank, data, model, *(_three(cells, pair) for pair in pairs)])
    blocks: list[Block] = [Grid(columns, rows, WORDS("layout.grid", space=space), left=3)]
    return WORDS.section("layout", blocks)


def _three(cells: Mapping[tuple[str, str], float], pair: str) -> str:
    """ "78.8 / 91.8 / 84.8": seen, unseen and harmonic mean, in percent."""
    shares = [cells.get((pair, measure)) for measure in MEASURES.values()]
    if all(share is None for share in shares):
        return "–"
    return " / ".join("–" if share is None else f"{100 * share:.1f}" for share in shares)


def _decisions(rows: Sequence[Row], curve: Sequence[Row]) -> Section:
    blocks: list[Block] = []
    for scheme in dict.fromkeys(row["scheme"] for row in rows):
        mine = [row for row in curve if row["scheme"] == scheme]
        chosen = pick(rows, scheme=scheme, rank="species", average="micro")
        series = [(HEADINGS[name], [(row["t"], row[name]) for row in mine]) for name in (SEEN, UNSEEN, MEAN)]
        marks = []
        if chosen is not None and chosen[MEAN] == chosen[MEAN]:
            at = min(max(chosen["t"], 0.0), 1.0)
            marks.append((2, at, chosen[MEAN], f"t = {chosen['t']:.3f}, chosen on validation: {percent(chosen[MEAN])}"))
        title = f"Species right by the threshold t, {WORDS(f'decisions.{scheme}')}"
        blocks.append(Figure(lines(title, series, "threshold t", "right, micro", marks), WORDS("decisions.figure")))
    columns = [
        *(("scheme", "scheme"), ("rank", "rank"), ("average", "average"), ("t", ("t", lambda t: f"{t:.3f}"))),
        *((part, lambda row, part=part: of_column(row, part)) for part in PARTS),
        *(("H.M.", (MEAN, percent)), ("H.M. of the t best for species", ("oracle_harmonic_mean", percent))),
        *(("that t", ("oracle_t", lambda t: f"{t:.3f}")), ("H.M. on validation", ("validation", percent))),
        *((f"named by the seen side, {part}", (f"{part}_by_seen", percent)) for part in PARTS),
    ]
    fine = list(dict.fromkeys(row["rank"] for row in rows))[-FINE_RANKS:]
    blocks.append(WORDS.grid("decisions.grid", [row for row in rows if row["rank"] in fine], columns, left=3))
    blocks.append(WORDS.grid("decisions.every", rows, columns, fold=True, left=3))
    return WORDS.section("decisions", blocks)


def _back_off(rows: Sequence[Row]) -> Section:
    rates = list(dict.fromkeys(row["error_rate"] for row in rows))
    ranks = list(dict.fromkeys(row["rank"] for row in rows))
    answers = [rank for rank in ranks if any(row["answered"] for row in rows if row["rank"] == rank)]
    css = [f"c{i % 8 + 1}" for i in range(len(answers) - 1)] + ["none"] if answers and answers[-1] == ranks[-1] else []
    css = css or [f"c{i % 8 + 1}" for i in range(len(answers))]
    bands = [(percent(rate, 0), [_count(pick(rows, error_rate=rate, rank=rank)) for rank in answers]) for rate in rates]
    figure = Figure(stacked("Where the answer stops, by the promised error rate", bands, answers, css), WORDS("back_off.figure"))
    groups = [
        (rank, [_precision(pick(rows, error_rate=rate, rank=rank)) for rate in rates]) for rank in answers if rank != ranks[-1]
    ]
    right = Figure(
        bars("Right, of the answers that stop at the rank", groups, [f"{percent(rate, 0)} promised" for rate in rates]),
        WORDS("back_off.right"),
    )
    totals = [_total([row for row in rows if row["error_rate"] == rate]) for rate in rates]
    columns: list[tuple[str, Any]] = [
        *(("promised error rate", ("error_rate", percent)), ("queries", "queries"), ("answered", ("share", percent))),
        *(("wrong, of the answered", ("error", percent)), ("calibrated on", "calibrated_on")),
    ]
    blocks: list[Block] = [figure, right, WORDS.grid("back_off.totals", totals, columns)]
    columns = [
        *(("promised error rate", ("error_rate", percent)), ("rank", "rank"), ("stop here", "answered"), ("right", "right")),
        *(("wrong", "wrong"), ("share of queries", ("share", percent)), ("at this rank or deeper", ("reached", percent))),
        ("right of the answered", _bounded),
    ]
    blocks.append(WORDS.grid("back_off.grid", rows, columns, left=2))
    return WORDS.section("back_off", blocks)


def _count(row: Row | None) -> float:
    return 0.0 if row is None else float(row["answered"])


def _precision(row: Row | None) -> Bar:
    if row is None or row["precision"] != row["precision"]:
        return Bar(float("nan"))
    tip = f"{row['right']:,} of {row['answered']:,} answers at {row['rank']}: {_bounded(row)}"
    return Bar(row["precision"], row["precision_low"], row["precision_high"], tip)


def _bounded(row: Row) -> str:
    if row["precision"] != row["precision"]:
        return "–"
    return f"{percent(row['precision'])} ({percent(row['precision_low'])} to {percent(row['precision_high'])})"


def _total(rows: Sequence[Row]) -> Row:
    queries, wrong = sum(row["answered"] for row in rows), sum(row["wrong"] for row in rows)
    answered = wrong + sum(row["right"] for row in rows)
    facts = {"error_rate": rows[0]["error_rate"], "queries": queries, "calibrated_on": rows[0]["calibrated_on"]}
    return {**facts, "share": answered / queries, "error": wrong / answered if answered else float("nan")}


def _damage(rows: Sequence[Row]) -> Section:
    micro = [row for row in rows if row["average"] == "micro"]
    ways = list(dict.fromkeys(row["by"] for row in micro))
    blocks: list[Block] = []
    for rank in list(dict.fromkeys(row["rank"] for row in micro))[-FINE_RANKS:][::-1]:
        for part in PARTS:
            mine = [row for row in micro if row["rank"] == rank]
            groups = [
                (name, [_share(pick(mine, barcode=name, by=way), part) for way in ways])
                for name in dict.fromkeys(row["barcode"] for row in mine)
            ]
            title = f"{rank.capitalize()} right, {part} species, by what is left of the barcode"
            blocks.append(Figure(bars(title, groups, ways), WORDS("damage.figure", rank=rank, part=part)))
    columns = [
        *(("barcode", "barcode"), ("by", "by"), ("rank", "rank"), ("average", "average")),
        *((part, lambda row, part=part: of_column(row, part)) for part in PARTS),
        ("H.M.", (MEAN, percent)),
    ]
    blocks.append(WORDS.grid("damage.grid", rows, columns, fold=True, left=4))
    return WORDS.section("damage", blocks)


def _share(row: Mapping[str, Any] | None, part: str) -> Bar:
    if row is None or row[part] != row[part]:
        return Bar(float("nan"))
    return Bar(row[part], row[f"{part}_low"], row[f"{part}_high"], f"{row['barcode']}: {of_column(row, part)}")


def _every(rows: Sequence[Row], baselines: Sequence[Row]) -> Section:
    columns = [
        *(("query", ("query", shown)), ("key", ("key", shown)), ("rank", "rank"), ("average", "average"), ("k", "k")),
        *((part, lambda row, part=part: of_column(row, part)) for part in PARTS),
        ("H.M.", (MEAN, percent)),
    ]
    blocks: list[Block] = []
    if baselines:
        blocks.append(WORDS.grid("every.baselines", baselines, [("encoder", "encoder"), *columns], fold=True, left=5))
    blocks.append(WORDS.grid("every.grid", rows, columns, fold=True, left=4))
    return WORDS.section("every", blocks)
