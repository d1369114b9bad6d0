"""PatchMerger (Renggli et al., "Learning to Merge Tokens in Vision Transformers", 2022, https://arxiv.org/abs/2202.12015).

K trained queries look at the normalised tokens: softmax over tokens of q LayerNorm(x)^T, times LayerNorm(x).
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import nn

from biocosmos.encoders.reduction.merging import mixed
from biocosmos.encoders.reduction.soft_start import fair_deviation
from biocosmos.encoders.reduction.spec import Reduction
from biocosmos.encoders.reduction.tokens import Clues, Place, Reducer, StageShape, Step, Tokens


class Merger(nn.Module):
    """The mixing of K tokens: (b, n, c) -> (b, K, c) and the shares (b, K, n) float32."""

    def __init__(self, width: int, count: int, *, published: bool = False) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        deviation = 1.0 if published else fair_deviation(count) / width**0.5
        self.queries = nn.Parameter(torch.randn(count, width) * deviation)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """See the class."""
        x = self.norm(x)
        shares = (self.queries.to(x.dtype) @ x.transpose(1, 2)).float().softmax(dim=2)
        return shares.to(x.dtype) @ x, shares


class PatchMerger(Reducer):
    """Replaces the tokens by what K trained queries collect; worth nothing before it is trained.

    The queries begin so that each has about its share of the tokens, see :mod:`~biocosmos.encoders.reduction.soft_start`; as
    published they begin standard normal, and each collects one token.
    """

    place: ClassVar[Place] = "before"
    needs: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, shape: StageShape, reduction: Reduction) -> None:
        super().__init__(shape, reduction)
        self.merger = Merger(shape.width, self.keep, published=reduction.published) if self.keep < shape.before else None

    def reduce(self, tokens: Tokens, clues: Clues | None) -> Step:
        """See :class:`~biocosmos.encoders.reduction.tokens.Reducer`."""
        assert self.merger is not None
        return mixed(tokens, *self.merger(tokens.x[:, tokens.prefix :]))
