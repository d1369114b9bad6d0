"""K-medoids (Marin et al., "Token Pooling in Vision Transformers", WACV 2023, https://arxiv.org/abs/2110.03860).

Medoids are tokens m_1 .. m_K that make sum_j w_j min_k |x_j - m_k| small: tokens go to the nearest medoid, each cluster takes
the member that is nearest to all of it, and so on. w_j is how much attention the block before paid to token j, over all heads
and queries. A medoid stays as it is and stands for its cluster.
"""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import torch

from biocosmos.encoders.reduction.merging import euclidean, represented, sums_by_label
from biocosmos.encoders.reduction.selection import largest, places
from biocosmos.encoders.reduction.tokens import Clues, Place, Reducer, Step, Tokens, rows_of

ITERATIONS = 3
"""As published."""


def k_medoids(
    x: torch.Tensor,
    weights: torch.Tensor,
    count: int,
    *,
    first: torch.Tensor | None = None,
    iterations: int = ITERATIONS,
    published: bool = False,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Clusters around tokens.

    Args:
        x: (b, n, c) floats. weights: (b, n), what the distance of each token counts.
        count: of medoids, at most n.
        first: (b, count) int64, medoids to start from; None: the tokens of the largest weights.
        published: see :class:`KMedoids`.

    Returns: medoids, (b, count) int64 rows of x; labels, (b, n) int64 of the nearest medoid, of equal ones the first, and of
        a medoid itself.
    """
    distances, weights = euclidean(x), weights.detach().float()
    medoids = largest(weights, count, by_score=True) if first is None else first
    update = _published_update if published else _update
    for _ in range(iterations):
        medoids = update(distances, weights, _nearest(distances, medoids, published), medoids)
    return medoids, _nearest(distances, medoids, published)


def farthest_first(x: torch.Tensor, count: int, start: int = 0, *, published: bool = False) -> torch.Tensor:
    """Medoids to start from where all tokens count alike: each is the token farthest from its nearest medoid so far.

    x: (b, n, c) floats; published: farthest from its *farthest* medoid, as the published code has it.
    Returns: (b, count) int64, the first is ``start``.
    """
    distances = euclidean(x)
    medoids = torch.full((len(x), 1), start, dtype=torch.int64, device=x.device)
    for _ in range(count - 1):
        to_medoids = rows_of(distances, medoids)
        apart = to_medoids.amax(dim=1) if published else to_medoids.amin(dim=1)
        apart = apart.scatter(1, medoids, 0.0 if published else -1.0)
        medoids = torch.cat([medoids, apart.argmax(dim=1, keepdim=True)], dim=1)
    return medoids


def _nearest(distances: torch.Tensor, medoids: torch.Tensor, published: bool) -> torch.Tensor:
    labels = rows_of(distances, medoids).min(dim=1).indices
    # of tokens that are equal several may be medoids: none is left without its own
    return labels if published else labels.scatter(1, medoids, places(medoids))


def _update(distances: torch.Tensor, weights: torch.Tensor, labels: torch.Tensor, medoids: torch.Tensor) -> torch.Tensor:
    """The member of each cluster that costs least: cost of i = sum over j of its cluster of w_j d_ij."""
    count = medoids.shape[1]
    of_clusters = sums_by_label(distances * weights.unsqueeze(2), labels, count)
    return _cheapest(of_clusters.gather(1, labels.unsqueeze(1)).squeeze(1), labels, count)


def _published_update(
    distances: torch.Tensor, weights: torch.Tensor, labels: torch.Tensor, medoids: torch.Tensor
) -> torch.Tensor:
    """cost of i = w_i * sum over all j of d_ij; of a cluster without members, token 0."""
    return _cheapest(distances.sum(dim=2) * weights, labels, medoids.shape[1])


def _cheapest(costs: torch.Tensor, labels: torch.Tensor, count: int) -> torch.Tensor:
    """(b, count) int64: the member of each cluster that costs least, of equal ones the first; 0 where there is none."""
    b, n = costs.shape
    least = torch.full((b, count), torch.inf, device=costs.device).scatter_reduce(1, labels, costs, "amin")
    candidates = torch.where(costs == least.gather(1, labels), torch.arange(n, device=costs.device), n)
    found = torch.full((b, count), n, device=costs.device).scatter_reduce(1, labels, candidates, "amin")
    return found % n


def received(clues: Clues) -> torch.Tensor:
    """(b, patch tokens) float32: attention each gets, summed over queries and heads."""
    each = [
        replace(clues, queries=clues.queries[:, head : head + 1], keys=clues.keys[:, head : head + 1]).attention().sum(dim=2)
        for head in range(clues.queries.shape[1])  # one by one: (b, heads, n, n) is large
    ]
    return torch.cat(each, dim=1).sum(dim=1)[:, clues.prefix :]


class KMedoids(Reducer):
    """Keeps K medoids, three iterations from the tokens of the largest attention.

    As published: a candidate's cost is its own weight times its distances to all tokens, whatever their clusters.
    """

    place: ClassVar[Place] = "before"

    def reduce(self, tokens: Tokens, clues: Clues | None) -> Step:
        """See :class:`~biocosmos.encoders.reduction.tokens.Reducer`."""
        assert clues is not None
        patches, weights = tokens.x[:, tokens.prefix :], received(clues)
        medoids, labels = k_medoids(patches, weights, self.keep, published=self.reduction.published)
        return represented(tokens, medoids, labels)
