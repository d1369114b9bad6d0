"""Networks over places as encoders: folders that ``biocosmos train bind`` wrote.

A folder holds ``biocosmos.json`` (kind "place" or "environment"), ``model.safetensors`` and a model card. What is read of the
environment is described with it: the names of the bands, and the mean and deviation that each was scaled by.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import torch
from torch import nn

from biocosmos.encoders.modality import TRAINED
from biocosmos.encoders.model_folder import CARD, card_text, describe, refuse_changed_weights, save_weights
from biocosmos.encoders.places.encoder import DAY, DEPTH, NOTHING, PLACE, PLACES_AT_ONCE, Vectors, known
from biocosmos.encoders.projected import unit_rows
from biocosmos.encoders.spaces import space_facts
from biocosmos.encoders.torch_backend import choose_device
from biocosmos.encoders.towers import DIGEST_LENGTH, plain_state, weights_digest
from biocosmos.encoders.weights import filled, read_weights
from biocosmos.errors import BiocosmosError
from biocosmos.facts import FILE_NAME, Number, read_facts
from biocosmos.nn.location.capsules import GeoClipPlaces, SpherePlaces
from biocosmos.nn.location.harmonics import CALCULATIONS, SatClipPlaces
from biocosmos.places import Places
from biocosmos.provenance import encoder_name

FORMAT = 1
WEIGHTS = "model.safetensors"
PlaceNetwork = GeoClipPlaces | SpherePlaces | SatClipPlaces
NETWORKS: dict[str, type[PlaceNetwork]] = {"geoclip": GeoClipPlaces, "sphere": SpherePlaces, "satclip": SatClipPlaces}
"""name -> what takes (n, 4) latitude, longitude, day and depth."""
_WHOLE, _WIDTH = Number(1, 1 << 16, whole=True), Number(0)
_SHAPES: dict[str, dict[str, Any]] = {
    "geoclip": {"dim": _WHOLE, "sigmas": [_WIDTH], "frequencies": _WHOLE, "hidden": _WHOLE},
    "satclip": {
        "dim": _WHOLE,
        "degrees": Number(1, 100, whole=True),
        "hidden": _WHOLE,
        "layers": Number(1, 64, whole=True),
        "calculation": CALCULATIONS,
    },
    "sphere": {
        "dim": _WHOLE,
        "kilometres": [_WIDTH],
        "frequencies": _WHOLE,
        "harmonics": _WHOLE,
        "season": bool,
        "depth": bool,
        "hidden": _WHOLE,
        "layers": Number(0, 64, whole=True),
        "dropout": Number(0, 1),
    },
}
_SHAPE = {
    "format": FORMAT,
    "kind": PLACE,
    "network": tuple(NETWORKS),
    "digest": str,
    "shape": {},
    "files": [FILE_NAME],
    "training": {},
}
_TOLD = {"what": "the description of an encoder of places", "remedy": "restore it, or train the encoder again"}


@dataclass(eq=False)
class PlaceModel:
    """A network over places, on the CPU in float32.

    kind: of :data:`NETWORKS`; network: (n, 4) float32 latitude, longitude, day, depth -> (n, dim); facts: about the training;
    source: for people.
    """

    kind: str
    network: PlaceNetwork
    facts: dict[str, Any] = field(default_factory=dict)
    source: str = ""

    @property
    def dim(self) -> int:
        """Length of the vectors."""
        return self.network.dim

    @property
    def takes(self) -> tuple[str, ...]:
        """What must be known of a place."""
        return tuple(self.network.takes)

    @property
    def digest(self) -> str:
        """Of the weights, and of how the network is built."""
        how = json.dumps([self.kind, self.network.shape()], sort_keys=True)
        return hashlib.sha256(f"{weights_digest(plain_state(self.network))} {how}".encode()).hexdigest()[:DIGEST_LENGTH]

    def inputs(self, places: Places) -> torch.Tensor:
        """What the network takes of n places: (n, 4) float32, nan where day or depth are not known."""
        return torch.from_numpy(places.numbers.astype(np.float32))


def new_place_model(kind: str = "sphere", dim: int = 512, **shape: Any) -> PlaceModel:
    """A network with random weights from torch's global generator, to be trained; shape: arguments of the network.

    Raises BiocosmosError for an unknown kind.
    """
    if kind not in NETWORKS:
        raise BiocosmosError(f"there is no network of places '{kind}': choose {' or '.join(NETWORKS)}")
    return PlaceModel(kind, NETWORKS[kind](dim, **shape), source=f"untrained: a network of places, {kind}")


class OverPlaces(Protocol):
    """A network over places: see :class:`PlaceModel`, and :class:`biocosmos.encoders.places.taxa.TaxonModel`."""

    kind: str
    source: str

    @property
    def network(self) -> nn.Module:
        """inputs -> (n, dim) vectors."""

    @property
    def dim(self) -> int:
        """Length of the vectors."""

    @property
    def takes(self) -> tuple[str, ...]:
        """What must be known of a place."""

    @property
    def digest(self) -> str:
        """Of all that it computes with."""

    def inputs(self, places: Places) -> torch.Tensor:
        """What the network takes of n places: (n, ...) float32."""


class TrainedPlaces:
    """See :class:`biocosmos.encoders.places.encoder.PlaceEncoder`."""

    modality: Literal["place", "environment"] = "place"
    batch_size = PLACES_AT_ONCE

    def __init__(self, name: str, model: OverPlaces, device: str = "auto") -> None:
        self.name, self.model, self.device = encoder_name(name), model, torch.device(choose_device(device))
        self.dim, self.digest, self.takes = model.dim, model.digest, model.takes
        self._network = model.network.eval().to(self.device)

    def metadata(self) -> dict[str, Any]:
        """See :class:`biocosmos.encoders.places.encoder.PlaceEncoder`."""
        return {
            "name": self.name,
            "digest": self.digest,
            "dim": self.dim,
            "modality": self.modality,
            "network": self.model.kind,
            "preprocessing": {"takes": list(self.takes)},
            "source": self.model.source,
            "precision": "float32",
            "backend": "torch",
            "device": self.device.type,
            **space_facts(self.name, self.digest),
        }

    @torch.no_grad()
    def encode_places(self, places: Places) -> Vectors:
        """See :class:`biocosmos.encoders.places.encoder.PlaceEncoder`."""
        vectors = np.zeros((len(places), self.dim), np.float32)
        there = np.flatnonzero(known(places, self.takes))
        if len(there):
            vectors[there] = unit_rows(self._network, self.model.inputs(places.take(there)).to(self.device))
        return vectors

    def reasons(self, places: Places) -> list[str]:
        """See :class:`biocosmos.encoders.places.encoder.PlaceEncoder`."""
        return [NOTHING] * len(places)


def load_place_folder(folder: str | Path, *, device: str = "auto") -> TrainedPlaces:
    """The encoder in a folder. Raises BiocosmosError where it is missing, damaged or was changed."""
    return TrainedPlaces(str(folder), load_place_model(folder), device)


def load_place_model(folder: str | Path) -> PlaceModel:
    """The network of :func:`load_place_folder`, to train it further."""
    folder = Path(folder).expanduser()
    facts = read_facts(folder / TRAINED, _SHAPE, **_TOLD)
    shape = read_facts(folder / TRAINED, {"shape": _SHAPES[facts["network"]]}, **_TOLD)["shape"]
    arguments = {name: shape[name] for name in _SHAPES[facts["network"]]}

    def build() -> PlaceNetwork:
        return NETWORKS[facts["network"]](**arguments)

    network = filled(build, read_weights(folder / WEIGHTS), folder / WEIGHTS)
    what = str(facts["training"].get("what") or "trained on places")
    model = PlaceModel(str(facts["network"]), network, facts["training"], what)
    refuse_changed_weights(folder, model.digest, facts)
    return model


def save_place_model(folder: str | Path, model: PlaceModel, *, training: Mapping[str, Any]) -> str:
    """Write a network as a folder that every command takes as an encoder of places; returns its digest.

    training: facts for ``biocosmos.json`` and the model card; ``what`` is a sentence. Raises BiocosmosError for weights that are
    no number.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    save_weights(folder, WEIGHTS, model.network)
    facts = {
        "format": FORMAT,
        "kind": PLACE,
        "network": model.kind,
        "digest": model.digest,
        "dim": model.dim,
        "shape": model.network.shape(),
        "files": [WEIGHTS, CARD],
        "training": dict(training),
    }
    return describe(folder, facts, _card)


def _card(name: str, facts: Mapping[str, Any]) -> str:
    reads = [what for what, there in ((DAY, "season"), (DEPTH, "depth")) if facts["shape"].get(there)]
    return card_text(
        name,
        facts,
        tags=("place",),
        default="An encoder of places trained with biocosmos.",
        weights="",
        reads=f"latitude and longitude (WGS84){''.join(f', {what}' for what in reads)}",
        advice="It knows where specimens were collected, which is not where taxa live.",
    )


__all__ = [
    "NETWORKS",
    "OverPlaces",
    "PlaceModel",
    "TrainedPlaces",
    "load_place_folder",
    "load_place_model",
    "new_place_model",
    "save_place_model",
]
