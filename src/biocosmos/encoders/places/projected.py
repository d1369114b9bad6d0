"""An encoder of places, or of the environment there, under a projection: what ``biocosmos train bind`` leaves of a frozen one.

A folder holds ``biocosmos.json`` (kind "place" or "environment", network "projection"), ``projection.safetensors``, a model card,
and, where the encoder beneath was tuned with it, that one in ``base/``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch

from biocosmos.encoders.modality import TRAINED
from biocosmos.encoders.model_folder import (
    CARD,
    OF_PROJECTION,
    OWN_BASE,
    PROJECTION,
    base_beneath,
    card_text,
    describe,
    read_projection,
    save_weights,
)
from biocosmos.encoders.places.encoder import ENVIRONMENT, PLACE, PlaceEncoder, Vectors, load_place_encoder
from biocosmos.encoders.places.models import unit_rows
from biocosmos.encoders.spaces import space_facts
from biocosmos.encoders.torch_backend import choose_device
from biocosmos.encoders.towers import projected_digest
from biocosmos.errors import BiocosmosError
from biocosmos.facts import FILE_NAME, read_facts
from biocosmos.nn.projection import Projection
from biocosmos.places import Places
from biocosmos.provenance import encoder_name

FORMAT, NETWORK = 1, "projection"
_SHAPE = {
    "format": FORMAT,
    "kind": (PLACE, ENVIRONMENT),
    "network": NETWORK,
    "digest": str,
    "base": {"name": str, "digest": str},
    "projection": OF_PROJECTION,
    "files": [FILE_NAME],
    "training": {},
}


class ProjectedPlaces:
    """See :class:`biocosmos.encoders.places.encoder.PlaceEncoder`."""

    def __init__(self, name: str, base: PlaceEncoder, projection: Projection, device: str = "auto", source: str = "") -> None:
        if projection.dim_in != base.dim:
            raise BiocosmosError(f"{name} projects {projection.dim_in} numbers, and '{base.name}' gives {base.dim}")
        self.name, self.base, self.source = encoder_name(name), base, source
        self.device = torch.device(choose_device(device))
        self.modality: Literal["place", "environment"] = base.modality
        self.projection = projection.eval().to(self.device)
        self.dim, self.digest = projection.dim_out, projected_digest(base.digest, projection)
        self.batch_size, self.takes = base.batch_size, base.takes

    def metadata(self) -> dict[str, Any]:
        """See :class:`biocosmos.encoders.places.encoder.PlaceEncoder`."""
        return {
            "name": self.name,
            "digest": self.digest,
            "dim": self.dim,
            "modality": self.modality,
            "preprocessing": self.base.metadata()["preprocessing"],
            "base": {"name": self.base.name, "digest": self.base.digest},
            "source": self.source,
            "precision": "float32",
            "backend": "torch",
            "device": self.device.type,
            **space_facts(self.name, self.digest),
        }

    @torch.no_grad()
    def encode_places(self, places: Places) -> Vectors:
        """See :class:`biocosmos.encoders.places.encoder.PlaceEncoder`."""
        rows = self.base.encode_places(places)
        vectors = unit_rows(self.projection, torch.from_numpy(rows).to(self.device))
        vectors[~rows.any(axis=1)] = 0.0
        return vectors

    def reasons(self, places: Places) -> list[str]:
        """See :class:`biocosmos.encoders.places.encoder.PlaceEncoder`."""
        return self.base.reasons(places)


def is_projected(facts: Mapping[str, Any]) -> bool:
    """Whether the description of a folder says that it holds such an encoder."""
    return facts.get("network") == NETWORK and facts.get("kind") in (PLACE, ENVIRONMENT)


def save_projected_places(
    folder: str | Path, base: PlaceEncoder, projection: Projection, *, training: Mapping[str, Any], own_base: bool = False
) -> str:
    """Write a projection over ``base``, which is named, or stands in the sub-folder ``base`` already (own_base).

    Returns its digest. Raises BiocosmosError for weights that are no number.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    save_weights(folder, PROJECTION, projection)
    facts = {
        "format": FORMAT,
        "kind": base.modality,
        "network": NETWORK,
        "digest": projected_digest(base.digest, projection),
        "dim": projection.dim_out,
        "base": {"name": OWN_BASE if own_base else base.name, "digest": base.digest},
        "projection": projection.settings(),
        "files": [PROJECTION, CARD],
        "training": dict(training),
    }
    return describe(folder, facts, _card)


def load_projected_places(name: str, *, device: str = "auto") -> ProjectedPlaces:
    """The encoder in a folder. Raises BiocosmosError where it, or the encoder beneath, is missing, damaged or was changed."""
    folder = Path(name).expanduser()
    told = {"what": "the description of an encoder of places", "remedy": "restore it, or train it again"}
    facts = read_facts(folder / TRAINED, _SHAPE, **told)
    base = base_beneath(folder, facts["base"], lambda place: load_place_encoder(place, device=device))
    projection = read_projection(folder / PROJECTION, facts["projection"])
    made = ProjectedPlaces(name, base, projection, device, str(facts["training"].get("what") or ""))
    if made.digest != facts["digest"] or base.modality != facts["kind"]:
        raise BiocosmosError(
            f"{folder} was changed after it was saved: its weights have the digest {made.digest}, {TRAINED} says "
            f"{facts['digest']}; train it again, or restore the file"
        )
    return made


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
