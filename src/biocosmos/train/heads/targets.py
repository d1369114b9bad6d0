"""What a head learns: the tree of the chosen ranks, its classes, and the node of each training specimen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from biocosmos.errors import BiocosmosError
from biocosmos.specimens.collection import Collection
from biocosmos.taxonomy import Taxonomy
from biocosmos.train.batches.taxa import chosen_ranks, nodes_under, tree_of

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

    def beside(self, attributes: dict[str, Any]) -> HeadTargets:
        """The same with the facts of what attributes learn beside them."""
        return replace(self, facts={**self.facts, "attributes": attributes})

    def take(self, rows: Any) -> HeadTargets:
        """The same of some rows: numbers or a mask."""
        return replace(self, ids=self.ids[rows], nodes=self.nodes[rows])

    def names(self) -> list[str]:
        """The path of each class, for people."""
        return [self.taxonomy.path_text(int(node), " / ") for node in self.classes]


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
