"""The barcodes of a training part, each once, with what is known of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from biocosmos.errors import BiocosmosError
from biocosmos.specimens.collection import Collection
from biocosmos.taxonomy import Taxonomy

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class BarcodeRows:
    """Barcodes of one part: a barcode that several specimens of one taxon share is one row, as in BarcodeBERT's data.

    ids: (n,) object, the first specimen of each; barcodes: (n,) of str; nodes: (n,) int64 deepest taxon, 0 for none; taxonomy: of
    all specimens of the collection; specimens: all ids the rows stand for; facts: counts for people.
    """

    ids: npt.NDArray[np.object_]
    barcodes: list[str]
    nodes: npt.NDArray[np.int64]
    taxonomy: Taxonomy
    specimens: list[str]
    facts: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.ids)

    def labels(self, rank: str) -> npt.NDArray[np.int64]:
        """(n,) node at a rank, -1 where none is known. Raises BiocosmosError for a rank the collection does not have."""
        return self.taxonomy.ancestor(self.nodes, rank).astype(np.int64)

    def take(self, rows: Array) -> BarcodeRows:
        """Some of them."""
        barcodes = [self.barcodes[row] for row in rows]
        return BarcodeRows(self.ids[rows], barcodes, self.nodes[rows], self.taxonomy, self.specimens, self.facts)


def barcode_rows(collection: Collection, split: str, *, named_at: Sequence[str] = ()) -> BarcodeRows:
    """The barcodes of the part ``split``, by ascending id.

    named_at: only specimens with a name at one of these ranks. Raises BiocosmosError, naming what is missing, for none.
    """
    taxonomy = collection.taxonomy if collection.ranks else Taxonomy.from_table({"none": [None]}, ("none",))
    for rank in named_at:
        taxonomy.rank_index(rank)
    table = collection.table(["id", "barcode", *collection.ranks], split=split)
    barcodes = table["barcode"].to_pylist()
    nodes = np.maximum(taxonomy.index(table).astype(np.int64), 0) if collection.ranks else np.zeros(len(table), np.int64)
    ids = table["id"].to_pylist()
    named = np.ones(len(ids), bool)
    if named_at:
        named = np.any([taxonomy.ancestor(nodes, rank) >= 0 for rank in named_at], axis=0)
    first: dict[tuple[str, int], int] = {}
    specimens, without = [], 0
    for row in sorted(range(len(ids)), key=lambda row: str(ids[row])):
        barcode = (barcodes[row] or "").upper().strip("N-")
        if not barcode:
            without += 1
        elif named[row]:
            specimens.append(str(ids[row]))
            first.setdefault((barcode, int(nodes[row])), row)
    facts = {
        "specimens": len(specimens),
        "barcodes": len(first),
        "left_out": {"without a barcode": without, "without a name": len(ids) - without - len(specimens)},
    }
    if not first:
        what = f"a barcode and a name at {' or '.join(named_at)}" if named_at else "a barcode"
        raise BiocosmosError(f"no specimen of part '{split}' has {what}: name another part, or ingest barcodes")
    rows = list(first.values())
    kept = np.array([str(ids[row]) for row in rows], object)
    return BarcodeRows(kept, [barcode for barcode, _ in first], nodes[rows], taxonomy, specimens, facts)
