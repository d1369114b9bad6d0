"""HB-CNN: features of neighbouring ranks are multiplied, and the products of coarse ranks are handed to finer ones."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from biocosmos.nn.heads.branches import branch_widths, check_taps
from biocosmos.nn.heads.features import Extra, as_map, dense, spread, standardise

GRID = 4
"""Maps are averaged down to at most this many positions a side before they are multiplied: the cost on early maps."""
TINY = 1e-4
"""Keeps the slope of the signed square root finite at 0."""


class BilinearFeatures(nn.Module):
    """z_l = mean over positions of (U_l F_l + a_l) * (V_l F_{l-1} + b_l), rooted, unit length; rank l sees z_1 .. z_l.

    Zhang et al. 2021, Hierarchical bilinear convolutional neural network for image classification, IET Computer Vision
    (doi:10.1049/cvi2.12023). Its body was not at hand; its abstract names three things, and they are built so: branches trained
    with the labels of a tree; "a connectivity pattern to connect features at different ranks" that passes on conceptual
    information and re-uses features: here coarser ranks' products are concatenated to finer ones'; a bilinear module: here
    low-rank, the Hadamard product of two projections (Kim et al. 2017, arXiv:1610.04325), between a rank's map and that of the
    rank above it, followed by the signed square root and unit length of Lin et al. 2015 (arXiv:1504.07889). The biases b start
    at 1, so that first-order features get through. One dense block (as B-CNN's) stands before each rank's scores.
    """

    def __init__(self, ranks: int, channels: Sequence[int], *, hidden: int, dropout: float, extra: int) -> None:
        super().__init__()
        self.channels = list(channels)
        self.taps = spread(len(channels), ranks)
        self.above = [self.taps[0], *self.taps[:-1]]
        widths = branch_widths(ranks, hidden)
        self.norms = nn.ModuleList(standardise(width) for width in self.channels)
        self.own = nn.ModuleList(nn.Linear(channels[tap], width) for tap, width in zip(self.taps, widths))
        self.other = nn.ModuleList(nn.Linear(channels[tap], width) for tap, width in zip(self.above, widths))
        for linear in self.other:
            nn.init.ones_(linear.bias)  # type: ignore[arg-type]
        self.bodies = nn.ModuleList(dense(sum(widths[: i + 1]), [width], dropout) for i, width in enumerate(widths))
        self.extra = Extra(extra)
        self.widths = [width + extra for width in widths]

    def forward(self, taps: list[Tensor], extra: Tensor | None) -> list[Tensor]:
        """taps: (n, c, h, w) or (n, c), one at least a map; extra: (n, k) or None. Returns a (n, widths[l]) for each rank."""
        check_taps(taps, self.channels)
        maps = [as_map(tap, GRID) for tap in taps]
        products: list[Tensor] = []
        features = []
        for tap, above, own, other, body in zip(self.taps, self.above, self.own, self.other, self.bodies):
            beside = nn.functional.adaptive_avg_pool2d(maps[above], (maps[tap].shape[2], maps[tap].shape[3]))
            z = (own(self._tokens(maps[tap], tap)) * other(self._tokens(beside, above))).mean(1)
            z = z / (z.abs() + TINY).sqrt()
            products.append(nn.functional.normalize(z, dim=1) * z.shape[1] ** 0.5)
            features.append(self.extra(body(torch.cat(products, 1)), extra))
        return features

    def _tokens(self, map_: Tensor, tap: int) -> Tensor:
        """(n, positions, c), each position standardised."""
        return self.norms[tap](map_.flatten(2).transpose(1, 2))  # type: ignore[no-any-return]
