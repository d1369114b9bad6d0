"""What a page across modalities shows of places and whatever else is bound: own counterparts, and names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from biocosmos.evaluate.pages.blocks import Block, Figure, Section
from biocosmos.evaluate.pages.heat import heat
from biocosmos.evaluate.pages.rows import interval, of_column, pick
from biocosmos.evaluate.pages.svg import percent
from biocosmos.evaluate.pages.words import Words

Row = dict[str, Any]
WORDS = Words(__package__)
PARTS = ("seen", "unseen")
K = 10


def counterparts_section(rows: Sequence[Row]) -> Section:
    """A heat table of R@10 and a table of all."""
    mine = [row for row in rows if (row["k"], row["average"]) == (K, "micro")]
    queries, keys = (list(dict.fromkeys(row[name] for row in mine)) for name in ("query", "key"))
    table = [[pick(mine, query=query, key=key) for key in keys] for query in queries]
    values = [[float("nan") if row is None else row["value"] for row in line] for line in table]
    tips = [["" if row is None else _tip(row) for row in line] for line in table]
    title = f"R@{K} of the own counterpart: query down, key across"
    drawn = heat(title, [shown(each) for each in queries], [shown(each) for each in keys], values, tips)
    columns = [
        *(("query", ("query", shown)), ("key", ("key", shown)), ("average", "average"), ("k", "k"), ("R@k", interval)),
        *(("by chance", ("chance", percent)), ("by the commonest", ("commonest", percent))),
        *(("specimens", "specimens"), ("answers", "answers"), ("median rank", ("median_rank", lambda rank: f"{rank:g}"))),
    ]
    blocks: list[Block] = [Figure(drawn, WORDS("counterparts.figure", k=K))]
    blocks.append(WORDS.grid("counterparts.grid", rows, columns, fold=True, left=3))
    return WORDS.section("counterparts", blocks)


def names_section(rows: Sequence[Row]) -> Section:
    """A heat table of each part, queries down and ranks across, and a table of all."""
    mine = [row for row in rows if (row["k"], row["average"]) == (1, "micro")]
    queries, ranks = (list(dict.fromkeys(row[name] for row in mine)) for name in ("query", "rank"))
    blocks: list[Block] = []
    for part in PARTS:
        table = [[pick(mine, query=query, rank=rank) for rank in ranks] for query in queries]
        values = [[float("nan") if row is None else row[part] for row in line] for line in table]
        if all(value != value for line in values for value in line):
            continue
        tips = [["" if row is None else f"{percent(row[f'{part}_chance'])} by chance" for row in line] for line in table]
        drawn = heat(f"Named right, {part} species: query down, rank across", [shown(q) for q in queries], ranks, values, tips)
        blocks.append(Figure(drawn, WORDS("names.figure", part=part)))
    columns = [
        *(("query", ("query", shown)), ("rank", "rank"), ("average", "average"), ("k", "k")),
        *((part, lambda row, part=part: of_column(row, part)) for part in PARTS),
        *((f"by chance, {part}", (f"{part}_chance", percent)) for part in PARTS),
    ]
    blocks.append(WORDS.grid("names.grid", rows, columns, fold=True, left=3))
    return WORDS.section("names", blocks)


def sums_section(rows: Sequence[Row]) -> Section:
    """A table of weights and what they give."""
    columns = [
        *(("query", ("query", shown)), ("asked of", ("key", {"sum": "their like", "name": "names"}.get)), ("rank", "rank")),
        *(("weight", ("weight", lambda weight: f"{weight:g}")), ("right at it", interval), ("weight 0", ("alone", percent))),
        *(("weight 1", ("plain", percent)), ("on validation", ("validation", percent)), ("specimens", "specimens")),
    ]
    return WORDS.section("sums", [WORDS.grid("sums.grid", rows, columns, left=3)])


def _tip(row: Row) -> str:
    return f"{interval(row)}, {percent(row['chance'])} by chance, {percent(row['commonest'])} by the commonest"


def shown(kind: str) -> str:
    """A modality, or a sum of several, as people write it."""
    return kind.replace("dna", "DNA")
