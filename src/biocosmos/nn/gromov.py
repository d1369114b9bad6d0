"""The Gromov-Wasserstein discrepancy of two geometries, as a function of their distances when the coupling is given."""

from __future__ import annotations

import torch
from torch import Tensor


def gromov_wasserstein(first: Tensor, second: Tensor, plan: Tensor) -> Tensor:
    """sum over i, j, k, l of (first_ij - second_kl)^2 plan_ik plan_jl, differentiable in all three.

    The coupling that makes it least is another's work (POT's solver, see ``train/prototypes/geometry``); by the envelope
    theorem the gradient at that coupling is the gradient of the least value. With the identity as coupling it is the raw stress
    of multidimensional scaling. Computed by the decomposition of Peyre, Cuturi and Solomon, ICML 2016, proposition 1, in O(n^2 m
    + n m^2): sum first^2 p p' + sum second^2 q q' - 2 <first plan second', plan>, p and q the margins of the plan.

    Args:
        first: (n, n) distances. second: (m, m) distances. plan: (n, m) non-negative masses.

    Returns:
        scalar, at least 0 up to rounding.
    """
    p, q = plan.sum(dim=1), plan.sum(dim=0)
    alone = p @ first.square() @ p + q @ second.square() @ q
    return alone - 2.0 * (first @ plan @ second.T * plan).sum()


def cosine_distances(points: Tensor) -> Tensor:
    """(n, d) unit vectors -> (n, n) 1 - cosine, 0..2."""
    return 1.0 - points @ points.T


def stretch(first: Tensor, second: Tensor, plan: Tensor) -> Tensor:
    """The factor a >= 0 by which ``second`` is multiplied so that :func:`gromov_wasserstein` is least: the geometry's shape is
    asked for and not its size. Without gradient."""
    with torch.no_grad():
        q = plan.sum(dim=0)
        own = q @ second.square() @ q
        return ((first @ plan @ second.T * plan).sum() / own.clamp(min=torch.finfo(own.dtype).tiny)).clamp(min=0.0)
