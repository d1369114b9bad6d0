"""Projections of stored vectors of places, environments, satellite images and sounds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from biocosmos.encoders.beside.encoder import FileEncoder, load_file_encoder
from biocosmos.encoders.beside.projected import save_projected_files
from biocosmos.encoders.modality import Modality
from biocosmos.encoders.places.encoder import PlaceEncoder, load_place_encoder
from biocosmos.encoders.places.projected import save_projected_places
from biocosmos.errors import Failures
from biocosmos.places import Places
from biocosmos.train.batches.base_vectors import embed_base
from biocosmos.train.batches.drawing import Rows
from biocosmos.train.bind.settings import BindSettings
from biocosmos.train.bind.towers.placed import Placed, places_of_rows
from biocosmos.train.contrastive.specimens import ModalRows
from biocosmos.train.contrastive.towers.stored import StoredTower
from biocosmos.train.loop.processes import Processes


class StoredFiles(StoredTower):
    """A projection of an encoder of satellite images or of sounds."""

    kind: Modality

    def __init__(self, rows: ModalRows, settings: BindSettings, where: Processes, failures: Failures) -> None:
        self.encoder: FileEncoder = load_file_encoder(getattr(settings, self.kind), self.kind, device=str(where.device))
        embed_base(rows.collection, self.encoder.name, self.encoder.digest, where)
        super().__init__(rows, settings, failures, self.encoder.name, self.kind)

    def save(self, folder: Path, facts: dict[str, Any]) -> str:
        """The projection, with the name of the encoder beneath."""
        return save_projected_files(folder, self.encoder, self.module.cpu(), training=facts)


class StoredSatellite(StoredFiles):
    """Of satellite images."""

    kind = "satellite"


class StoredAudio(StoredFiles):
    """Of sounds."""

    kind = "audio"


class StoredPlaces(StoredTower, Placed):
    """A projection of an encoder of places, which is asked of negatives too."""

    kind: Modality = "place"

    def __init__(self, rows: ModalRows, settings: BindSettings, where: Processes, failures: Failures) -> None:
        self.encoder: PlaceEncoder = load_place_encoder(getattr(settings, self.kind), device=str(where.device))
        embed_base(rows.collection, self.encoder.name, self.encoder.digest, where)
        self.places, self.learnt = places_of_rows(rows.collection, rows.ids), rows.learnt
        super().__init__(rows, settings, failures, self.encoder.name, self.kind)

    def inputs(self, rows: Rows, generator: torch.Generator | None) -> torch.Tensor:
        """As of :class:`StoredTower`."""
        return StoredTower.inputs(self, rows, generator)

    def of_places(self, places: Places) -> torch.Tensor:
        """(m, dim) float32 vectors of the encoder beneath."""
        return torch.from_numpy(self.encoder.encode_places(places))

    def good(self, inputs: torch.Tensor) -> torch.Tensor:
        """(m,) bool: the encoder says something."""
        return inputs.any(1)

    def save(self, folder: Path, facts: dict[str, Any]) -> str:
        """The projection, with the name of the encoder beneath."""
        return save_projected_places(folder, self.encoder, self.module.cpu(), training=facts)


class StoredEnvironment(StoredPlaces):
    """Of environments."""

    kind = "environment"
