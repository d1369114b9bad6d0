"""Supervised contrastive loss: specimens of one taxon attract each other, all others are pushed away."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from biocosmos.errors import BiocosmosError


class SupervisedContrastive(nn.Module):
    """L = mean over i of -1/|P(i)| sum over p in P(i) of log( exp(z_i z_p / t) / sum over a != i of exp(z_i z_a / t) ).

    P(i) are the other specimens of the batch of i's taxon. A specimen that is alone in its taxon has no term. Khosla et al. 2020,
    Supervised Contrastive Learning, equation 2 (L_out), arXiv:2004.11362; there a batch holds two views of every image, here any
    images (an image may be given twice).

    Args:
        temperature: t, above 0; 0.1 as published.
    """

    def __init__(self, temperature: float = 0.1) -> None:
        super().__init__()
        if not temperature > 0:
            raise BiocosmosError(f"the temperature of a contrastive loss must be above 0, not {temperature:g}")
        self.temperature = temperature

    def forward(self, vectors: Tensor, labels: Tensor) -> Tensor:
        """vectors: (n, d) unit; labels: (n,) integers. Returns: scalar; 0 with a gradient of 0 where no two are alike."""
        itself = torch.eye(len(vectors), dtype=torch.bool, device=vectors.device)
        scores = (vectors @ vectors.T / self.temperature).masked_fill(itself, -torch.inf)
        log_p = scores - scores.logsumexp(dim=1, keepdim=True)
        alike = (labels[:, None] == labels[None, :]) & ~itself
        others = alike.sum(dim=1)
        has = others > 0
        # where() before the sum: -inf on the diagonal times 0 would not be a number
        sums = torch.where(alike, log_p, 0.0).sum(dim=1)
        return -(sums / others.clamp(min=1))[has].sum() / has.sum().clamp(min=1)

    def extra_repr(self) -> str:
        """What is shown of it."""
        return f"temperature={self.temperature:g}"
