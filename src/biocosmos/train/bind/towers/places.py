"""Networks over places that are trained: ours that know the season and the depth, GeoCLIP's, or published weights that go on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from biocosmos.encoders.modality import Modality
from biocosmos.encoders.model_folder import OWN_BASE
from biocosmos.encoders.places.encoder import known, load_place_encoder
from biocosmos.encoders.places.models import PlaceModel, TrainedPlaces, new_place_model, save_place_model
from biocosmos.encoders.places.projected import save_projected_places
from biocosmos.errors import BiocosmosError, Failures
from biocosmos.nn.projection import Projection
from biocosmos.places import Places
from biocosmos.train.bind.settings import GEOCLIP, SPHERE, BindSettings
from biocosmos.train.bind.towers.placed import Placed, places_of_rows
from biocosmos.train.contrastive.settings import NEW
from biocosmos.train.contrastive.specimens import ModalRows
from biocosmos.train.contrastive.towers.images import TRAINED_FACTOR
from biocosmos.train.contrastive.towers.own_base import guard_own_base
from biocosmos.train.loop.processes import Processes

_OFTEN = 0.5
"""Share of the places that are learnt from whose day, or depth, must be known for a new network to take it."""


class TunedPlaces(Placed):
    """A tower of places that is trained whole; see :class:`biocosmos.train.contrastive.towers.source.TowerSource`."""

    modality: Modality = "place"

    def __init__(self, rows: ModalRows, settings: BindSettings, where: Processes, failures: Failures) -> None:
        self.places, self.learnt = places_of_rows(rows.collection, rows.ids), rows.learnt
        there = rows.there["place"] & self.places.has_place
        self._new = settings.place.startswith(NEW)
        self.model = self._begun(settings, self.places.take(np.flatnonzero(there[: rows.learnt])))
        self.there = there & known(self.places, self.model.takes)
        network: nn.Module = self.model.network
        self.projection = None if self.model.dim == settings.width else Projection(self.model.dim, settings.width)
        self.module = network if self.projection is None else nn.Sequential(network, self.projection)
        self.module.requires_grad_(True)

    def _begun(self, settings: BindSettings, places: Places) -> PlaceModel:
        name = settings.place
        if name == SPHERE:
            often = {"season": places.has_day, "depth": np.isfinite(places.depth)}
            return new_place_model(
                "sphere", settings.width, **{what: bool(each.mean() >= _OFTEN) for what, each in often.items()}
            )
        if name == GEOCLIP:
            return new_place_model("geoclip", settings.width)
        if self._new:
            raise BiocosmosError(f"--place {name} is not known: write {SPHERE} or {GEOCLIP}")
        encoder = load_place_encoder(name, device="cpu")
        if not isinstance(encoder, TrainedPlaces) or not isinstance(encoder.model, PlaceModel):
            raise BiocosmosError(f"'{name}' has no weights that are trained on: use --tune place=heads, or --place {SPHERE}")
        return encoder.model

    def of_places(self, places: Places) -> torch.Tensor:
        """(m, 4) float32 latitude, longitude, day, depth."""
        return self.model.inputs(places)

    def lr_factor(self, name: str) -> float:
        """A new network and the projection learn as what is new; weights that were there, slower."""
        return 1.0 if self._new or (self.projection is not None and name.startswith("1.")) else TRAINED_FACTOR

    def save(self, folder: Path, facts: dict[str, Any]) -> str:
        """The network, or where its vectors had another length, the network in ``base/`` and a projection over it."""
        self.module.cpu().eval()
        if self.projection is None:
            return save_place_model(folder, self.model, training=facts)
        guard_own_base(folder, folder / OWN_BASE)
        save_place_model(folder / OWN_BASE, self.model, training=facts)
        base = TrainedPlaces(OWN_BASE, self.model, "cpu")
        return save_projected_places(folder, base, self.projection, training=facts, own_base=True)
