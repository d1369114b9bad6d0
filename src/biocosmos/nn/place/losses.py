"""Losses of presences without absences (Cole et al., SINR, 2023, equations 1 to 4): what was not seen is assumed not to be there.

Logits, not probabilities; every logarithm is log(p + 1e-5), as in the published code.
"""

from __future__ import annotations

import torch

EPSILON = 1e-5
PUBLISHED_WEIGHT = 2048.0
"""λ of SINR; geo_prior's is the number of classes."""


def an_full(logits: torch.Tensor, elsewhere: torch.Tensor, taxa: torch.Tensor, weight: float = PUBLISHED_WEIGHT) -> torch.Tensor:
    """Assumed negative, full: every other taxon is absent here, and every taxon at random places.

    logits: (n, C) at the presences; elsewhere: (m, C) at random places; taxa: (n,) int64 seen; weight: λ of the seen one.
    The mean over places and taxa of both, added.
    """
    here = torch.sigmoid(logits)
    seen = torch.nn.functional.one_hot(taxa, logits.shape[1]).bool()
    each = torch.where(seen, -weight * torch.log(here + EPSILON), -torch.log(1 - here + EPSILON))
    return each.mean() - torch.log(1 - torch.sigmoid(elsewhere) + EPSILON).mean()


def geo_prior(logits: torch.Tensor, elsewhere: torch.Tensor, taxa: torch.Tensor) -> torch.Tensor:
    """geo_prior's loss without its terms for photographers: :func:`an_full` with λ the number of taxa."""
    return an_full(logits, elsewhere, taxa, float(logits.shape[1]))


def an_ssdl(logits: torch.Tensor, elsewhere: torch.Tensor, taxa: torch.Tensor) -> torch.Tensor:
    """Same species, different location: the seen taxon is here, and is absent at a random place; elsewhere: (n, C)."""
    here, there = (torch.sigmoid(each.gather(1, taxa[:, None])) for each in (logits, elsewhere))
    return -(torch.log(here + EPSILON) + torch.log(1 - there + EPSILON)).mean()


def an_slds(logits: torch.Tensor, taxa: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    """Same location, different species: the seen taxon is here, and ``others`` (n,) int64, a random other each, is not."""
    here, other = (torch.sigmoid(logits.gather(1, each[:, None])) for each in (taxa, others))
    return -(torch.log(here + EPSILON) + torch.log(1 - other + EPSILON)).mean()


def random_others(taxa: torch.Tensor, count: int, generator: torch.Generator | None = None) -> torch.Tensor:
    """(n,) int64 a taxon of 0..count-1 for each of ``taxa``, uniform over those that are not it; count: 2 at least."""
    step = torch.randint(1, count, taxa.shape, generator=generator).to(taxa.device)
    return (taxa + step) % count


__all__ = ["an_full", "an_slds", "an_ssdl", "geo_prior", "random_others"]
