"""An encoder for images of another size than it was made for: to train it cheaper at fewer pixels, or finer at more."""

from __future__ import annotations

from dataclasses import replace

from biocosmos.encoders.reduction.spec import Reduction
from biocosmos.encoders.towers import Towers, current_digest
from biocosmos.errors import BiocosmosError, first_line


def at_size(towers: Towers, size: int) -> Towers:
    """The encoder for images of ``size`` x ``size`` pixels.

    Convolutional networks take any size. A vision transformer is built again with its position embeddings resampled, as timm
    and open_clip do it when they load weights of another size.

    Raises:
        BiocosmosError: the model exists at its own size only; too few pixels for it; a frozen base, which stays as it is.
    """
    own = towers.preprocessing.size
    if size == own:
        return towers
    if towers.base is not None:
        raise BiocosmosError(f"the frozen base '{towers.base.name}' takes images of {own} pixels: leave the size as it is")
    if towers.reduction is not None:
        return _reduced_at_size(towers, towers.reduction, size)
    resized = replace(towers, preprocessing=towers.preprocessing.replaced(size=size))
    kind = towers.architecture["kind"]
    try:
        if kind == "timm":
            from biocosmos.encoders import timm_models

            resized = timm_models.at_size(resized, size)
        elif kind == "open_clip":
            from biocosmos.encoders import open_clip_models

            resized = open_clip_models.at_size(resized, size)
        resized.features()
    except Exception as error:  # timm, open_clip and torch each refuse in their own words
        raise BiocosmosError(
            f"this encoder cannot take images of {size} x {size} pixels ({first_line(error)}): "
            f"give another size, or leave it at {own}"
        ) from error
    started_from = towers.started_from or towers.digest
    return replace(resized, digest=current_digest(resized), started_from=started_from)


def _reduced_at_size(towers: Towers, reduction: Reduction, size: int) -> Towers:
    """The network resized, and its tokens reduced to the same shares; stages with weights for the old number are refused."""
    from biocosmos.encoders.reduction.reduced import reduced, step_weights, without_reduction

    plain = without_reduction(towers)
    plain = replace(plain, digest=current_digest(plain))
    return reduced(at_size(plain, size), reduction, step_weights(towers))
