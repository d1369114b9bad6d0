"""From what the backbone gives to the vector a linear classifier sees."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from biocosmos.errors import BiocosmosError

START = 0.01
"""Deviation of the first weights of a classifier: scores begin near 0, all classes alike."""


def pooled(tap: Tensor) -> Tensor:
    """(n, c, h, w) averaged over positions, or (n, c) as it is: (n, c)."""
    return tap.mean((2, 3)) if tap.ndim == 4 else tap


def as_map(tap: Tensor, grid: int) -> Tensor:
    """A tap as a map of at most ``grid`` x ``grid`` positions (averages); a vector is a map of one position."""
    if tap.ndim == 2:
        return tap[:, :, None, None]
    size = (min(grid, tap.shape[2]), min(grid, tap.shape[3]))
    return tap if size == tap.shape[2:] else nn.functional.adaptive_avg_pool2d(tap, size)


def spread(taps: int, ranks: int) -> list[int]:
    """Which tap each rank leaves the backbone at, coarse to fine: the last for the finest, evenly spaced before it."""
    if ranks == 1:
        return [taps - 1]
    return [(2 * i * (taps - 1) + ranks - 1) // (2 * (ranks - 1)) for i in range(ranks)]


def standardise(width: int) -> nn.Module:
    """A vector's numbers to mean 0 and variance 1, without weights: layer norm.

    Encoders give features of any scale: unit vectors have 1/sqrt(d) per number, where logits would hardly grow at a usual
    learning rate. Batch norm is as good before a linear layer and 0.8 points worse before a hidden one (PlanktonSet, frozen
    efficientnet-lite0), and would mix outliers of a batch into everybody's features.
    """
    return nn.LayerNorm(width, eps=1e-9, elementwise_affine=False)  # torch's own 1e-5 would damp short vectors


def classifier(width: int, outputs: int) -> nn.Linear:
    """A linear layer that begins with scores near 0."""
    linear = nn.Linear(width, outputs)
    nn.init.normal_(linear.weight, std=START)
    nn.init.zeros_(linear.bias)
    return linear


def dense(width_in: int, widths: Sequence[int], dropout: float) -> nn.Sequential:
    """Linear, batch norm, ReLU, dropout, for each of ``widths``: the block of B-CNN's branches."""
    layers: list[nn.Module] = []
    for before, width in zip([width_in, *widths], widths):
        layers += [nn.Linear(before, width, bias=False), nn.BatchNorm1d(width), nn.ReLU(inplace=True), nn.Dropout(dropout)]
    return nn.Sequential(*layers)


class Extra(nn.Module):
    """Appends further features of a specimen (the logarithm of its size, say), standardised by batch norm, to its vector."""

    def __init__(self, extra: int) -> None:
        super().__init__()
        self.extra = extra
        self.norm = nn.BatchNorm1d(extra, affine=False) if extra else None

    def forward(self, x: Tensor, extra: Tensor | None) -> Tensor:
        """x: (n, d), extra: (n, k) or None. Returns (n, d + k). Raises BiocosmosError where k is not what was announced."""
        given = 0 if extra is None else extra.shape[-1]
        if given != self.extra:
            raise BiocosmosError(f"the head takes {self.extra} further features of a specimen, not {given}")
        return x if self.norm is None or extra is None else torch.cat([x, self.norm(extra.to(x.dtype))], 1)


class LastFeatures(nn.Module):
    """The last tap, pooled, standardised, through a hidden layer if ``hidden``, then dropout; what the plain heads share.

    width: length of what it gives, ``extra`` included.
    """

    def __init__(self, channels: Sequence[int], hidden: int, dropout: float, extra: int) -> None:
        super().__init__()
        self.norm = standardise(channels[-1])
        self.body = dense(channels[-1], [hidden], dropout) if hidden else nn.Dropout(dropout)
        self.extra = Extra(extra)
        self.width = (hidden or channels[-1]) + extra

    def forward(self, taps: list[Tensor], extra: Tensor | None) -> Tensor:
        """taps: the last is used, (n, c, h, w) or (n, c). Returns (n, width)."""
        return self.extra(self.body(self.norm(pooled(taps[-1]))), extra)  # type: ignore[no-any-return]
