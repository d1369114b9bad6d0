"""Whole batches on any device: all pairs of clusters that are each other's nearest are merged at once, round after round.

Single, complete and average linkage are reducible: a merge brings no third cluster nearer than it was to the nearer of the two.
Pairs that are each other's nearest can therefore be merged in any order, and the tree is that of merging the closest pair first
(Bruynooghe, 1977; Murtagh, A survey of recent advances in hierarchical clustering algorithms, 1983). No later merge is lower than
the least distance that is left, so the tree is cut exactly as soon as enough merges lie below that.
"""

from __future__ import annotations

import torch

from biocosmos.encoders.reduction.clustering.distances import LARGEST
from biocosmos.encoders.reduction.clustering.linkages import Linkage, united


def cluster(distances: torch.Tensor, count: int, linkage: Linkage) -> tuple[torch.Tensor, torch.Tensor]:
    """distances: (b, n, n) float32, symmetric, LARGEST on the diagonal; count: clusters wanted, 1 to n; changed.

    Returns: (b, n) int64, the lower cluster that each lowest token of a cluster was merged into, or itself; and (b,) bool,
    whether merges of equal height stand on both sides of the cut. Which of them are made is then right for complete and
    average linkage (they stay the lowest pairs), but not for single linkage.
    """
    n = distances.shape[1]
    state = _State(distances, linkage)
    while True:
        low, near = state.nearest()
        stays, gone = state.pairs(low, near)
        below = (state.height < low.amin(1, keepdim=True)).sum(1).amin()
        left, enough = torch.stack([(state.sizes > 0).sum(1).sub(gone.sum(1)).amax(), below]).tolist()
        if enough >= n - count:
            return _cut(state.parent, state.height, n - count)
        state.merge(low, near, stays, gone, left)


class _State:
    """The clusters that are left, m of every image and some dead ones where an image has fewer.

    distances: (b, m, m); tokens: (b, m) the lowest of each, ascending; sizes: (b, m) float32, 0 where one is dead; heights:
    (b, m) at which each was made; parent, height: (b, n) of each token that is no cluster's lowest any more.
    """

    def __init__(self, distances: torch.Tensor, linkage: Linkage) -> None:
        b, n, _ = distances.shape
        self.distances, self.linkage = distances, linkage
        self.tokens = torch.arange(n, device=distances.device).expand(b, n)
        self.parent = self.tokens.clone()
        self.sizes = torch.ones(b, n, device=distances.device)
        self.heights = torch.zeros_like(self.sizes)
        self.height = torch.full_like(self.sizes, torch.inf)

    def nearest(self) -> tuple[torch.Tensor, torch.Tensor]:
        """(b, m) the least distance of each cluster, infinite where there is none, and the first cluster at it."""
        low, near = self.distances.min(2)
        low = low.masked_fill(low >= LARGEST, torch.inf)
        closest = low.argmin(1, keepdim=True)  # is a pair, even if its two distances were not rounded alike
        return low, near.scatter(1, near.gather(1, closest), closest)

    def pairs(self, low: torch.Tensor, near: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(b, m) who is merged with the nearest: the lower ones, which stay, and the others."""
        own = torch.arange(near.shape[1], device=near.device)
        mutual = (near.gather(1, near) == own) & low.isfinite()
        return mutual & (own < near), mutual & (own > near)

    def merge(self, low: torch.Tensor, near: torch.Tensor, stays: torch.Tensor, gone: torch.Tensor, left: int) -> None:
        """Merge the pairs, and go on with ``left`` clusters of each image."""
        into = self.tokens.gather(1, near)
        made = torch.maximum(low, torch.maximum(self.heights, self.heights.gather(1, near)))
        self.parent.scatter_(1, self.tokens, torch.where(gone, into, self.parent.gather(1, self.tokens)))
        self.height.scatter_(1, self.tokens, torch.where(gone, made, self.height.gather(1, self.tokens)))
        alive = (self.sizes > 0) & ~gone
        kept = torch.argsort(~alive, dim=1, stable=True)[:, :left]
        alive, whole = alive.gather(1, kept), stays.gather(1, kept)
        partner = torch.where(whole, near.gather(1, kept), kept)
        others = torch.where(whole, self.sizes.gather(1, partner), 0)
        sizes = self.sizes.gather(1, kept)
        self.tokens = self.tokens.gather(1, kept)
        self.heights = torch.where(whole, made.gather(1, kept), self.heights.gather(1, kept))
        self.sizes = torch.where(alive, sizes + others, 0)
        share = (others / self.sizes.clamp_min(1))[:, :, None]
        for _ in range(2):  # rows, then columns
            rows = united(self.linkage, _rows(self.distances, kept), _rows(self.distances, partner), share)
            self.distances = rows.mT.contiguous()
        dead = torch.where(alive, 0, LARGEST)
        self.distances = torch.maximum(torch.maximum(self.distances, dead[:, :, None]), dead[:, None, :])
        self.distances.diagonal(dim1=1, dim2=2).fill_(LARGEST)


def _rows(matrices: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
    """Rows (b, k) of (b, m, l) matrices: (b, k, l)."""
    b, m, size = matrices.shape
    first = torch.arange(0, b * m, m, device=chosen.device)[:, None]
    return matrices.reshape(b * m, size).index_select(0, (chosen + first).flatten()).view(b, -1, size)


def _cut(parent: torch.Tensor, height: torch.Tensor, merges: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Keep the lowest merges, of equal ones those of the lowest pairs."""
    b, n = parent.shape
    tokens = torch.arange(n, device=parent.device).expand(b, n)
    order = torch.argsort(parent * n + tokens, dim=1)
    order = order.gather(1, torch.argsort(height.gather(1, order), dim=1, stable=True))
    undone = order[:, merges:]
    ordered = torch.cat([height.new_full((b, 1), -1), height.gather(1, order)], 1)
    tied = (ordered[:, merges] == ordered[:, min(merges + 1, n)]) & ordered[:, merges].isfinite()
    return parent.scatter(1, undone, undone), tied
