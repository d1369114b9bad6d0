"""Outliers made against a model: specimens changed, visibly and smoothly, until it hesitates between two taxa.

    x <- x - step * smooth(gradient of CE(model(x), half the own class, half another taxon's))

A change of single pixels that no one sees would make an outlier of what is still a specimen, and teach the model to doubt
specimens. So the gradient is smoothed over a twentieth of the side, kept to where the specimen is, and its steps are large; of
all steps the image at which the two classes are most nearly alike is kept. After projected gradient descent (Madry et al., ICLR
2018, arXiv 1706.06083) with targets between two classes, as boundary samples are used by Lee et al., ICLR 2018, arXiv 1711.09325.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from biocosmos.train.batches.augment import background_of
from biocosmos.train.batches.outliers import pairs

STEPS = 5
REACH = 0.25
"""Largest change of a value, share of white."""
SMOOTH = 1 / 20
"""Width of the smoothing, share of the image's side."""
_WHITE = 255.0
_STEP = 2.0
"""All steps together would go so many times as far as they may, so that a later one can correct an earlier one."""


def near_boundary(
    images: Tensor,
    targets: Tensor,
    scores: Callable[[Tensor], Tensor],
    generator: torch.Generator,
    count: int,
    *,
    steps: int = STEPS,
    reach: float = REACH,
) -> tuple[Tensor, Tensor]:
    """``count`` images at which a model hesitates between the taxa of two of ``images``.

    Args:
        images: (n, 3, side, side) of values 0..255, uint8 or floats, on any device; they are not changed.
        targets: (n,) integers, equal for images of one taxon; those below 0 are not used.
        scores: from (m, 3, side, side) floats 0..255 to (m, classes) scores whose softmax are probabilities, differentiable. What
            it does in training mode (dropout, batch norm) is the caller's to decide; its weights get no gradient.
        generator: on the CPU; chooses the pairs.
        count: how many; steps: passes forward and back; reach: largest change of a value, share of white, 0..1.

    Returns: ((m, 3, side, side) of the images' type, (m, 2) int64 rows, on the CPU, of the image that was changed and of the one
    whose class it was moved to). m is 0 when there are no images of two taxa, else ``count``.
    """
    parents = pairs(targets, count, generator)
    if not len(parents):
        return images[:0], parents
    rows = parents.to(images.device)
    start = images[rows[:, 0]].float()
    with torch.no_grad():
        used, place = torch.unique(rows, return_inverse=True)
        winners = scores(images[used].float()).argmax(1)[place]
    limit = reach * _WHITE
    near = _near_specimen(start)
    x, best = start, start
    closest = torch.full((len(x),), torch.inf, device=x.device)
    for number in range(steps + 1):
        x = x.detach().requires_grad_(number < steps)
        with torch.enable_grad():
            chosen = scores(x).log_softmax(1).gather(1, winners)
        # how far either class is from one half: 0 at the boundary of the two
        distance = (chosen.detach().exp() - 0.5).abs().amax(1)
        better = distance < closest
        closest = torch.where(better, distance, closest)
        best = torch.where(better[:, None, None, None], x.detach(), best)
        if number == steps:
            break
        (gradient,) = torch.autograd.grad(-chosen.sum(), x)
        direction = _smoothed(gradient * near) * near
        direction = direction / direction.abs().amax((1, 2, 3), keepdim=True).clamp_min(1e-12)
        moved = x.detach() - direction * (limit * _STEP / steps)
        x = (start + (moved - start).clamp(-limit, limit)).clamp(0, _WHITE)
    best = best if images.is_floating_point() else best.round()
    return best.to(images.dtype), parents


def _near_specimen(values: Tensor) -> Tensor:
    """(n, 1, s, s) 0..1: 1 at the specimen and close about it."""
    strength = (values - background_of(values)).abs().mean(1, keepdim=True)
    wide = _smoothed(strength)
    return (wide / (0.25 * wide.amax((2, 3), keepdim=True)).clamp_min(1e-6)).clamp_max(1)


def _smoothed(values: Tensor) -> Tensor:
    """Twice a moving average, which is nearly a Gaussian."""
    width = 2 * max(1, round(SMOOTH * values.shape[-1] / 2)) + 1
    for _ in range(2):
        values = F.avg_pool2d(values, width, stride=1, padding=width // 2, count_include_pad=False)
    return values
