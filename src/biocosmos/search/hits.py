"""What a search found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from biocosmos.errors import BiocosmosError

if TYPE_CHECKING:
    from biocosmos.search.gallery import Gallery

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, eq=False)
class Hits:
    """The neighbours of each query in a gallery.

    rows: (q, k) int64 gallery rows, best first, -1 where fewer than k were allowed; scores: (q, k) float32 cosine in [-1, 1],
    -inf there; certified: (q,) bool, True where the first pass was proved exact, False where the query was repaired by a wider
    one (its rows are exact all the same); provenance: the gallery's, and under "search" how the answer was found.
    """

    gallery: Gallery
    rows: Array
    scores: Array
    certified: Array
    provenance: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def ids(self) -> Array:
        """(q, k) object array of str, None where there is no row."""
        return self._take(self.gallery.ids, None)

    @property
    def taxa(self) -> Array:
        """(q, k) int32 taxon node ids, -1 where there is no row."""
        if self.gallery.taxa is None:
            raise BiocosmosError("this gallery has no taxa: build it with rank columns to know its neighbours' taxa")
        taxa: Array = self._take(self.gallery.taxa, -1)
        return taxa

    def _take(self, values: Array, missing: Any) -> Array:
        if len(values) == 0:
            return np.full(self.rows.shape, missing, values.dtype)
        out: Array = values[np.maximum(self.rows, 0)]
        out[self.rows < 0] = missing
        return out

    def table(self, query_ids: Sequence[Any] | None = None) -> pa.Table:
        """One row for each neighbour: query, position (1 = nearest), id, score, taxon name, then the gallery's own columns."""
        names = [str(i) for i in range(len(self))] if query_ids is None else [str(i) for i in query_ids]
        if len(names) != len(self):
            raise BiocosmosError(f"{len(names)} query ids for {len(self)} queries: pass one for each")
        query, position = np.nonzero(self.rows >= 0)
        rows = self.rows[query, position]
        parts: dict[str, Any] = {
            "query": pa.array(names, pa.string()).take(pa.array(query)),
            "position": pa.array(position + 1, pa.int32()),
            "id": pa.array(self.gallery.ids[rows].tolist(), pa.string()),
            "score": pa.array(self.scores[query, position], pa.float32()),
        }
        if self.gallery.taxa is not None and self.gallery.taxonomy is not None:
            taxa = self.gallery.taxa[rows]
            nodes, place = np.unique(np.maximum(taxa, 0), return_inverse=True)
            labels = [str(self.gallery.taxonomy.names[int(node)]) for node in nodes]
            parts["taxon"] = pa.array([labels[i] if t > 0 else None for i, t in zip(place, taxa)], pa.string())
        if self.gallery.columns is not None:
            own = self.gallery.columns.take(pa.array(rows))
            for name in own.column_names:
                parts.setdefault(name, own.column(name))
        return pa.table(parts)
