"""How far clusters and taxa are the same partition of the specimens.

truth, found: (n,) whole numbers, the taxon and the cluster of every specimen; their names and order mean nothing. A taxon below 0
is null, and such rows are left out. A cluster of -1 is HDBSCAN's or OPTICS' noise: the study "An empirical study into clustering
of unseen datasets with self-supervised encoders" (Lowe et al. 2024, https://arxiv.org/abs/2406.02465) counts it as one cluster,
as is done here; with ``noise="left out"`` only clustered rows are scored. The scores are scikit-learn's.

Nothing to compare (no row with a taxon, or none clustered) is NaN. One taxon only, all in one cluster, is 1, as everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from biocosmos.discover.choice.internal import Noise, calinski_harabasz, davies_bouldin, silhouette, silhouettes
from biocosmos.errors import BiocosmosError

__all__ = [
    "EXTERNAL",
    "ami",
    "ari",
    "calinski_harabasz",
    "completeness",
    "davies_bouldin",
    "external",
    "fowlkes_mallows",
    "homogeneity",
    "share_clustered",
    "silhouette",
    "silhouettes",
    "v_measure",
]

Array = npt.NDArray[Any]
EXTERNAL = ("ami", "ari", "fowlkes_mallows", "homogeneity", "completeness", "v_measure")
"""Scores of two partitions, in the order of tables; the first is the main one."""


def ami(truth: Array, found: Array, *, noise: Noise = "cluster") -> float:
    """Adjusted mutual information: (MI - E[MI]) / (mean of both entropies - E[MI]), E over partitions of these sizes at random; 1
    where they are the same, 0 on average by chance (Vinh, Epps & Bailey 2010, https://jmlr.org/papers/v11/vinh10a.html)."""
    from sklearn.metrics import adjusted_mutual_info_score

    return _score(adjusted_mutual_info_score, truth, found, noise)


def ari(truth: Array, found: Array, *, noise: Noise = "cluster") -> float:
    """Adjusted Rand index: pairs on which both agree, corrected for chance; in [-0.5, 1], weighed by the largest taxa (Hubert &
    Arabie 1985, https://doi.org/10.1007/BF01908075)."""
    from sklearn.metrics import adjusted_rand_score

    return _score(adjusted_rand_score, truth, found, noise)


def fowlkes_mallows(truth: Array, found: Array, *, noise: Noise = "cluster") -> float:
    """sqrt(precision x recall) of pairs that are together, in [0, 1], not corrected for chance (Fowlkes & Mallows 1983)."""
    from sklearn.metrics import fowlkes_mallows_score

    return _score(fowlkes_mallows_score, truth, found, noise)


def homogeneity(truth: Array, found: Array, *, noise: Noise = "cluster") -> float:
    """1 - H(taxon | cluster) / H(taxon): 1 where every cluster has one taxon; not corrected for chance, and 1 for clusters of one
    (Rosenberg & Hirschberg 2007, https://aclanthology.org/D07-1043)."""
    from sklearn.metrics import homogeneity_score

    return _score(homogeneity_score, truth, found, noise)


def completeness(truth: Array, found: Array, *, noise: Noise = "cluster") -> float:
    """1 - H(cluster | taxon) / H(cluster): 1 where every taxon is in one cluster; not corrected for chance."""
    from sklearn.metrics import completeness_score

    return _score(completeness_score, truth, found, noise)


def v_measure(truth: Array, found: Array, *, noise: Noise = "cluster") -> float:
    """The harmonic mean of homogeneity and completeness, in [0, 1]; not corrected for chance."""
    from sklearn.metrics import v_measure_score

    return _score(v_measure_score, truth, found, noise)


def share_clustered(found: Array) -> float:
    """Of all rows (n,), the share that is in a cluster and not noise; NaN without rows."""
    found = np.asarray(found)
    return float((found >= 0).mean()) if len(found) else float("nan")


def external(truth: Array, found: Array, *, noise: Noise = "cluster") -> Mapping[str, float]:
    """All of :data:`EXTERNAL` by name."""
    scores = (ami, ari, fowlkes_mallows, homogeneity, completeness, v_measure)
    return {name: score(truth, found, noise=noise) for name, score in zip(EXTERNAL, scores)}


def compared(truth: Array, found: Array, noise: Noise) -> tuple[Array, Array]:
    """The rows that are scored. Raises BiocosmosError where the two differ in length."""
    truth, found = np.asarray(truth), np.asarray(found)
    if truth.shape != found.shape or truth.ndim != 1:
        raise BiocosmosError(f"a taxon and a cluster for each row are compared, not shapes of {truth.shape} and {found.shape}")
    kept = truth >= 0
    if noise == "left out":
        kept &= found >= 0
    return truth[kept], found[kept]


def _score(score: Any, truth: Array, found: Array, noise: Noise) -> float:
    taxa, clusters = compared(truth, found, noise)
    return float(score(taxa, clusters)) if len(taxa) else float("nan")
