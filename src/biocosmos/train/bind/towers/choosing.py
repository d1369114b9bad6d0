"""Which kind of tower each modality gets, and how long the vectors of the space are."""

from __future__ import annotations

from dataclasses import replace

from biocosmos.encoders.modality import MODALITIES, Modality
from biocosmos.errors import Failures
from biocosmos.specimens.collection import Collection
from biocosmos.train.bind.settings import BindSettings
from biocosmos.train.bind.towers.environment import TunedEnvironment
from biocosmos.train.bind.towers.places import TunedPlaces
from biocosmos.train.bind.towers.stored import StoredAudio, StoredEnvironment, StoredPlaces, StoredSatellite
from biocosmos.train.contrastive.settings import FROZEN
from biocosmos.train.contrastive.specimens import ModalRows, resolved
from biocosmos.train.contrastive.towers.choosing import kind_of
from biocosmos.train.contrastive.towers.source import TowerSource
from biocosmos.train.loop.processes import Processes

WIDTH = 256
"""Of a space whose anchor is trained, where nothing is said."""
_KINDS: dict[str, tuple[type, type]] = {
    "place": (StoredPlaces, TunedPlaces),
    "environment": (StoredEnvironment, TunedEnvironment),
    "satellite": (StoredSatellite, StoredSatellite),
    "audio": (StoredAudio, StoredAudio),
}


def make_sources(rows: ModalRows, settings: BindSettings, where: Processes, failures: Failures) -> dict[Modality, TowerSource]:
    """modality -> its tower, in the order of :data:`MODALITIES`. Raises BiocosmosError for what cannot be trained."""
    return {
        modality: _kind(modality, settings.tune_of(modality))(rows, settings, where, failures)
        for modality in MODALITIES
        if modality in settings.kinds
    }


def _kind(modality: str, tune: str) -> type:
    if modality not in _KINDS:
        return kind_of(modality, tune)
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
