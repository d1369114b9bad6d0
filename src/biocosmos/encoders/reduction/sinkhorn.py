"""Optimal transport to trained centres (Haurum et al., "Multi-scale hybrid vision transformer and Sinkhorn tokenizer for sewer
defect classification", 2022; Cuturi 2013).

Unit tokens x_i are transported to K unit centres v_k at the cost of their cosine: w = exp(x v^T / eps), its rows and columns
scaled in turn to equal sums; the tokens after are sum_i w_ik x_i.
"""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import nn
from torch.nn.functional import normalize

from biocosmos.encoders.reduction.merging import mixed
from biocosmos.encoders.reduction.spec import Reduction
from biocosmos.encoders.reduction.tokens import Clues, Place, Reducer, StageShape, Step, Tokens

SHARPNESS = 1.0
"""eps, as published."""
ITERATIONS = 3
"""As published."""


def transport(scores: torch.Tensor, *, eps: float = SHARPNESS, iterations: int = ITERATIONS) -> torch.Tensor:
    """Shares of tokens in centres, by ``iterations`` scalings in the logarithm.

    Args:
        scores: (b, k, n) floats, likeness.

    Returns: (b, k, n) float32; each token's shares sum to 1, each centre's to about n / k.
    """
    logits = scores.float() / eps
    each = -math.log(sum(scores.shape[1:]))
    of_centres = torch.zeros_like(logits[:, :, :1])
    of_tokens = torch.zeros_like(logits[:, :1])
    for _ in range(iterations):
        of_centres = each - torch.logsumexp(logits + of_tokens, dim=2, keepdim=True)
        of_tokens = each - torch.logsumexp(logits + of_centres, dim=1, keepdim=True)
    return (logits + of_centres + of_tokens - each).exp()


class Transport(nn.Module):
    """The mixing of K tokens: (b, n, c) -> (b, K, c) and the shares (b, K, n) float32.

    published: the gradient does not pass the norm of the centres, which are made unit in place while training.
    """

    def __init__(self, width: int, count: int, *, published: bool = False) -> None:
        super().__init__()
        self.published = published
        self.centres = nn.Parameter(normalize(torch.randn(count, width), dim=1))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """See the class."""
        if self.published:
            if self.training:
                with torch.no_grad():
                    self.centres.copy_(normalize(self.centres, dim=1))
            centres = self.centres / self.centres.detach().norm(dim=1, keepdim=True)
        else:
            centres = normalize(self.centres, dim=1)
        x = normalize(x, dim=-1)
        shares = transport(centres.to(x.dtype) @ x.transpose(1, 2))
        return shares.to(x.dtype) @ x, shares


class Sinkhorn(Reducer):
    """Replaces the tokens by what optimal transport brings to K trained centres; worth nothing before it is trained.

    Centres begin as random directions, as published: at eps 1 no start makes the first shares other than nearly equal.
    """

    place: ClassVar[Place] = "before"
    needs: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, shape: StageShape, reduction: Reduction) -> None:
        super().__init__(shape, reduction)
        self.transport = Transport(shape.width, self.keep, published=reduction.published) if self.keep < shape.before else None

    def reduce(self, tokens: Tokens, clues: Clues | None) -> Step:
        """See :class:`~biocosmos.encoders.reduction.tokens.Reducer`."""
        assert self.transport is not None
        return mixed(tokens, *self.transport(tokens.x[:, tokens.prefix :]))
