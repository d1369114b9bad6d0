"""One call for every clustering."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from biocosmos.discover.clusters.methods import labels_of
from biocosmos.discover.clusters.settings import ClusterSettings
from biocosmos.discover.clusters.spaces import space
from biocosmos.errors import BiocosmosError
from biocosmos.provenance import software
from biocosmos.search.graph import Neighbours
from biocosmos.search.vectors import as_matrix
from biocosmos.settings import told

Array = npt.NDArray[Any]
NOISE = -1


@dataclass(frozen=True, eq=False)
class Clustering:
    """Which row is in which cluster.

    labels: (n,) int32, clusters numbered from 0 by size, equal sizes by their lowest row, -1 for noise; reduced: (n, p) float32,
    the space that was clustered; provenance: settings, software, what the caller added.
    """

    labels: Array
    reduced: Array
    settings: ClusterSettings
    provenance: dict[str, Any] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """How many clusters."""
        return int(self.labels.max(initial=NOISE)) + 1

    @property
    def sizes(self) -> Array:
        """(count,) int64 rows of each cluster."""
        return np.bincount(self.labels[self.labels >= 0], minlength=self.count)

    @property
    def noise(self) -> int:
        """Rows in no cluster."""
        return int((self.labels < 0).sum())


def cluster(
    vectors: Any,
    settings: ClusterSettings | None = None,
    *,
    graph: Neighbours | None = None,
    reduced: Array | None = None,
    **options: Any,
) -> Clustering:
    """Cluster the rows of ``vectors`` (n, d), any float type; the same seed gives the same clusters.

    settings, or as options: see :class:`ClusterSettings`. graph: the neighbours of the rows that are clustered, where they are
    known (louvain, leiden without a reducer). reduced: (n, p) the space of an earlier call with the same settings of it.

    Raises BiocosmosError for no rows, rows that are not finite, fewer rows than clusters, a library that is missing (it says
    which to install), and where the method would need too much memory; SettingError for a setting that it does not use.
    """
    settings = told(ClusterSettings, **options) if settings is None else settings
    x = as_matrix(vectors, what="vectors to cluster").numpy()
    if not len(x):
        raise BiocosmosError("there is nothing to cluster: no specimen was selected that has a vector")
    if not np.isfinite(x).all():
        row = int(np.flatnonzero(~np.isfinite(x).all(axis=1))[0])
        raise BiocosmosError(f"row {row} of the vectors has a number that is not finite: leave it out, or embed it again")
    if graph is not None and (settings.reducer != "none" or len(graph.rows) != len(x)):
        raise BiocosmosError("a graph is of the rows that are clustered: give it with reducer='none' and the same rows")
    if reduced is None:
        reduced = space(x, settings)
    elif len(reduced) != len(x):
        raise BiocosmosError(f"the reduced space has {len(reduced):,} rows and the vectors {len(x):,}: they must be the same")
    labels = numbered(labels_of(reduced, settings, graph))
    return Clustering(labels, reduced, settings, {"clustering": asdict(settings), "software": software()})


def numbered(labels: Array) -> Array:
    """(n,) int32: the clusters of any labels numbered by size, equal sizes by their lowest row; below 0 stays -1."""
    out = np.full(len(labels), NOISE, np.int32)
    kept = labels >= 0
    if not kept.any():
        return out
    _, first, codes, sizes = np.unique(labels[kept], return_index=True, return_inverse=True, return_counts=True)
    place = np.empty(len(sizes), np.int32)
    place[np.lexsort((first, -sizes))] = np.arange(len(sizes), dtype=np.int32)
    out[kept] = place[codes.reshape(-1)]
    return out
