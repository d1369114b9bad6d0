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

FEWER = 0.75
"""The matrix is copied to a smaller one when no image has more than this share of its rows left."""


def cluster(distances: torch.Tensor, count: int, linkage: Linkage) -> tuple[torch.Tensor, torch.Tensor]:
    """distances: (b, n, n) float32, symmetric, LARGEST on the diagonal; count: clusters wanted, 1 to n; changed.

    Returns: (b, n) int64, the lower cluster that each lowest token of a cluster was merged into, or itself; and (b,) bool,
    whether merges of equal height stand on both sides of the cut. Which of them are made is then right for complete and
    average linkage (they stay the lowest pairs), but not for single linkage.
    """
    b, n, _ = distances.shape
    tokens = torch.arange(n, device=distances.device).expand(b, n)
    parent, height = tokens.clone(), torch.full((b, n), torch.inf, device=distances.device)
    state = _State(distances, tokens, linkage)
    while True:
        low, near = nearest(state.distances)
        below = (height < low.amin(1, keepdim=True)).sum(1).amin()
        left, enough = torch.stack([state.alive().sum(1).amax(), below]).tolist()
        if enough >= n - count:
            break
        if left <= FEWER * state.distances.shape[1]:
            state.shrink(left)
            low, near = nearest(state.distances)
        state.merge(low, near, parent, height)
    return _cut(parent, height, n - count)


def nearest(distances: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(b, m) the least distance of each row, and the first cluster at it; no distance at all reads as infinite."""
    low, near = distances.min(2)
    return low.masked_fill(low >= LARGEST, torch.inf), near


class _State:
    """The clusters that are left. tokens: (b, m) the lowest of each, ascending; sizes: (b, m) float32, 0 where one is dead."""

    def __init__(self, distances: torch.Tensor, tokens: torch.Tensor, linkage: Linkage) -> None:
        self.distances, self.tokens, self.linkage = distances, tokens, linkage
        self.sizes = torch.ones(tokens.shape, device=distances.device)
        self.heights = torch.zeros_like(self.sizes)  # at which each was made

    def alive(self) -> torch.Tensor:
        return self.sizes > 0

    def shrink(self, left: int) -> None:
        """Leave the dead out, but for those that fill the rows of images with fewer."""
        kept = torch.argsort(~self.alive(), dim=1, stable=True)[:, :left]
        kept = kept.sort(1).values
        self.tokens, self.sizes, self.heights = (x.gather(1, kept) for x in (self.tokens, self.sizes, self.heights))
        size = self.distances.shape[1]
        rows = self.distances.gather(1, kept[:, :, None].expand(-1, -1, size))
        self.distances = rows.gather(2, kept[:, None, :].expand(-1, left, -1))

    def merge(self, low: torch.Tensor, near: torch.Tensor, parent: torch.Tensor, height: torch.Tensor) -> None:
        """Merge all that are each other's nearest; the lower one lives on. parent, height (b, n): told of each that does not."""
        own = torch.arange(near.shape[1], device=near.device)
        mutual = (near.gather(1, near) == own) & low.isfinite()
        first, gone = mutual & (own < near), mutual & (own > near)
        partner = torch.where(first, near, own)
        made = torch.maximum(low, torch.maximum(self.heights, self.heights.gather(1, near)))
        into, at = self.tokens.gather(1, near), self.tokens
        parent.scatter_(1, at, torch.where(gone, into, parent.gather(1, at)))
        height.scatter_(1, at, torch.where(gone, made, height.gather(1, at)))
        self.heights = torch.where(first, made, self.heights)
        others = self.sizes.gather(1, partner)
        share = torch.where(first, others / (self.sizes + others), 0)
        d = self.distances
        d = united(self.linkage, d, d.gather(1, partner[:, :, None].expand_as(d)), share[:, :, None])
        d = united(self.linkage, d, d.gather(2, partner[:, None, :].expand_as(d)), share[:, None, :])
        if self.linkage == "average":
            d = torch.maximum(d, d.mT)  # rows before columns or columns before rows: two roundings
        d.masked_fill_(gone[:, :, None] | gone[:, None, :], LARGEST)
        d.diagonal(dim1=1, dim2=2).fill_(LARGEST)
        self.distances = d
        self.sizes = torch.where(first, self.sizes + others, self.sizes).masked_fill_(gone, 0)


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
