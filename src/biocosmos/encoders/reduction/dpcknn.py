"""Density peaks among nearest neighbours (Zeng et al., "Not All Tokens Are Equal", CVPR 2022,
https://arxiv.org/abs/2204.08680; Du et al. 2016).

    d_ij = |x_i - x_j| / sqrt(c)        rho_i = exp(-mean of d^2 over the k nearest)
    delta_i = distance to the nearest token that is denser (of the densest: the largest distance there is)

The K tokens of the largest rho * delta are centres; the others go to the nearest centre and are averaged with it, each weighted
by exp of a trained score.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import nn

from biocosmos.encoders.reduction.merging import euclidean, merged
from biocosmos.encoders.reduction.selection import largest, places
from biocosmos.encoders.reduction.spec import Reduction
from biocosmos.encoders.reduction.tokens import Clues, Place, Reducer, StageShape, Step, Tokens, rows_of

NEIGHBOURS = 5
"""k, a token itself among them; as published."""
NOISE = 1e-6
"""As published: densities are told apart by so much noise."""
LARGEST_SCORE = 40.0
"""exp of more leaves float32."""


def density_peaks(
    x: torch.Tensor, count: int, *, neighbours: int = NEIGHBOURS, noise: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Clusters around dense tokens that are far from denser ones.

    Args:
        x: (b, n, c) floats.
        count: of centres, at most n.
        noise: (b, n) or (1, n) in 0..1, a millionth of which is added to densities, as published; None: of equal densities the
            lowest row counts as the denser.

    Returns: centres, (b, count) int64 rows of x, the largest rho * delta first; labels, (b, n) int64.
    """
    n = x.shape[1]
    distances = euclidean(x) / x.shape[2] ** 0.5
    density = (-_mean_square(distances, min(neighbours, n))).exp()
    if noise is not None:
        density = density + noise.float() * NOISE
    mine, other = density.unsqueeze(2), density.unsqueeze(1)
    row = torch.arange(n, device=x.device)
    denser = other > mine
    if noise is None:
        denser = denser | ((other == mine) & (row.unsqueeze(0) < row.unsqueeze(1)))
    farthest = distances.amax(dim=(1, 2), keepdim=True)
    delta = torch.where(denser, distances, farthest).amin(dim=2)
    centres = largest(density * delta, count, by_score=True)
    nearest = rows_of(distances, centres).min(dim=1).indices
    return centres, nearest.scatter(1, centres, places(centres))


def _mean_square(distances: torch.Tensor, neighbours: int) -> torch.Tensor:
    """(b, n): of the distances to the nearest, a token itself the first; a few minima take a quarter of the time of topk."""
    own = torch.eye(distances.shape[1], dtype=torch.bool, device=distances.device)
    left, total = distances.masked_fill(own, torch.inf), torch.zeros_like(distances[:, 0])
    for _ in range(neighbours - 1):
        nearest = left.min(dim=1)
        total = total + nearest.values * nearest.values
        left = left.scatter(1, nearest.indices.unsqueeze(1), torch.inf)
    return total / neighbours


class DpcKnn(Reducer):
    """Averages clusters around K density peaks. Its scores begin at 0: all tokens weigh alike until it is trained.

    As published, with noise on densities (here the same for each image, drawn by the stage's number).
    """

    place: ClassVar[Place] = "before"
    needs: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, shape: StageShape, reduction: Reduction) -> None:
        super().__init__(shape, reduction)
        self.score = nn.Linear(shape.width, 1)
        nn.init.zeros_(self.score.weight)
        nn.init.zeros_(self.score.bias)
        drawn = torch.Generator().manual_seed(shape.stage)
        noise = torch.rand(1, shape.before, generator=drawn) if reduction.published else None
        self.noise: torch.Tensor | None
        self.register_buffer("noise", noise, persistent=False)

    def reduce(self, tokens: Tokens, clues: Clues | None) -> Step:
        """See :class:`~biocosmos.encoders.reduction.tokens.Reducer`."""
        patches = tokens.x[:, tokens.prefix :]
        noise = None if self.noise is None else self.noise[:, : tokens.patches]
        _, labels = density_peaks(patches, self.keep, noise=noise)
        weights = self.score(patches).squeeze(-1).float().clamp(-LARGEST_SCORE, LARGEST_SCORE).exp()
        return merged(tokens, labels, self.keep, weights)
