"""The settings that are tried where none are named."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

from biocosmos.discover.clusters.settings import COUNTED, ClusterSettings

DIMS = 50
STEP = 1.5
"""From one number of clusters that is tried to the next; about the best one all are tried, or :data:`FINER` of them."""
FINER = 8
LEAST_OF_UMAP = 100
"""Rows below which UMAP's picture of neighbourhoods means nothing."""


def counts(most: int) -> list[int]:
    """2, 3, 5, 8, 12, 18, ... up to ``most``."""
    found = [2] if most >= 2 else []
    while found and (larger := int(-(-found[-1] * STEP // 1))) <= most:
        found.append(larger)
    return found


def settings_to_try(rows: int, dims: int, *, umap: bool, seed: int = 0) -> list[ClusterSettings]:
    """Ward's tree and k-means in several numbers of clusters, and HDBSCAN, for vectors (rows, dims).

    As they are, in 50 principal axes of them and of their z-scores, and in 50 dimensions of UMAP where ``umap`` says that
    it is installed. A tree is cut into up to half as many clusters as rows, k-means makes up to a tenth. Vectors of more than 50
    dimensions are clustered by Ward alone as they are, as k-means and HDBSCAN find much the same in fewer.
    """
    spaces: list[dict[str, Any]] = [{"reducer": "none"}]
    if dims > DIMS:
        spaces.append({"reducer": "pca", "dims": DIMS})
    spaces.append({"standardise": "zscore", "reducer": "pca", "dims": DIMS})
    if umap and rows >= LEAST_OF_UMAP:
        spaces.append({"reducer": "umap", "dims": DIMS})
    found = []
    for made in spaces:
        found += [ClusterSettings(**made, method="ward", clusters=k, seed=seed) for k in counts(rows // 2)]
        if made["reducer"] != "none" or dims <= DIMS:
            found += [ClusterSettings(**made, method="kmeans", clusters=k, seed=seed) for k in counts(rows // 10)]
            found.append(ClusterSettings(**made, method="hdbscan", seed=seed))
    return found


def finer(best: ClusterSettings, tried: list[ClusterSettings]) -> list[ClusterSettings]:
    """``best`` with numbers of clusters between those next to it that were ``tried``, up to :data:`FINER` on either side."""
    if best.method not in COUNTED or best.clusters is None:
        return []
    numbers = sorted(k.clusters for k in tried if k.clusters is not None and replace(k, clusters=best.clusters) == best)
    found: list[int] = []
    for low, high in pairwise(numbers):
        if best.clusters in (low, high):
            step = max(1, -(-(high - low) // (FINER + 1)))
            found += range(low + step, high, step)
    return [replace(best, clusters=k) for k in found]
