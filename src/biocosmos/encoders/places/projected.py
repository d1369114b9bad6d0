"""An encoder of places, or of the environment there, under a projection: what ``biocosmos train bind`` leaves of a frozen one.

Its folder (:mod:`biocosmos.encoders.projected`) is of kind "place" or "environment".
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from biocosmos.encoders.model_folder import card_text
from biocosmos.encoders.places.encoder import ENVIRONMENT, PLACE, PlaceEncoder, Vectors, load_place_encoder
from biocosmos.encoders.projected import NETWORK, Projected, load_projected, save_projected
from biocosmos.nn.projection import Projection
from biocosmos.places import Places


class ProjectedPlaces(Projected[PlaceEncoder]):
    """See :class:`biocosmos.encoders.places.encoder.PlaceEncoder`."""

    def __init__(self, name: str, base: PlaceEncoder, projection: Projection, device: str = "auto", source: str = "") -> None:
        super().__init__(name, base, projection, device, source)
        self.modality: Literal["place", "environment"] = base.modality
        self.takes = base.takes

    def encode_places(self, places: Places) -> Vectors:
        """See :class:`biocosmos.encoders.places.encoder.PlaceEncoder`."""
        return self.project(self.base.encode_places(places))

    def reasons(self, places: Places) -> list[str]:
        """See :class:`biocosmos.encoders.places.encoder.PlaceEncoder`."""
        return self.base.reasons(places)


def is_projected(facts: Mapping[str, Any]) -> bool:
    """Whether the description of a folder says that it holds such an encoder."""
    return facts.get("network") == NETWORK and facts.get("kind") in (PLACE, ENVIRONMENT)


def save_projected_places(
    folder: str | Path, base: PlaceEncoder, projection: Projection, *, training: Mapping[str, Any], own_base: bool = False
) -> str:
    """See :func:`biocosmos.encoders.projected.save_projected`."""
    return save_projected(folder, base.modality, base, projection, _card, training=training, own_base=own_base)


def load_projected_places(name: str, *, device: str = "auto") -> ProjectedPlaces:
    """The encoder in a folder. Raises BiocosmosError where it, or the encoder beneath, is missing, damaged or was changed."""
    return load_projected(
        name,
        (PLACE, ENVIRONMENT),
        lambda _, place: load_place_encoder(place, device=device),
        ProjectedPlaces,
        device=device,
        what="the description of an encoder of places",
        remedy="restore it, or train it again",
    )


def _card(name: str, facts: Mapping[str, Any]) -> str:
    return card_text(
        name,
        facts,
        tags=(facts["kind"],),
        default="An encoder of places that was bound to another with biocosmos.",
        weights=f", over '{facts['base']['name']}'",
        advice="It knows where specimens were collected, which is not where taxa live.",
    )


__all__ = ["ProjectedPlaces", "is_projected", "load_projected_places", "save_projected_places"]
