"""What a head learns: the tree of the chosen ranks, its classes, and the node of each training specimen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from biocosmos.errors import BiocosmosError
from biocosmos.specimens.collection import Collection
from biocosmos.tables import replacing
from biocosmos.taxonomy import Taxonomy

OUTLIER = -1
"""Target of a specimen whose answer is to be flat."""


@dataclass(frozen=True)
class HeadTargets:
    """Targets of the specimens of one part.

    ids: (n,) object; nodes: (n,) int64 deepest known node of ``taxonomy``, or :data:`OUTLIER`; taxonomy: of all specimens of the
    collection over the chosen ranks; classes: (C,) int32 ascending nodes; facts: what was left out and why, JSON-ready.
    """

    ids: npt.NDArray[np.object_]
    nodes: npt.NDArray[np.int64]
    taxonomy: Taxonomy
    classes: npt.NDArray[np.int32]
    facts: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def known(self) -> npt.NDArray[np.bool_]:
        """(n,) whether the specimen is of a class."""
        return self.nodes > 0

    def names(self) -> list[str]:
        """The path of each class, for people."""
        return [" / ".join(name for name in self.taxonomy.path(int(node)) if name) for node in self.classes]


def chosen_ranks(collection: Collection, ranks: Sequence[str]) -> tuple[str, ...]:
    """The ranks of a head: those asked for, or all of the collection's.

    Raises BiocosmosError for a column the collection does not have, one named twice, and a rank that no specimen has a name at.
    """
    if not ranks:
        ranks = collection.ranks
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


def head_targets(
    collection: Collection,
    *,
    ranks: Sequence[str] = (),
    split: str = "train",
    leave_out: Sequence[str] = (),
    outlier_taxa: Sequence[str] = (),
) -> HeadTargets:
    """Targets of the part ``split``; specimens without a name, and those under ``leave_out``, are not in it.

    Raises BiocosmosError for fewer than two classes, unknown taxa, and what :func:`chosen_ranks` refuses.
    """
    ranks = chosen_ranks(collection, ranks)
    taxonomy = tree_of(collection, ranks)
    table = collection.table(["id", *ranks], split=split)
    nodes = taxonomy.index(table).astype(np.int64)
    ids = np.array(table["id"].to_pylist(), object)
    left = nodes_under(taxonomy, leave_out)[np.maximum(nodes, 0)]
    outlier = nodes_under(taxonomy, outlier_taxa)[np.maximum(nodes, 0)] & ~left
    keep = (nodes > 0) & ~left
    facts = {
        "ranks": list(ranks),
        "left_out": {
            "unlabelled": int((nodes <= 0).sum()),
            "taxa": list(leave_out),
            "specimens": int((left & (nodes > 0)).sum()),
        },
        "known_outliers": {"taxa": list(outlier_taxa), "specimens": int((outlier & (nodes > 0)).sum())},
    }
    nodes = np.where(outlier, OUTLIER, nodes)[keep]
    ids = ids[keep]
    order = np.argsort(ids.astype(str), kind="stable")
    classes = np.unique(nodes[nodes > 0]).astype(np.int32)
    if len(classes) < 2:
        one = taxonomy.name(int(classes[0])) if len(classes) else "none"
        raise BiocosmosError(
            f"the training part '{split}' has {len(classes)} class ({one}) at ranks {', '.join(ranks)}: a head needs at least two"
        )
    return HeadTargets(ids[order], nodes[order], taxonomy, classes, facts)


def save_targets(targets: HeadTargets, path: Any) -> None:
    """Id and class of every training specimen, as Parquet: what was learnt, so that it can be kept out of a measurement."""
    names = pa.array(targets.taxonomy.name(np.maximum(targets.nodes, 0)), pa.string())
    table = pa.table({"id": pa.array(targets.ids, pa.string()), "node": pa.array(targets.nodes), "taxon": names})
    with replacing(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")
