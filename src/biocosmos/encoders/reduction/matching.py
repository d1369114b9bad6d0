"""Merging pair by pair, until as few tokens are left as there should be."""

from __future__ import annotations

from collections.abc import Callable

import torch

from biocosmos.encoders.reduction.merging import means_by_label, merged, sums_by_label
from biocosmos.encoders.reduction.tokens import Clues, Step, Tokens

Match = Callable[[torch.Tensor, int], torch.Tensor]
"""keys (b, n, d), tokens fewer afterwards (at most n // 2) -> (b, n) int64 labels 0 to n - fewer - 1."""


def in_rounds(match: Match, keys: torch.Tensor, sizes: torch.Tensor, keep: int, *, capped: bool = False) -> torch.Tensor:
    """As many matchings as it takes; a merged token goes on with the mean of its keys.

    Args:
        keys: (b, n, d) floats, of patch tokens.
        sizes: (b, n), what each token counts in that mean.
        keep: tokens that are left, 1 to n.
        capped: one matching only, which takes n // 2 tokens at most.

    Returns: (b, n) int64 labels 0 to ``keep`` - 1, or to n - n // 2 - 1 where that is more and ``capped``.
    """
    n = keys.shape[1]
    left = max(keep, n - n // 2)
    labels = match(keys, n - left)
    if left == keep or capped:
        return labels
    fewer = means_by_label(keys.float(), labels, left, sizes)
    summed = sums_by_label(sizes.float().unsqueeze(-1), labels, left).squeeze(-1)
    return in_rounds(match, fewer, summed, keep).gather(1, labels)


def merged_in_rounds(match: Match, tokens: Tokens, clues: Clues, keep: int, *, capped: bool) -> Step:
    """Patch tokens merged by their keys, averaged over heads; arguments as in :func:`in_rounds`."""
    labels = in_rounds(match, clues.mean_keys, tokens.sizes()[:, tokens.prefix :], keep, capped=capped)
    return merged(tokens, labels, max(keep, tokens.patches - tokens.patches // 2) if capped else keep)
