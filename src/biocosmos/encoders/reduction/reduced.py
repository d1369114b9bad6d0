"""An encoder with a reduction of its tokens: the towers, their digest, and the weights of the stages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import cast

import torch

from biocosmos.encoders.reduction.network import ReducedVit, network_of
from biocosmos.encoders.reduction.spec import Reduction, canonical
from biocosmos.encoders.towers import Towers, plain_state
from biocosmos.errors import BiocosmosError


def reduced(towers: Towers, reduction: Reduction, steps: Mapping[str, torch.Tensor] | None = None, *, seed: int = 0) -> Towers:
    """The encoder with fewer tokens; its weights stay where they are.

    Args:
        towers: of a vision transformer of timm or open_clip, without a projection or with one trained together.
        steps: weights of the stages as :func:`step_weights` gives them; None: as they begin, drawn by ``seed``.

    Raises:
        BiocosmosError: no vision transformer; a reduction there already; stages that do not fit, or their weights do not.
    """
    if towers.reduction is not None:
        raise BiocosmosError(f"this encoder has a reduction of tokens already ({towers.reduction}): give the one without it")
    if towers.takes_bytes or towers.architecture["kind"] == "none":
        raise BiocosmosError("only an encoder that is a vision transformer of timm or open_clip has tokens to reduce")
    if towers.base is not None:
        raise BiocosmosError(
            f"this encoder is a projection over '{towers.base.name}', frozen: reduce that one, and train a projection on it"
        )
    reduction = canonical(reduction, len(network_of(towers.image).blocks()))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        image = ReducedVit(towers.image, reduction, towers.preprocessing.size)
    if steps is not None:
        try:
            image.steps.load_state_dict(dict(steps))
        except RuntimeError as error:
            raise BiocosmosError(
                f"the weights of reduction {reduction} do not fit: {' '.join(str(error).split())[:160]}"
            ) from error
    image.train(towers.image.training)
    made = replace(towers, image=image, reduction=reduction, started_from=towers.started_from, dim=towers.dim)
    return replace(made, digest=image.digest_over(towers.digest))


def without_reduction(towers: Towers) -> Towers:
    """The encoder as it is with all tokens; its digest is that of its weights now."""
    if towers.reduction is None:
        return towers
    return replace(towers, image=cast(ReducedVit, towers.image).dense, reduction=None)


def step_weights(towers: Towers) -> dict[str, torch.Tensor]:
    """Weights of the stages, on the CPU; empty for methods that have none."""
    return {} if towers.reduction is None else plain_state(cast(ReducedVit, towers.image).steps)
