"""Between an encoder and what training made of it: interpolated weights often keep the gain and lose less of the rest.

Wortsman et al. 2022, "Robust fine-tuning of zero-shot models", arXiv:2109.01903 (equation 1); patching in TaxaBind's words
(arXiv:2411.00683): of all weights, or of those whose names fit a pattern. How far to go is chosen on validation images, never on
the test part.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

import torch
from torch import nn

from biocosmos.encoders.input_size import at_size
from biocosmos.encoders.towers import Towers, current_digest, whole_model
from biocosmos.errors import BiocosmosError

PROJECTION = "projection."
"""Before the names of the weights of a projection, among those of an encoder."""
NOT = "!"
_SHOWN = 3


def interpolated(base: Towers, trained: Towers, weight: float, patterns: Sequence[str] = ()) -> Towers:
    """``(1 - weight) * base + weight * trained`` for every floating tensor, both towers and batch statistics included.

    Tensors of integers (counts of batches) are those of ``trained``. Images are prepared as ``trained`` wants them, at every
    weight, so that a curve has one input size (a vision transformer of another size is resampled to it). At 0 the weights are
    exactly the base's and at 1 exactly the trained ones.

    Args:
        base: what training started from.
        trained: of the same architecture; with a projection only if the base has one of the same shape, or if no pattern fits it.
            A projection over an encoder that was left as it is, where the base is another over the same.
        weight: 0 is ``base``, 1 is ``trained``.
        patterns: only weights with a name that fits one of these, such as "blocks.1*", and none of those with a "!" before them,
            such as "!projection.*"; the others are those of ``trained``. () for all.

    Returns:
        a new encoder; both others stay as they are.

    Raises:
        BiocosmosError: different architectures, a projection on one side alone, a weight outside 0..1, a frozen base, a pattern
            that fits no weight.
    """
    if not 0 <= weight <= 1:
        raise BiocosmosError(f"the weight between two encoders is from 0 (base) to 1 (trained), not {weight}")
    frozen = trained.base is not None
    if trained.base is not None and (base.base is None or base.base.digest != trained.base.digest):
        raise BiocosmosError(
            f"the trained encoder is a projection over '{trained.base.name}', left as it is: there is nothing to interpolate; "
            "train the whole encoder without a projection (--no-freeze --dim 0; of a space: --tune image=full)"
        )
    chosen = chosen_weights(trained, patterns)
    projected = any(name.startswith(PROJECTION) for name in chosen)
    if (base.projection is None) != (trained.projection is None) and (projected or trained.projection is None or not patterns):
        which = "trained encoder" if base.projection is None else "base"
        raise BiocosmosError(
            f"only the {which} has a projection, which has no counterpart to interpolate with: train without one (--dim 0)"
            + (", or leave it out ('!projection.*')" if base.projection is None else "")
        )
    if not frozen and base.preprocessing.size != trained.preprocessing.size and not _same_shapes(base, trained):
        base = at_size(base, trained.preprocessing.size)
    image, text, projection = copy.deepcopy((trained.image, trained.text, trained.projection))
    mixed = replace(trained, image=image, text=text, projection=projection, facts={})
    if not frozen:
        _mix(whole_model(base), whole_model(mixed), weight, chosen)
    if projected and base.projection is not None and mixed.projection is not None:
        if base.projection.settings() != mixed.projection.settings():
            raise BiocosmosError(
                "the projections of the two encoders differ in shape: interpolate encoders that were trained alike"
            )
        _mix(base.projection, mixed.projection, weight, [name.removeprefix(PROJECTION) for name in chosen])
    ends = {1.0: trained.digest} if patterns else {0.0: base.digest, 1.0: trained.digest}
    digest = ends.get(float(weight)) or current_digest(mixed)
    source = f"{weight:g} of the way from {base.source} to {trained.source}"
    return replace(mixed, digest=digest, source=source, started_from=base.started_from or base.digest)


def chosen_weights(towers: Towers, patterns: Sequence[str] = ()) -> list[str]:
    """The names of the weights that fit a pattern (* and ?), and none that begins with "!"; all where no pattern is given.

    Those of a projection begin with "projection."; an encoder beneath that is left as it is has none. Raises BiocosmosError for
    a pattern that fits none, and for patterns that leave none.
    """
    names = [] if towers.base is not None else list(whole_model(towers).state_dict())
    if towers.projection is not None:
        names += [f"{PROJECTION}{name}" for name in towers.projection.state_dict()]
    some = ", ".join([*names[:_SHOWN], "..."])
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern.removeprefix(NOT)) for name in names):
            raise BiocosmosError(f"no weight has a name like '{pattern.removeprefix(NOT)}': they are {some}")
    wanted = [pattern for pattern in patterns if not pattern.startswith(NOT)] or ["*"]
    unwanted = [pattern.removeprefix(NOT) for pattern in patterns if pattern.startswith(NOT)]
    chosen = [
        name
        for name in names
        if any(fnmatchcase(name, pattern) for pattern in wanted) and not any(fnmatchcase(name, each) for each in unwanted)
    ]
    if not chosen:
        raise BiocosmosError(f"the patterns {', '.join(patterns)} leave no weight: they are {some}")
    return chosen


def _same_shapes(base: Towers, trained: Towers) -> bool:
    one, other = whole_model(base).state_dict(), whole_model(trained).state_dict()
    return all(one[name].shape == other[name].shape for name in set(one) & set(other))


@torch.no_grad()
def _mix(base: nn.Module, trained: nn.Module, weight: float, chosen: Collection[str]) -> None:
    """Change the chosen weights of ``trained`` in place."""
    one, other = base.state_dict(), trained.state_dict()
    different = set(one) ^ set(other) or {name for name in one if one[name].shape != other[name].shape}
    if different:
        raise BiocosmosError(
            f"the two encoders are of different architectures (they differ in {sorted(different)[0]}): "
            f"only the same model before and after training can be interpolated"
        )
    wanted = frozenset(chosen)
    for name, tensor in other.items():
        if name in wanted and tensor.is_floating_point() and weight < 1:
            start = one[name].to(tensor)
            tensor.copy_(start if weight == 0 else (1 - weight) * start + weight * tensor)
