"""Which kind of tower each modality gets, and how long the vectors of the space are."""

from __future__ import annotations

from dataclasses import replace

from biocosmos.encoders.modality import Modality
from biocosmos.specimens.collection import Collection
from biocosmos.train.bind.settings import BindSettings
from biocosmos.train.bind.towers.environment import TunedEnvironment
from biocosmos.train.bind.towers.places import TunedPlaces
from biocosmos.train.bind.towers.stored import StoredAudio, StoredEnvironment, StoredPlaces, StoredSatellite
from biocosmos.train.contrastive.settings import FROZEN
from biocosmos.train.contrastive.specimens import resolved
from biocosmos.train.contrastive.towers import choosing

WIDTH = 256
"""Of a space whose anchor is trained, where nothing is said."""
_KINDS: dict[Modality, tuple[type, type]] = {
    "place": (StoredPlaces, TunedPlaces),
    "environment": (StoredEnvironment, TunedEnvironment),
    "satellite": (StoredSatellite, StoredSatellite),
    "audio": (StoredAudio, StoredAudio),
}


def kind_of(modality: Modality, tune: str) -> type:
    """As :func:`biocosmos.train.contrastive.towers.choosing.kind_of`, of what is bound too."""
    if modality not in _KINDS:
        return choosing.kind_of(modality, tune)
    stored, tuned = _KINDS[modality]
    return tuned if tune == "full" else stored


def resolved_width(collection: Collection, settings: BindSettings) -> tuple[BindSettings, list[str]]:
    """As :func:`biocosmos.train.contrastive.specimens.resolved`, and the width of the space."""
    found, notes = resolved(collection, settings)
    assert isinstance(found, BindSettings)
    if not found.width:
        found = replace(found, width=_dim(found) if found.tune_of(found.anchor) == FROZEN else WIDTH)
    return found, notes


def _dim(settings: BindSettings) -> int:
    """Of the anchor's encoder."""
    if settings.anchor == "dna":
        from biocosmos.encoders.barcodes import load_barcode_encoder

        return int(load_barcode_encoder(settings.dna).dim)
    from biocosmos.encoders.registry import load_encoder

    return int(load_encoder(settings.image, device="cpu").dim)
