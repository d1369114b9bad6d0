"""Which ranks belong to a name, as the specimens of a collection have them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from biocosmos.specimens.collection import Collection

Lineage = Mapping[str, str | None]
"""Rank -> name; None where the rank is not known."""
LABEL = "label"


class Lineages:
    """The ranks of labels and taxa in one version of a collection."""

    def __init__(self, collection: Collection) -> None:
        self._ranks, self._dataset = collection.ranks, collection.dataset
        self._taxonomy = collection.taxonomy

    def of_label(self, label: str | None) -> tuple[Lineage | None, str]:
        """The ranks of a label, and why there are none: what all specimens of this label have, else those of the taxon that alone
        is called so."""
        if label is None:
            return None, "the label was cleared, and the ranks stay as they are"
        found = self._by_label.get(label, [])
        known = [lineage for lineage in found if any(lineage[rank] is not None for rank in self._ranks if rank != LABEL)]
        if len(known) == 1:
            return known[0], ""
        if len(known) > 1:
            return None, f"the label '{label}' has specimens in {len(known)} places of the tree: the ranks were left as they were"
        nodes = np.flatnonzero(self._taxonomy.names == label)
        nodes = nodes[nodes > 0]
        if len(nodes) == 1:
            path = self._taxonomy.path(int(nodes[0]))
            return dict(zip(self._taxonomy.ranks, path)), ""
        if len(nodes) > 1:
            return None, f"{len(nodes)} taxa are called '{label}': the ranks were left as they were"
        return (
            None,
            f"the collection knows no ranks of the label '{label}': they were left as they were; give them, or --taxonomy",
        )

    @cached_property
    def _by_label(self) -> dict[str, list[Lineage]]:
        names = list(dict.fromkeys([LABEL, *self._ranks]))
        parts = [
            pa.Table.from_batches([batch]).group_by(names).aggregate([]) for batch in self._dataset.to_batches(columns=names)
        ]
        found: dict[str, list[Lineage]] = {}
        if parts:
            for row in pa.concat_tables(parts).group_by(names).aggregate([]).to_pylist():
                if row[LABEL] is not None:
                    found.setdefault(row[LABEL], []).append({rank: row[rank] for rank in self._ranks})
        return found
