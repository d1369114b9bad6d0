"""EViT: the patch tokens that CLS attends to most, and one that is all others fused."""

from __future__ import annotations

from dataclasses import replace

import torch

from biocosmos.encoders.reduction.selection import DROPPED, assignment_of, largest
from biocosmos.encoders.reduction.tokens import Clues, Reducer, Step, Tokens
from biocosmos.encoders.reduction.topk import attention_of_class


def fused(x: torch.Tensor, weights: torch.Tensor, *, published: bool = False) -> torch.Tensor:
    """One token for many: sum_i w_i x_i / sum_i w_i; as ``published``, without the division.

    Args:
        x: (b, n, c) floats. weights: (b, n) float32, 0 or more; 0 for tokens that do not take part.

    Returns: (b, 1, c), as x; zeros where all weights are.
    """
    if not published:
        weights = weights / weights.sum(dim=1, keepdim=True).clamp_min(torch.finfo(torch.float32).tiny)
    return (weights.unsqueeze(1) @ x.float()).to(x.dtype)


class EViT(Reducer):
    """Keeps the K patch tokens of the largest a_j = mean over heads of A[CLS, j], and appends the others fused into one.

        x_fused = sum_{i dropped} a_i x_i / sum_{i dropped} a_i

    Liang et al., "Not All Patches are What You Need", ICLR 2022 (https://arxiv.org/abs/2202.07800), section 3.2. K + 1 patch
    tokens are left; at the next stage the fused one competes as any other. The public code does not divide by the sum of the
    weights, which makes the fused token short, and all the shorter the more tokens are kept: ``published`` does as it does, and
    leaves the tokens sorted by a_j.
    """

    def reduce(self, tokens: Tokens, clues: Clues | None) -> Step:
        """See :class:`~biocosmos.encoders.reduction.tokens.Reducer`; dropped tokens are assigned to the fused one."""
        assert clues is not None
        scores, published, prefix = attention_of_class(clues), self.reduction.published, tokens.prefix
        chosen = largest(scores, self.keep, by_score=published)
        places = assignment_of(chosen, tokens.patches)
        gone = places == DROPPED
        left = tokens.selected(chosen)
        rest = fused(tokens.x[:, prefix:], scores * gone, published=published)
        after = replace(
            left,
            x=torch.cat([left.x, rest], dim=1),
            size=None if left.size is None else _with(left.size, (tokens.sizes()[:, prefix:] * gone).sum(dim=1)),
            mask=None if left.mask is None else _with(left.mask, left.mask.new_ones(chosen.shape[0])),
        )
        return Step(after, torch.where(gone, self.keep, places))


def _with(values: torch.Tensor, last: torch.Tensor) -> torch.Tensor:
    return torch.cat([values, last.unsqueeze(1)], dim=1)
