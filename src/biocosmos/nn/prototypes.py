"""Prototypes: one point of the unit sphere for each taxon, whether or not it has training specimens."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from biocosmos.errors import BiocosmosError


class Prototypes(nn.Module):
    """Learnt unit vectors, and scores against them: scale * cos(z, mu_c).

    The softmax of the scores is the prototype classifier of Snell et al. 2017 (Prototypical Networks, arXiv:1703.05175) with
    learnt prototypes: on unit vectors |z - mu|^2 = 2 - 2 cos. They begin at random directions, from torch's global generator.

    Args:
        taxa: how many, K, at least 2. dim: of the vectors, d, at least 2. scale: inverse temperature, above 0.

    Raises:
        BiocosmosError: a number out of its range.
    """

    def __init__(self, taxa: int, dim: int, *, scale: float = 16.0) -> None:
        super().__init__()
        if taxa < 2 or dim < 2 or not scale > 0:
            raise BiocosmosError(f"prototypes need 2 taxa, 2 dimensions and a scale above 0, not {taxa}, {dim} and {scale:g}")
        self.scale = scale
        self.weight = nn.Parameter(F.normalize(torch.randn(taxa, dim), dim=1))

    def unit(self) -> Tensor:
        """(K, d) unit vectors."""
        return F.normalize(self.weight, dim=1)

    def forward(self, vectors: Tensor, points: Tensor) -> Tensor:
        """vectors: (n, d) unit; points: (C, d) unit, prototypes or what stands in for them. Returns: (n, C) scores."""
        return self.scale * (vectors @ points.T)


def from_relatives(points: Tensor, kernel: Tensor, hidden: Tensor, *, own: float) -> Tensor:
    """Where the geometry expects some prototypes to be, judged by all the others: ordinary kriging, made unit length.

    The predicted prototype is the mean of the others with weights w that add up to one and make the expected squared error least
    if prototypes vary as a Gaussian field with covariance ``kernel + own * identity``. With the tree's kernel that is the
    phylogenetic prediction of an unmeasured tip (Garland and Ives 2000, https://doi.org/10.1086/303327); Cressie 1993, section
    3.2, for the equations [K 1; 1' 0] [w; m] = [k; 1].

    Args:
        points: (C, d). kernel: (C, C) symmetric, what taxa share. hidden: (C,) bool, those to predict; not all of them.
        own: variance of what each taxon has for itself, above 0.

    Returns:
        (hidden taxa, d) unit vectors, differentiable in ``points``.
    """
    return F.normalize(relative_weights(kernel, hidden, own=own) @ points[~hidden], dim=1)


def relative_weights(kernel: Tensor, hidden: Tensor, *, own: float) -> Tensor:
    """The weights of :func:`from_relatives`: (hidden taxa, other taxa), each row adding up to 1.

    Raises BiocosmosError when all are hidden.
    """
    shown = ~hidden
    count = int(shown.sum())
    if not count:
        raise BiocosmosError("no taxon is left to place the others by: hold out fewer")
    system = kernel.new_ones(count + 1, count + 1)
    system[:count, :count] = kernel[shown][:, shown] + own * torch.eye(count, dtype=kernel.dtype, device=kernel.device)
    system[count, count] = 0.0
    asked = kernel.new_ones(count + 1, int(hidden.sum()))
    asked[:count] = kernel[shown][:, hidden]
    solved: Tensor = torch.linalg.solve(system, asked)
    return solved[:count].T
