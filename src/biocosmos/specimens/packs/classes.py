"""What is known of each class: how many specimens, and mean and variance of their vectors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from biocosmos.search.gallery import Gallery
from biocosmos.taxonomy import Taxonomy

_BLOCK = 1 << 14


@dataclass(frozen=True, eq=False)
class Classes:
    """nodes: (C,) int32 ascending, of a taxonomy; counts: (C,) int64; mean, variance: (C, d) float64, the variance over n, so
    that classes of two packs can be joined exactly."""

    nodes: npt.NDArray[np.int32]
    counts: npt.NDArray[np.int64]
    mean: npt.NDArray[np.float64]
    variance: npt.NDArray[np.float64]

    @classmethod
    def of(cls, gallery: Gallery) -> Classes:
        """Of the labelled rows of a gallery: a class is a deepest named taxon."""
        assert gallery.taxa is not None
        labelled = gallery.taxa > 0
        nodes, place = np.unique(gallery.taxa[labelled], return_inverse=True)
        counts = np.bincount(place, minlength=len(nodes))
        starts = np.flatnonzero(labelled)[np.concatenate([[0], np.cumsum(counts)[:-1]])] if len(nodes) else np.empty(0, np.int64)
        mean = np.zeros((len(nodes), gallery.dim))
        variance = np.zeros_like(mean)
        for c, (start, count) in enumerate(zip(starts, counts)):  # rows of a taxon are one slice
            for a in range(start, start + count, _BLOCK):
                mean[c] += gallery.vectors[a : min(a + _BLOCK, start + count)].sum(axis=0, dtype=np.float64)
            mean[c] /= count
            for a in range(start, start + count, _BLOCK):
                away = gallery.vectors[a : min(a + _BLOCK, start + count)] - mean[c]
                variance[c] += np.einsum("ij,ij->j", away, away)
            variance[c] /= count
        return cls(nodes.astype(np.int32), counts.astype(np.int64), mean, variance)

    @property
    def shares(self) -> npt.NDArray[np.float64]:
        """(C,) of the specimens learnt from; they sum to 1."""
        return self.counts / max(int(self.counts.sum()), 1)

    def table(self, taxonomy: Taxonomy) -> pa.Table:
        """A row for each class: its names at every rank, count and share."""
        table = taxonomy.rank_table(self.nodes)
        columns = {"taxon": pa.array([taxonomy.path_text(int(node)) for node in self.nodes], pa.string())}
        columns |= {rank: table[rank] for rank in taxonomy.ranks}
        return pa.table({**columns, "count": pa.array(self.counts), "share": pa.array(self.shares)})
