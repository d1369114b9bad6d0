"""The taxa of a training part: the ranks that are learnt, their tree, and what each specimen is in it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from biocosmos.errors import BiocosmosError
from biocosmos.specimens.collection import Collection
from biocosmos.tables import replacing
from biocosmos.taxonomy import Taxonomy


def chosen_ranks(collection: Collection, ranks: Sequence[str]) -> tuple[str, ...]:
    """The ranks of a head: those asked for, or all of the collection's at which something has a name.

    Raises BiocosmosError for a column the collection does not have, one named twice, and a rank that no specimen has a name at.
    """
    if not ranks:
        named = set(collection.taxonomy.rank.tolist()) if collection.ranks else set()
        ranks = [rank for place, rank in enumerate(collection.ranks) if place in named]
    if not ranks:
        raise BiocosmosError(f"{collection.path} has no ranks: name columns with --ranks, coarsest first, such as group,label")
    columns = collection.stored_columns
    for rank in ranks:
        if rank not in columns:
            raise BiocosmosError(f"{collection.path} has no column '{rank}': --ranks may name {', '.join(columns)}")
    if len(set(ranks)) != len(ranks):
        raise BiocosmosError(f"--ranks {','.join(ranks)} names a rank twice")
    return tuple(ranks)


def tree_of(collection: Collection, ranks: Sequence[str]) -> Taxonomy:
    """The tree of all specimens over the ranks. Raises BiocosmosError, naming the rank, where none has a name."""
    table = collection.table(list(ranks))
    for rank in ranks:
        if table[rank].null_count == len(table):
            raise BiocosmosError(f"no specimen of {collection.path} has a name at rank '{rank}': leave it out of --ranks")
    return Taxonomy.from_table(table, tuple(ranks))


def nodes_under(taxonomy: Taxonomy, names: Sequence[str]) -> npt.NDArray[np.bool_]:
    """(N,) whether a node is one of the named taxa or under one."""
    inside = np.zeros(len(taxonomy), np.bool_)
    for name in names:
        inside[taxonomy.slice(int(taxonomy.find(name)))] = True
    return inside


def save_taxa(path: Path, ids: npt.NDArray[np.object_], nodes: npt.NDArray[np.int64], taxonomy: Taxonomy) -> None:
    """Id, node and name of every training specimen, as Parquet, for people. nodes: (n,) of ``taxonomy``, below 0 for no taxon."""
    names = pa.array(taxonomy.name(np.maximum(nodes, 0)), pa.string())
    table = pa.table({"id": pa.array(ids, pa.string()), "node": pa.array(nodes), "taxon": names})
    with replacing(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")
