"""Radial: the patch tokens nearest to the centre of the image, whatever it shows. The baseline of those that look."""

from __future__ import annotations

from typing import ClassVar

import torch

from biocosmos.encoders.reduction.selection import kept
from biocosmos.encoders.reduction.spec import Reduction
from biocosmos.encoders.reduction.tokens import Clues, Place, Reducer, StageShape, Step, Tokens
from biocosmos.errors import BiocosmosError


def distances(grid: tuple[int, int], norm: str, *, published: bool = False) -> torch.Tensor:
    """Of each patch from the centre, in half patches: whole numbers, so that equals are equal (squared for "l2").

    Args:
        grid: rows and columns. norm: "l1" |y| + |x|, "l2" y^2 + x^2, "linf" max(|y|, |x|).
        published: as the public code rounds them, in float32 between -P // 2 and P // 2: rings fall apart (|y| + |x| of 14 x 14
            patches takes 16 values, not 13), and of odd grids the centre lies aside.

    Returns: (rows * columns,) float64.
    """
    y, x = (_published_axis(side) if published else (2 * torch.arange(side) - (side - 1)).double() for side in grid)
    y, x = y.abs()[:, None].expand(grid), x.abs()[None].expand(grid)
    if norm == "l2":
        far = (y * y + x * x).sqrt() if published else y * y + x * x
    else:
        far = y + x if norm == "l1" else torch.maximum(y, x)
    return far.flatten().double()


def _published_axis(side: int) -> torch.Tensor:
    return torch.linspace(-side // 2, side // 2, side)


def inwards(grid: tuple[int, int], norm: str, *, published: bool = False) -> torch.Tensor:
    """(patches,) int64: all patches, nearest to the centre first; equals by the Euclidean distance, then as they stand."""
    order = distances(grid, "l2").argsort(stable=True)
    return order[distances(grid, norm, published=published)[order].argsort(stable=True)]


def whole_rings(grid: tuple[int, int], norm: str, count: int) -> int:
    """How many patches there are within that published distance from the centre which has nearest to ``count`` (of equals, the
    smaller one)."""
    far = distances(grid, norm, published=True)
    totals = (far <= far.unsqueeze(1)).sum(dim=1).sort().values
    return int(totals[(totals - count).abs().argmin()])


class Radial(Reducer):
    """Keeps the K patch tokens nearest to the centre by one of three norms, nothing of the image being looked at.

    Haurum et al., "Which Tokens to Use?", ICCVW 2023 (https://arxiv.org/abs/2308.04657). The public code masks the others out of
    attention, which leaves the network as slow as it was; here they are gone, and the features are the same. It keeps those
    within one distance, that which gives nearest to K (of 196 patches at 0.5: 92, 40 and 24 by l1, 96, 52 and 24 by l2, 100, 36
    and 16 by linf), as ``published`` does; else exactly K are kept, of equally near ones those nearest by l2.
    """

    place: ClassVar[Place] = "before"
    needs: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, shape: StageShape, reduction: Reduction) -> None:
        super().__init__(shape, reduction)
        grid, norm, patches = shape.grid, reduction.variant, shape.grid[0] * shape.grid[1]
        before, after = shape.before, shape.keep
        if reduction.published:
            before = patches if shape.stage == 0 else whole_rings(grid, norm, before)
            after = whole_rings(grid, norm, after)
        order = inwards(grid, norm, published=reduction.published)
        there = order[:before].sort().values
        stays = torch.zeros(patches, dtype=torch.bool).scatter(0, order[:after], True)
        self.expected = before
        self.chosen: torch.Tensor
        self.register_buffer("chosen", stays[there].nonzero().squeeze(1), persistent=False)

    def idle(self, tokens: Tokens) -> bool:
        """See :class:`~biocosmos.encoders.reduction.tokens.Reducer`; whole rings may be all there are."""
        return super().idle(tokens) or tokens.patches == self.expected <= len(self.chosen)

    def reduce(self, tokens: Tokens, clues: Clues | None) -> Step:
        """See :class:`~biocosmos.encoders.reduction.tokens.Reducer`.

        Raises BiocosmosError: other patches are there than the grid has.
        """
        if tokens.patches != self.expected:
            raise BiocosmosError(
                f"reduction {self.reduction} goes by the place of patches, counts on {self.expected} and finds {tokens.patches}: "
                "give images of the size the encoder was loaded for, and train it without dropping patches"
            )
        return kept(tokens, self.chosen.expand(tokens.x.shape[0], -1))
