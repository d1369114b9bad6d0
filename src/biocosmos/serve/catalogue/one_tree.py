"""One tree of the names of the collection, of the answers of machines and of what people added."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from biocosmos.errors import BiocosmosError
from biocosmos.serve.catalogue.people import Called
from biocosmos.specimens.rank_order import merge_orders
from biocosmos.taxonomy import Taxonomy

FINEST = "label"
"""The rank of a name that is told without one."""
Int32 = npt.NDArray[np.int32]


def nodes_called(tree: Taxonomy, name: str, rank: str | None) -> Int32:
    """Nodes of exactly this name, of the rank if one is told; without labels that repeat the taxon above them."""
    found = np.flatnonzero(pc.equal(tree.name_array, name).to_numpy(zero_copy_only=False)).astype(np.int32)
    found = found[found > 0]
    if rank is not None:
        return np.asarray(found[tree.rank[found] == tree.rank_index(rank)])
    return np.asarray(found[~tree.repeats[found]])


def one_tree(
    stored: Taxonomy | None, answered: Taxonomy | None, used: Int32, said: Iterable[Called | None]
) -> tuple[Taxonomy, Int32, Int32]:
    """The tree of everything, and of each node of the two trees its node there. used: nodes of the answers that any specimen has;
    the others are left out, and 0."""
    names = {(each.taxon, each.rank) for each in said if each is not None and each.taxon is not None}
    ranks: tuple[str, ...] = stored.ranks if stored is not None else ()
    ranks = _merged(ranks, answered.ranks if answered is not None else ())
    if not ranks:
        ranks = (FINEST,)
    parts = [_rows(stored, ranks)] if stored is not None else []
    moved, extra = _placed(answered, stored, used, ranks)
    if extra.num_rows:
        parts.append(extra)
    known = Taxonomy.from_table(pa.concat_tables(parts), ranks=ranks) if parts else None
    if added := _added(names, known, ranks):
        parts.append(added)
    empty = pa.table({rank: pa.array([], pa.string()) for rank in ranks})
    tree = Taxonomy.from_table(pa.concat_tables([*parts, empty]), ranks=ranks)
    none: Int32 = np.zeros(1, np.int32)
    label_map = none if stored is None else np.maximum(tree.index(_rows(stored, ranks)), 0)
    return tree, label_map, none if moved is None else np.maximum(tree.index(moved), 0)


def grown(tree: Taxonomy, said: Iterable[Called]) -> tuple[Taxonomy, Int32]:
    """The tree with the names that it lacks, and of each node its node there."""
    added = _added({(each.taxon, each.rank) for each in said if each.taxon is not None}, tree, tree.ranks)
    if added is None:
        return tree, np.arange(len(tree), dtype=np.int32)
    rows = _rows(tree, tree.ranks)
    whole = Taxonomy.from_table(pa.concat_tables([rows, added]), ranks=tree.ranks)
    return whole, np.maximum(whole.index(rows), 0)


def _merged(ranks: tuple[str, ...], more: tuple[str, ...]) -> tuple[str, ...]:
    try:
        return merge_orders(ranks, more) if ranks and more else ranks or more
    except BiocosmosError:  # what another order cannot say is left out of the paths of the answers
        return ranks


def _rows(tree: Taxonomy, ranks: Sequence[str]) -> pa.Table:
    table, null = tree.rank_table(np.arange(len(tree))), pa.nulls(len(tree), pa.string())
    return pa.table({rank: table[rank] if rank in tree.ranks else null for rank in ranks})


def _placed(
    answered: Taxonomy | None, stored: Taxonomy | None, used: Int32, ranks: Sequence[str]
) -> tuple[pa.Table | None, pa.Table]:
    """(a row per node of the answers: where it is in the whole tree; those that are used and that the collection lacks).

    A taxon that the collection has under another path, by rank and name once, is that taxon: models and collections differ in
    the ranks between."""
    empty = pa.table({rank: pa.array([], pa.string()) for rank in ranks})
    moved: pa.Table
    if answered is None:
        return None, empty
    rows = _rows(answered, ranks)
    if stored is None:
        return rows, rows.take(pa.array(used))
    at = stored.index(rows)
    paths = rows.to_pylist()
    for node in range(1, len(answered)):
        rank, name = answered.ranks[answered.rank[node]], str(answered.names[node])
        if at[node] >= 0 and rank in stored.ranks:
            continue
        found = nodes_called(stored, name, rank).tolist() if rank in stored.ranks else []
        if len(found) == 1:
            paths[node] = dict.fromkeys(ranks) | dict(zip(stored.ranks, stored.path(found[0])))
            at[node] = found[0]
        else:
            paths[node] = paths[int(answered.parent[node])] | {rank: name}
            at[node] = -1
    moved = pa.Table.from_pylist(paths, schema=empty.schema)
    return moved, moved.take(pa.array(used[at[used] < 0]))


def _added(names: Iterable[tuple[str, str | None]], known: Taxonomy | None, ranks: Sequence[str]) -> pa.Table | None:
    """Rows for the names of people that the tree lacks, by their rank alone."""
    rows = []
    for name, rank in sorted(names, key=str):
        rank = rank if rank in ranks else None
        if known is None or not len(nodes_called(known, name, rank)):
            rows.append(dict.fromkeys(ranks) | {rank or (FINEST if FINEST in ranks else ranks[-1]): name})
    return pa.Table.from_pylist(rows, schema=pa.schema([(rank, pa.string()) for rank in ranks])) if rows else None
