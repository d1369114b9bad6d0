"""Between an encoder and what training made of it: interpolated weights often keep the gain and lose less of the rest.

Wortsman et al. 2022, "Robust fine-tuning of zero-shot models", arXiv:2109.01903 (equation 1); the weight is chosen on validation
images, never on the test part.
"""

from __future__ import annotations

import copy
from dataclasses import replace

import torch
from torch import nn

from biocosmos.encoders.input_size import at_size
from biocosmos.encoders.towers import Towers, current_digest, whole_model
from biocosmos.errors import BiocosmosError


def interpolated(base: Towers, trained: Towers, weight: float) -> Towers:
    """``(1 - weight) * base + weight * trained`` for every floating tensor, both towers and batch statistics included.

    Tensors of integers (counts of batches) are those of ``trained``. Images are prepared as ``trained`` wants them, at every
    weight, so that a curve has one input size (a vision transformer of another size is resampled to it). At 0 the weights are
    exactly the base's and at 1 exactly the trained ones.

    Args:
        base: what training started from.
        trained: of the same architecture; with a projection only if the base has one of the same shape.
        weight: 0 is ``base``, 1 is ``trained``.

    Returns:
        a new encoder; both others stay as they are.

    Raises:
        BiocosmosError: different architectures, a projection on one side alone, a weight outside 0..1, a frozen base.
    """
    if not 0 <= weight <= 1:
        raise BiocosmosError(f"the weight between two encoders is from 0 (base) to 1 (trained), not {weight}")
    if trained.base is not None:
        raise BiocosmosError(
            f"the trained encoder is a projection over '{trained.base.name}', left as it is: there is nothing to interpolate; "
            "train the whole encoder without a projection (--no-freeze --dim 0)"
        )
    if (base.projection is None) != (trained.projection is None):
        which = "trained encoder" if base.projection is None else "base"
        raise BiocosmosError(
            f"only the {which} has a projection, which has no counterpart to interpolate with: train without one (--dim 0)"
        )
    if base.preprocessing.size != trained.preprocessing.size and not _same_shapes(base, trained):
        base = at_size(base, trained.preprocessing.size)
    image, text, projection = copy.deepcopy((trained.image, trained.text, trained.projection))
    mixed = replace(trained, image=image, text=text, projection=projection, facts={})
    _mix(whole_model(base), whole_model(mixed), weight)
    if base.projection is not None and mixed.projection is not None:
        if base.projection.settings() != mixed.projection.settings():
            raise BiocosmosError(
                "the projections of the two encoders differ in shape: interpolate encoders that were trained alike"
            )
        _mix(base.projection, mixed.projection, weight)
    digest = {0.0: base.digest, 1.0: trained.digest}.get(float(weight)) or current_digest(mixed)
    source = f"{weight:g} of the way from {base.source} to {trained.source}"
    return replace(mixed, digest=digest, source=source, started_from=base.started_from or base.digest)


def _same_shapes(base: Towers, trained: Towers) -> bool:
    one, other = whole_model(base).state_dict(), whole_model(trained).state_dict()
    return all(one[name].shape == other[name].shape for name in set(one) & set(other))


@torch.no_grad()
def _mix(base: nn.Module, trained: nn.Module, weight: float) -> None:
    """Change ``trained`` in place."""
    one, other = base.state_dict(), trained.state_dict()
    different = set(one) ^ set(other) or {name for name in one if one[name].shape != other[name].shape}
    if different:
        raise BiocosmosError(
            f"the two encoders are of different architectures (they differ in {sorted(different)[0]}): "
            f"only the same model before and after training can be interpolated"
        )
    for name, tensor in other.items():
        if tensor.is_floating_point() and weight < 1:
            start = one[name].to(tensor)
            tensor.copy_(start if weight == 0 else (1 - weight) * start + weight * tensor)
