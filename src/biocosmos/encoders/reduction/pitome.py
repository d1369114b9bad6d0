"""PiToMe (Tran et al., "Accelerating Transformers with Spectrum-Preserving Token Merging", NeurIPS 2024,
https://arxiv.org/abs/2405.16148).

Tokens like many others have a high energy, E_i = mean_j ELU(cos(k_i, k_j) - margin); only the 2r of the highest take part in
merging, in turn as sources and destinations, so that what is rare in an image stays as it is.
"""

from __future__ import annotations

from functools import partial

import torch

from biocosmos.encoders.reduction.matching import merged_in_rounds
from biocosmos.encoders.reduction.merging import cosines
from biocosmos.encoders.reduction.selection import descending, places
from biocosmos.encoders.reduction.spec import Reduction
from biocosmos.encoders.reduction.tokens import Clues, Reducer, StageShape, Step, Tokens

FIRST_MARGIN = 0.9
"""Margin in block 0; it falls to 0 with depth (section 3.2 of the paper)."""


def energies(keys: torch.Tensor, margin: float) -> torch.Tensor:
    """keys: (b, n, d) floats. Returns: (b, n) float32, high for a token that is like many others."""
    return torch.nn.functional.elu(cosines(keys, keys) - margin).mean(dim=2)


def energetic(keys: torch.Tensor, remove: int, margin: float) -> torch.Tensor:
    """One matching among the tokens of the highest energy.

    Args:
        keys: (b, n, d) floats, of patch tokens.
        remove: tokens fewer afterwards, at most n // 2.

    Returns: (b, n) int64 labels 0 to n - remove - 1: first the tokens left alone, by position, then the destinations.
    """
    n, width = keys.shape[1:]
    order = descending(energies(keys, margin))
    sources, targets = order[:, 0 : 2 * remove : 2], order[:, 1 : 2 * remove : 2]
    partner = cosines(
        keys.gather(1, sources.unsqueeze(-1).expand(-1, -1, width)), keys.gather(1, targets.unsqueeze(-1).expand(-1, -1, width))
    ).argmax(dim=2)
    alone = torch.ones_like(order).scatter(1, order[:, : 2 * remove], torch.zeros_like(order[:, : 2 * remove]))
    first = n - 2 * remove
    labels = (alone.cumsum(dim=1) - 1).scatter(1, targets, first + places(targets))
    return labels.scatter(1, sources, first + partner)


class PiToMe(Reducer):
    """Merges pairs of like keys among the tokens that are like many others, until K are left.

    As published for timm models: attention is not proportional, and one matching a stage (the published code cannot run where
    more than half of the tokens should go; here half of them stay).
    """

    proportional = True

    def __init__(self, shape: StageShape, reduction: Reduction) -> None:
        super().__init__(shape, reduction)
        self.margin = FIRST_MARGIN * (1 - shape.block / shape.blocks)
        if reduction.published:
            self.proportional = False  # type: ignore[misc]  # of this stage

    def reduce(self, tokens: Tokens, clues: Clues | None) -> Step:
        """See :class:`~biocosmos.encoders.reduction.tokens.Reducer`."""
        assert clues is not None
        match = partial(energetic, margin=self.margin)
        return merged_in_rounds(match, tokens, clues, self.keep, capped=self.reduction.published)
