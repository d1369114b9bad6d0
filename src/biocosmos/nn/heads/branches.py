"""B-CNN: every rank has a branch of its own, which leaves the backbone where its features are general enough."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from biocosmos.errors import BiocosmosError
from biocosmos.nn.heads.features import Extra, dense, pooled, spread, standardise

COARSE, FINE = 256, 512
"""Widths of dense layers; B-CNN has 256 for the coarsest and 1024 and 4096 for a hundred classes, on flattened maps."""


def branch_widths(ranks: int, hidden: int) -> list[int]:
    """Width of each rank's branch: ``hidden`` (or 512) for the finest, at most 256 before it."""
    fine = hidden or FINE
    return [min(COARSE, fine)] * (ranks - 1) + [fine]


def check_taps(taps: Sequence[Tensor], channels: Sequence[int]) -> None:
    """Raises BiocosmosError for taps that are not those the head was built for, or among which there is no feature map."""
    given = [tap.shape[1] for tap in taps]
    if given != list(channels):
        raise BiocosmosError(f"the head was built for taps of {list(channels)} channels, not {given}: give those of its backbone")
    if all(tap.ndim == 2 for tap in taps):
        raise BiocosmosError("a branch head needs feature maps, and got vectors only: take 'multitask' for vectors")


class BranchFeatures(nn.Module):
    """B-CNN (Zhu and Bain 2017, arXiv:1709.09890): rank l's features are its own tap through two dense layers of its own.

    Each tap is averaged over positions where the paper flattens it (pre-trained backbones have hundreds of channels and inputs
    of any size), then two blocks of linear, batch norm, ReLU and dropout, as published.

    channels: of the taps, shallow to deep; ``taps``: which one each rank uses, evenly spaced, the last
    for the finest.
    """

    def __init__(self, ranks: int, channels: Sequence[int], *, hidden: int, dropout: float, extra: int) -> None:
        super().__init__()
        self.channels = list(channels)
        self.taps = spread(len(channels), ranks)
        widths = branch_widths(ranks, hidden)
        self.norms = nn.ModuleList(standardise(channels[tap]) for tap in self.taps)
        self.bodies = nn.ModuleList(dense(channels[tap], [width, width], dropout) for tap, width in zip(self.taps, widths))
        self.extra = Extra(extra)
        self.widths = [width + extra for width in widths]

    def forward(self, taps: list[Tensor], extra: Tensor | None) -> list[Tensor]:
        """taps: (n, c, h, w) or (n, c), one at least a map; extra: (n, k) or None. Returns a (n, widths[l]) for each rank."""
        check_taps(taps, self.channels)
        parts = zip(self.taps, self.norms, self.bodies)
        return [self.extra(body(norm(pooled(taps[tap]))), extra) for tap, norm, body in parts]
