"""Self-slimmed tokens (Zong et al., "Self-slimmed Vision Transformer", ECCV 2022, https://arxiv.org/abs/2111.12624).

W = softmax over tokens of scale * MLP(LayerNorm(x)), one column for each of K mixtures; the tokens after are W^T x.
"""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import nn

from biocosmos.encoders.reduction.merging import mixed
from biocosmos.encoders.reduction.soft_start import as_published, fair_deviation
from biocosmos.encoders.reduction.spec import Reduction
from biocosmos.encoders.reduction.tokens import Clues, Place, Reducer, StageShape, Step, Tokens

GELU_MEAN_SQUARE = 0.425
"""Mean of GELU(z)^2 over standard normal z."""


class Slimming(nn.Module):
    """The mixing of K tokens: (b, n, c) -> (b, K, c) and the shares (b, K, n) float32."""

    def __init__(self, width: int, count: int, *, published: bool = False) -> None:
        super().__init__()
        hidden, last = nn.Linear(width, width // 2), nn.Linear(width // 2, count)
        self.weight = nn.Sequential(nn.LayerNorm(width), hidden, nn.GELU(), last)
        self.scale = nn.Parameter(torch.ones(1, 1, 1))
        if published:
            as_published(hidden)
            as_published(last)
        else:
            nn.init.normal_(hidden.weight, std=width**-0.5)
            nn.init.normal_(last.weight, std=fair_deviation(count) / math.sqrt(GELU_MEAN_SQUARE * (width // 2)))
            nn.init.zeros_(hidden.bias)
            nn.init.zeros_(last.bias)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """See the class."""
        shares = (self.weight(x) * self.scale).float().softmax(dim=1).transpose(1, 2)
        return shares.to(x.dtype) @ x, shares


class SiT(Reducer):
    """Replaces the tokens by K mixtures that a small network assigns; worth nothing before it is trained.

    Its weights begin so that each mixture has about its share of the tokens, see
    :mod:`~biocosmos.encoders.reduction.soft_start`; as published, all mixtures begin as the mean of the image.
    """

    place: ClassVar[Place] = "before"
    needs: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, shape: StageShape, reduction: Reduction) -> None:
        super().__init__(shape, reduction)
        self.slimming = Slimming(shape.width, self.keep, published=reduction.published) if self.keep < shape.before else None

    def reduce(self, tokens: Tokens, clues: Clues | None) -> Step:
        """See :class:`~biocosmos.encoders.reduction.tokens.Reducer`."""
        assert self.slimming is not None
        return mixed(tokens, *self.slimming(tokens.x[:, tokens.prefix :]))
