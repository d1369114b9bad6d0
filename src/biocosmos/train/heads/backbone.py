"""The backbone of a training on images: sized, reduced and made trainable as the settings say, and saved."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from biocosmos.encoders.input_size import at_size
from biocosmos.encoders.reduction.reduced import reduced
from biocosmos.encoders.saving import save_encoder
from biocosmos.encoders.towers import Towers, trainable
from biocosmos.errors import BiocosmosError
from biocosmos.train.heads.settings import HeadSettings


def to_train(towers: Towers, settings: HeadSettings) -> Towers:
    """The towers with every weight trainable. Raises BiocosmosError for what cannot be trained, or takes no such images."""
    s = settings
    if towers.architecture["kind"] == "none":
        raise BiocosmosError(f"'{s.encoder}' cannot be built again from a folder: train a head on its vectors (--freeze)")
    towers = towers if s.size is None else at_size(towers, s.size)
    if s.resize is not None or s.mean or s.std:
        prepared = towers.preprocessing.replaced(resize=s.resize, mean=tuple(s.mean) or None, std=tuple(s.std) or None)
        towers = replace(towers, preprocessing=prepared, started_from=towers.started_from or towers.digest)
    if (reduction := s.reduction()) is not None:
        towers = reduced(towers, reduction, seed=s.seed)
    trainable(towers)  # refuses what cannot be trained
    for weights in towers.whole.parameters():
        weights.requires_grad_(True)
    return towers


def save_trained(folder: Path, towers: Towers, settings: HeadSettings, training: dict[str, Any]) -> dict[str, str]:
    """Write the trained towers as an encoder; returns what a head says of it, see :func:`identify.namers.heads.save_head`."""
    digest = save_encoder(folder, towers, base=settings.encoder, training=training)
    return {"name": settings.encoder, "digest": towers.started_from or towers.digest, "trained": digest}
