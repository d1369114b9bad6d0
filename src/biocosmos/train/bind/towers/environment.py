"""A network over the environment at a place, as a user's rasters tell it: TaxaBind's, new or as it was published."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from biocosmos.encoders.modality import Modality
from biocosmos.encoders.places.encoder import load_place_encoder
from biocosmos.encoders.places.environment import EnvironmentEncoder
from biocosmos.encoders.places.environment_models import save_environment
from biocosmos.errors import BiocosmosError, Failures
from biocosmos.nn.location.environment import ResidualNet
from biocosmos.places import Places
from biocosmos.train.bind.settings import BindSettings
from biocosmos.train.bind.towers.placed import Placed, places_of_rows
from biocosmos.train.contrastive.specimens import ModalRows
from biocosmos.train.contrastive.towers.images import TRAINED_FACTOR
from biocosmos.train.loop.processes import Processes


class TunedEnvironment(Placed):
    """A tower of environments that is trained whole; see :class:`biocosmos.train.contrastive.towers.source.TowerSource`."""

    modality: Modality = "environment"

    def __init__(self, rows: ModalRows, settings: BindSettings, where: Processes, failures: Failures) -> None:
        encoder = load_place_encoder(settings.environment, device="cpu")
        if not isinstance(encoder, EnvironmentEncoder):
            raise BiocosmosError(
                f"'{settings.environment}' reads no rasters that a network is trained on: write environment:RASTERS, or use "
                "--tune environment=heads"
            )
        self.environment, self.places, self.learnt = encoder.environment, places_of_rows(rows.collection, rows.ids), rows.learnt
        self._new = encoder.network is None
        self.network = ResidualNet(len(self.environment.rasters.bands), settings.width) if self._new else encoder.network
        assert self.network is not None
        if self.network.dim != settings.width:
            raise BiocosmosError(
                f"'{settings.environment}' gives {self.network.dim} numbers, and --width is {settings.width}: say --width "
                f"{self.network.dim} with an anchor that is trained (--tune {settings.anchor}=heads), or --tune environment=heads"
            )
        self.module: nn.Module = self.network.requires_grad_(True)
        self.there = rows.there["environment"] & self.good(self.of_places(self.places)).numpy()
        if without := int((rows.there["environment"] & ~self.there).sum()):
            failures.add(f"{without:,} places have no value in a raster", stage="train", severity="warning")

    def of_places(self, places: Places) -> torch.Tensor:
        """(m, bands) float32 scaled values."""
        return torch.from_numpy(np.ascontiguousarray(self.environment.at(places), np.float32))

    def good(self, inputs: torch.Tensor) -> torch.Tensor:
        """(m,) bool: every raster has a value."""
        return inputs.isfinite().all(1)

    def lr_factor(self, name: str) -> float:
        """A new network learns as what is new; weights that were there, slower."""
        return 1.0 if self._new else TRAINED_FACTOR

    def save(self, folder: Path, facts: dict[str, Any]) -> str:
        """The network, with the rasters it reads, by name."""
        assert self.network is not None
        return save_environment(folder, self.environment, self.network.cpu().eval(), training=facts)
