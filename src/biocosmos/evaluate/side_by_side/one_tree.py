"""Namers over different trees of one collection, put on the ranks they share, in one order of specimens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from biocosmos.errors import BiocosmosError
from biocosmos.evaluate.ranks.asked import Asked
from biocosmos.evaluate.ranks.names import Names
from biocosmos.evaluate.ranks.report import split_facts
from biocosmos.taxonomy import Taxonomy

Array = npt.NDArray[Any]
Pair = tuple[Asked, Names]


def together(pairs: Mapping[str, Pair], branch: str | None = None) -> tuple[Asked, list[Names]]:
    """What is asked of all, and what each said, in the first one's order.

    Trees that differ are cut to the ranks that all have. A specimen is answerable when every namer knows its taxon. Raises
    BiocosmosError where specimens, truths or split hashes differ, and where no rank is shared.
    """
    pairs = _on_one_tree(pairs)
    first, (base, lead) = next(iter(pairs.items()))
    place = {id_: row for row, id_ in enumerate(base.ids.tolist())}
    if len(place) < len(base.ids):
        raise BiocosmosError(f"{first} answers some specimens twice: predict each once")
    found, able = [], base.able
    for name, (asked, named) in pairs.items():
        order = _order(place, asked, first, name)
        if not np.array_equal(asked.truth[order], base.truth):
            raise BiocosmosError(f"{name} and {first} have different true taxa: predict both from one version of the collection")
        hashes = [split_facts(one)["split_hash"] for one in (named, lead)]
        if None not in hashes and hashes[0] != hashes[1]:
            raise BiocosmosError(f"{name} and {first} come from two splits ({hashes[0]} and {hashes[1]}): predict both from one")
        able = able & asked.able
        found.append(_reordered(named, order))
    rank = base.taxonomy.ranks[base.taxonomy.rank_index(0 if branch is None else branch)]
    return replace(base, able=able, branch_rank=rank, knows=all(asked.knows for asked, _ in pairs.values())), found


def _order(place: Mapping[str, int], asked: Asked, first: str, name: str) -> Array:
    """(n,) rows of ``asked`` in the first one's order."""
    ids = asked.ids.tolist()
    strange = next((id_ for id_ in ids if id_ not in place), None)
    if len(ids) != len(place) or strange is not None or len(set(ids)) < len(ids):
        which = f"{strange} is not among those of {first}" if strange is not None else f"{len(ids):,} against {len(place):,}"
        raise BiocosmosError(f"{name} and {first} answer different specimens ({which}): predict the same part with both")
    order = np.empty(len(ids), np.int64)
    order[[place[id_] for id_ in ids]] = np.arange(len(ids))
    return order


def _reordered(named: Names, order: Array) -> Names:
    def rows(part: Array | None) -> Array | None:
        return None if part is None else part[order]

    return replace(
        named,
        said=named.said[order],
        p=rows(named.p),
        raw=rows(named.raw),
        place=None if named.place is None else tuple(part[order] for part in named.place),
        ways={way: said[order] for way, said in named.ways.items()},
        stop=rows(named.stop),
        sure=rows(named.sure),
        novelty=rows(named.novelty),
        flagged=rows(named.flagged),
        table=None if named.table is None else named.table.take(pa.array(order)),
    )


def _on_one_tree(pairs: Mapping[str, Pair]) -> Mapping[str, Pair]:
    """The same pairs over one tree: their own if it is one, else that of the shared ranks."""
    trees = {asked.taxonomy.digest: asked.taxonomy for asked, _ in pairs.values()}
    if len(trees) == 1:
        return pairs
    first, *others = trees.values()
    ranks = [rank for rank in first.ranks if all(rank in other.ranks for other in others)]
    if not ranks:
        raise BiocosmosError(
            f"{' and '.join(pairs)} name no rank in common ({'; '.join(', '.join(tree.ranks) for tree in trees.values())}): "
            "there is nothing to compare"
        )
    tables = {digest: _paths(tree, ranks) for digest, tree in trees.items()}
    common = Taxonomy.from_table(pa.concat_tables(tables.values()), ranks)
    moved = {digest: np.maximum(common.index(table), 0).astype(np.int64) for digest, table in tables.items()}
    return {name: _moved(asked, named, common, moved[asked.taxonomy.digest]) for name, (asked, named) in pairs.items()}


def _paths(tree: Taxonomy, ranks: Sequence[str]) -> pa.Table:
    """The path of every node of a tree over some of its ranks."""
    lines = tree.lineage(np.arange(len(tree)))
    columns = {}
    for rank in ranks:
        nodes = lines[:, tree.rank_index(rank)]
        columns[rank] = pa.array([None if node < 0 else str(tree.names[node]) for node in nodes], pa.string())
    return pa.table(columns)


def _moved(asked: Asked, named: Names, common: Taxonomy, place: Array) -> Pair:
    """A pair over ``common``; place: (nodes,) where each node of its own tree lies there."""
    columns = [asked.taxonomy.rank_index(rank) for rank in common.ranks]

    def said(nodes: Array) -> Array:
        """(n, ranks) nodes of the common tree."""
        picked = nodes[:, columns]
        return np.where(picked >= 0, place[np.maximum(picked, 0)], -1).astype(np.int32)

    able = np.zeros(len(common), bool)
    able[place[np.flatnonzero(asked.able)]] = True
    truth = np.where(asked.truth > 0, place[np.maximum(asked.truth, 0)], asked.truth)
    there = Asked(asked.ids, common, truth, able, common.ranks[0], asked.knows)
    moved = replace(
        named,
        said=said(named.said),
        p=None if named.p is None else named.p[:, columns],
        raw=None if named.raw is None else named.raw[:, columns],
        place=None if named.place is None else tuple(named.place[column] for column in columns),
        ways={way: said(nodes) for way, nodes in named.ways.items()},
        stop=None if named.stop is None else place[named.stop],
        sure=None if named.sure is None else place[named.sure],
    )
    return there, moved
