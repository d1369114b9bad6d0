"""Token merging (Bolya et al., "Token Merging: Your ViT But Faster", ICLR 2023, https://arxiv.org/abs/2210.09461).

Tokens are dealt out to two sets in turn; each of the first finds the one of the second whose key, averaged over heads, has the
largest cosine; the r pairs of the largest cosines are merged. One such matching can take away half of the tokens at most.
"""

from __future__ import annotations

from functools import partial

import torch

from biocosmos.encoders.reduction.matching import merged_in_rounds
from biocosmos.encoders.reduction.merging import cosines
from biocosmos.encoders.reduction.selection import descending
from biocosmos.encoders.reduction.tokens import Clues, Reducer, Step, Tokens


def bipartite(keys: torch.Tensor, remove: int, prefix: int = 1) -> torch.Tensor:
    """One matching.

    Args:
        keys: (b, n, d) floats, of patch tokens.
        remove: tokens fewer afterwards, at most n // 2.
        prefix: tokens before these, which take part in dealing but are never merged: token prefix + i is a source where that is
            even, as in the published code.

    Returns: (b, n) int64 labels 0 to n - remove - 1: first the sources that stay, then the destinations, both by position.
    """
    b, n, _ = keys.shape
    sources = torch.arange(prefix % 2, n, 2, device=keys.device)
    targets = torch.arange(1 - prefix % 2, n, 2, device=keys.device)
    best, partner = cosines(keys[:, prefix % 2 :: 2], keys[:, 1 - prefix % 2 :: 2]).max(dim=2)
    stay = len(sources) - remove
    moved = descending(best)[:, :remove]
    moves = torch.zeros_like(partner).scatter(1, moved, torch.ones_like(moved))
    own = (1 - moves).cumsum(dim=1) - 1
    of_sources = torch.where(moves > 0, stay + partner, own)
    of_targets = (stay + torch.arange(len(targets), device=keys.device)).expand(b, -1)
    return torch.cat([of_sources, of_targets], dim=1)[:, torch.cat([sources, targets]).argsort()]


class ToMe(Reducer):
    """Merges pairs of like keys until K tokens are left, by several matchings where one is not enough.

    As published, one matching a stage, so that half of the tokens stay at least: with keep 0.25 they are 98, 49 and 25 of 196
    and not 49, 12 and 3.
    """

    proportional = True

    def reduce(self, tokens: Tokens, clues: Clues | None) -> Step:
        """See :class:`~biocosmos.encoders.reduction.tokens.Reducer`."""
        assert clues is not None
        match = partial(bipartite, prefix=tokens.prefix)
        return merged_in_rounds(match, tokens, clues, self.keep, capped=self.reduction.published)
