"""Which kind of tower each modality gets: by its encoder, and by what of it is trained."""

from __future__ import annotations

from collections.abc import Callable

from biocosmos.encoders.modality import Modality
from biocosmos.errors import Failures
from biocosmos.train.contrastive.settings import FROZEN, ContrastiveSettings
from biocosmos.train.contrastive.specimens import ModalRows
from biocosmos.train.contrastive.towers.barcodes import TunedBarcodes
from biocosmos.train.contrastive.towers.images import TunedImages
from biocosmos.train.contrastive.towers.source import TowerSource
from biocosmos.train.contrastive.towers.stored import StoredBarcodes, StoredImages
from biocosmos.train.contrastive.towers.texts import TextTower
from biocosmos.train.loop.processes import Processes


def kind_of(modality: Modality, tune: str) -> type:
    """The class of a tower of images, DNA or texts; each is made of (rows, settings, where, failures)."""
    if modality == "text":
        return TextTower
    heads, tuned = (StoredImages, TunedImages) if modality == "image" else (StoredBarcodes, TunedBarcodes)
    return heads if tune in ("heads", FROZEN) else tuned


def make_sources(
    rows: ModalRows,
    settings: ContrastiveSettings,
    where: Processes,
    failures: Failures,
    kind: Callable[[Modality, str], type] = kind_of,
) -> dict[Modality, TowerSource]:
    """modality -> its tower, in the order of the settings. Raises BiocosmosError for what cannot be trained.

    kind: as :func:`kind_of`, of a recipe that has more of them.
    """
    return {modality: kind(modality, settings.tune_of(modality))(rows, settings, where, failures) for modality in settings.kinds}
