"""Training on mixtures of two images: MixUp blends them, CutMix puts a rectangle of one into the other.

    inputs = share * inputs + (1 - share) * inputs[partner]        loss = share * loss(targets) + (1 - share) * loss(other)

One share, from Beta(alpha, alpha), serves the batch. The partner of each image is another one of the batch; with ``weights`` rare
taxa are partners more often, so that mixing also resamples ("remix" of a long tail). Specimens are mixed with specimens only:
rows whose target is below 0, outliers, stay as they are.

MixUp: Zhang et al., ICLR 2018, arXiv 1710.09412. CutMix: Yun et al., ICCV 2019, arXiv 1905.04899.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from biocosmos.errors import BiocosmosError


def mixup(
    inputs: Tensor, targets: Tensor, alpha: float, generator: torch.Generator | None = None, weights: Tensor | None = None
) -> tuple[Tensor, Tensor, float]:
    """Each row blended with another.

    Args:
        inputs: (n, ...) images or vectors, on any device; they are not changed.
        targets: (n,) integers; rows below 0 are not mixed.
        alpha: of the Beta distribution of shares, above 0; 0.2 is customary for images.
        generator: on the CPU; None is torch's own, which the training loop keeps in its checkpoints.
        weights: (n,) at least 0, how likely each row is to be a partner; None is all alike.

    Returns: (mixed (n, ...) floats, other targets (n,), share of ``inputs`` in the mixture, 0..1).
    Raises BiocosmosError for an alpha of 0 or less.
    """
    share, generator = _share(alpha, generator)
    partner = _partners(targets, generator, weights)
    values = inputs if inputs.is_floating_point() else inputs.float()
    mixed = torch.lerp(values[partner], values, share)
    alone = partner == torch.arange(len(partner), device=partner.device)
    mixed[alone] = values[alone]  # exact, whatever the rounding of the blend
    return mixed, targets[partner], share


def cutmix(
    inputs: Tensor, targets: Tensor, alpha: float, generator: torch.Generator | None = None, weights: Tensor | None = None
) -> tuple[Tensor, Tensor, float]:
    """A rectangle of each image replaced by what another has there; arguments and answer as :func:`mixup`, the type unchanged.

    inputs: (n, channels, height, width). The rectangle has the image's proportions and a middle anywhere, so that some of it may
    lie outside; the share that is returned is that of the pixels kept. Raises BiocosmosError for inputs that are not images.
    """
    if inputs.ndim != 4:
        raise BiocosmosError(f"CutMix needs images, (n, channels, height, width), not {tuple(inputs.shape)}: use MixUp")
    share, generator = _share(alpha, generator)
    partner = _partners(targets, generator, weights)
    sides = torch.tensor(inputs.shape[2:])
    middle = (torch.rand(2, generator=generator) * sides).long()
    half = (sides * (1 - share) ** 0.5 / 2).round().long()
    top, left = (middle - half).clamp_min(0).tolist()
    bottom, right = torch.minimum(middle + half, sides).tolist()
    mixed = inputs.clone()
    mixed[:, :, top:bottom, left:right] = inputs[partner, :, top:bottom, left:right]
    return mixed, targets[partner], 1 - (bottom - top) * (right - left) / (inputs.shape[2] * inputs.shape[3])


def _share(alpha: float, generator: torch.Generator | None) -> tuple[float, torch.Generator]:
    """A draw from Beta(alpha, alpha), and the generator to go on with."""
    if not alpha > 0:
        raise BiocosmosError(f"the alpha of mixing must be above 0, not {alpha}")
    generator = torch.default_generator if generator is None else generator
    seed = int(torch.randint(2**62, (), generator=generator))
    return float(np.random.default_rng(seed).beta(alpha, alpha)), generator


def _partners(targets: Tensor, generator: torch.Generator, weights: Tensor | None) -> Tensor:
    """(n,) int64 rows, on the device of ``targets``; rows below 0 are their own."""
    known = (targets.cpu() >= 0).nonzero().squeeze(1)
    partner = torch.arange(len(targets))
    order = torch.randperm(len(known), generator=generator)
    if weights is not None and len(known):
        chances = weights.detach().cpu().double()[known]
        if chances.sum() > 0:
            order = torch.multinomial(chances, len(known), replacement=True, generator=generator)
    partner[known] = known[order]
    return partner.to(targets.device)
