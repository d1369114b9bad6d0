"""How far two clusters are apart, in torch."""

from __future__ import annotations

from typing import Literal, get_args

import torch

Linkage = Literal["average", "complete", "single"]
LINKAGES: tuple[Linkage, ...] = get_args(Linkage)


def united(linkage: Linkage, of_a: torch.Tensor, of_b: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
    """Distances of a pair of clusters to all others (Lance and Williams, A general theory of classificatory sorting strategies,
    1967): the least, the largest or the mean over pairs of tokens, never below the nearer one's, as rounding might have it.

    of_a, of_b: float32 distances of the two; share: b's part of their tokens.
    """
    if linkage == "single":
        return torch.minimum(of_a, of_b)
    if linkage == "complete":
        return torch.maximum(of_a, of_b)
    return torch.maximum(torch.addcmul(of_a, share, of_b - of_a), torch.minimum(of_a, of_b))
