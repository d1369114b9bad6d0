"""Which kind of tower each modality gets, and how long the vectors of the space are."""

from __future__ import annotations

from dataclasses import replace

from biocosmos.encoders.modality import Modality
from biocosmos.errors import BiocosmosError
from biocosmos.files import is_folder
from biocosmos.specimens.collection import Collection
from biocosmos.train.bind.settings import ENVIRONMENT, BindSettings
from biocosmos.train.bind.towers.environment import TunedEnvironment
from biocosmos.train.bind.towers.places import TunedPlaces
from biocosmos.train.bind.towers.stored import StoredAudio, StoredEnvironment, StoredPlaces, StoredSatellite
from biocosmos.train.contrastive.settings import AUTO, FROZEN
from biocosmos.train.contrastive.specimens import resolved
from biocosmos.train.contrastive.towers import choosing

WIDTH = 256
"""Of a space whose anchor is trained, where nothing is said."""
RASTERS = "rasters"
"""The folder beside a collection in which rasters are looked for."""
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
    settings, told = _with_rasters(collection, settings)
    found, notes = resolved(collection, settings)
    notes = [*told, *notes]
    assert isinstance(found, BindSettings)
    if not found.width:
        found = replace(found, width=_dim(found) if found.tune_of(found.anchor) == FROZEN else WIDTH)
    return found, notes


def _with_rasters(collection: Collection, settings: BindSettings) -> tuple[BindSettings, list[str]]:
    """The settings with the environment named, and a sentence on where it was found."""
    if settings.environment != AUTO:
        return settings, []
    beside = collection.path.absolute().parent / RASTERS
    there = [name for name in collection.encoders if name.startswith(f"{ENVIRONMENT}:")]
    if len(there) == 1:
        name = there[0]
    elif there or not is_folder(beside):
        found = f"{collection.path} is embedded with {', '.join(there)}" if there else f"there is no folder {beside}"
        raise BiocosmosError(
            f"--modalities has environment, and which rasters is not clear ({found}): name a folder of GeoTIFF or NetCDF files, "
            "--environment environment:RASTERS"
        )
    else:
        name = f"{ENVIRONMENT}:{beside}"
    return replace(settings, environment=name), [f"the environment is read from {name.partition(':')[2]}"]


def _dim(settings: BindSettings) -> int:
    """Of the anchor's encoder."""
    if settings.anchor == "dna":
        from biocosmos.encoders.barcodes import load_barcode_encoder

        return int(load_barcode_encoder(settings.dna).dim)
    from biocosmos.encoders.registry import load_encoder

    return int(load_encoder(settings.image, device="cpu").dim)
