"""The definition, one merge a step: the closest pair of clusters of every image is merged, of equals the lowest pair."""

from __future__ import annotations

import torch

from biocosmos.encoders.reduction.clustering.distances import LARGEST
from biocosmos.encoders.reduction.clustering.linkages import Linkage, united


def cluster(distances: torch.Tensor, count: int, linkage: Linkage) -> torch.Tensor:
    """distances: (b, n, n) float32, symmetric, LARGEST on the diagonal; count: clusters wanted, 1 to n; changed.

    Returns: (b, n) int64, the lower cluster that each lowest token of a cluster was merged into, or itself.
    """
    b, n, _ = distances.shape
    images = torch.arange(b, device=distances.device)
    parent = torch.arange(n, device=distances.device).repeat(b, 1)
    sizes = torch.ones(b, n, device=distances.device)
    for _ in range(n - count):
        pair = distances.flatten(1).argmin(1)  # the first of equals
        i, j = pair // n, pair % n
        parent[images, j] = i
        whole = sizes[images, i] + sizes[images, j]
        row = united(linkage, distances[images, i], distances[images, j], (sizes[images, j] / whole)[:, None])
        sizes[images, i] = whole
        row[images, i] = LARGEST
        distances[images, i] = row
        distances[images, :, i] = row
        distances[images, j] = LARGEST
        distances[images, :, j] = LARGEST
    return parent
