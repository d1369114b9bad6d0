"""Bind modalities to one anchor: a space whose anchor's vectors are those of an encoder that is already there.

    specimens of the training part -> towers -> each modality's loss against the anchor -> a folder

Sastry et al., TaxaBind, WACV 2025 (arXiv:2411.00683). It is ``train contrastive`` with another loss and further towers.
Deviations by default: modalities are bound together in one run, each with its own temperature (the published code trains one at a
time, which with a frozen anchor has the same gradients); logarithms are exact; a projection, or a network over places, is what is
trained; the rate rises and falls once (there it restarts).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from biocosmos.specimens.collection import Collection
from biocosmos.train.bind.settings import BindSettings
from biocosmos.train.bind.task import BoundTask
from biocosmos.train.bind.towers.choosing import kind_of, resolved_width
from biocosmos.train.contrastive.settings import ContrastiveSettings
from biocosmos.train.contrastive.specimens import ModalRows
from biocosmos.train.contrastive.training import ContrastiveResult, Recipe, train_contrastive

RECIPE = Recipe("biocosmos train bind", resolved_width, kind_of, BoundTask)


def train_bind(
    collection: Collection | str | Path,
    settings: BindSettings,
    output: str | Path,
    *,
    overwrite: bool = False,
    tell: Callable[[ModalRows, ContrastiveSettings], None] | None = None,
) -> ContrastiveResult:
    """Bind and save the space in the folder ``output``; as :func:`biocosmos.train.contrastive.training.train_contrastive`."""
    return train_contrastive(collection, settings, output, overwrite=overwrite, tell=tell, recipe=RECIPE)


__all__ = ["RECIPE", "train_bind"]
