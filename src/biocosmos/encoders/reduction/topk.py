"""Top-K: the patch tokens that CLS attends to most."""

from __future__ import annotations

import torch

from biocosmos.encoders.reduction.selection import kept, largest
from biocosmos.encoders.reduction.tokens import Clues, Reducer, Step, Tokens


def attention_of_class(clues: Clues) -> torch.Tensor:
    """(b, patch tokens) float32: a_j = mean over heads of A[CLS, j]; without a CLS token the mean over all rows of A."""
    return clues.class_attention().mean(dim=1)


class TopK(Reducer):
    """Keeps the K patch tokens of the largest a_j, see :func:`attention_of_class`; the others are gone.

    Haurum et al., "Which Tokens to Use?", ICCVW 2023 (https://arxiv.org/abs/2308.04657). The published code counts on a grid of
    14 x 14 whatever the image, and leaves the tokens sorted by a_j. Here K is a share of the patches there are, and tokens stay
    in the order of the image; ``published`` sorts them. What the network computes is the same in either order.
    """

    def reduce(self, tokens: Tokens, clues: Clues | None) -> Step:
        """See :class:`~biocosmos.encoders.reduction.tokens.Reducer`."""
        assert clues is not None
        return kept(tokens, largest(attention_of_class(clues), self.keep, by_score=self.reduction.published))
