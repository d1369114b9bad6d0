"""An encoder of satellite images or sounds under a projection: what ``biocosmos train bind`` leaves of it.

A folder holds ``biocosmos.json`` (kind "satellite" or "audio", network "projection"), ``projection.safetensors``, a model card,
and, where the encoder beneath was tuned with it, that one in ``base/``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from biocosmos.encoders.beside.encoder import AUDIO, SATELLITE, FileEncoder, Vectors, load_file_encoder
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
from biocosmos.encoders.places.models import unit_rows
from biocosmos.encoders.spaces import space_facts
from biocosmos.encoders.torch_backend import choose_device
from biocosmos.encoders.towers import projected_digest
from biocosmos.errors import BiocosmosError
from biocosmos.facts import FILE_NAME, read_facts
from biocosmos.nn.projection import Projection
from biocosmos.provenance import encoder_name

FORMAT, NETWORK = 1, "projection"
_SHAPE = {
    "format": FORMAT,
    "kind": (SATELLITE, AUDIO),
    "network": NETWORK,
    "digest": str,
    "base": {"name": str, "digest": str},
    "projection": OF_PROJECTION,
    "files": [FILE_NAME],
    "training": {},
}


class ProjectedFiles:
    """See :class:`biocosmos.encoders.beside.encoder.FileEncoder`."""

    def __init__(self, name: str, base: FileEncoder, projection: Projection, device: str = "auto", source: str = "") -> None:
        if projection.dim_in != base.dim:
            raise BiocosmosError(f"{name} projects {projection.dim_in} numbers, and '{base.name}' gives {base.dim}")
        self.name, self.base, self.source = encoder_name(name), base, source
        self.device = torch.device(choose_device(device))
        self.modality: Literal["satellite", "audio"] = base.modality
        self.projection = projection.eval().to(self.device)
        self.dim, self.digest, self.batch_size = projection.dim_out, projected_digest(base.digest, projection), base.batch_size

    def metadata(self) -> dict[str, Any]:
        """See :class:`biocosmos.encoders.beside.encoder.FileEncoder`."""
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
    def encode_paths(self, paths: Sequence[str]) -> tuple[Vectors, dict[int, str]]:
        """See :class:`biocosmos.encoders.beside.encoder.FileEncoder`."""
        rows, why = self.base.encode_paths(paths)
        vectors = unit_rows(self.projection, torch.from_numpy(rows).to(self.device))
        vectors[~rows.any(axis=1)] = 0.0
        return np.asarray(vectors, np.float32), why


def is_projected(facts: Mapping[str, Any]) -> bool:
    """Whether the description of a folder says that it holds such an encoder."""
    return facts.get("network") == NETWORK and facts.get("kind") in (SATELLITE, AUDIO)


def save_projected_files(
    folder: str | Path, base: FileEncoder, projection: Projection, *, training: Mapping[str, Any], own_base: bool = False
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


def load_projected_files(name: str, *, device: str = "auto") -> ProjectedFiles:
    """The encoder in a folder. Raises BiocosmosError where it, or the encoder beneath, is missing, damaged or was changed."""
    folder = Path(name).expanduser()
    told = {"what": "the description of an encoder of satellite images or sounds", "remedy": "restore it, or train it again"}
    facts = read_facts(folder / TRAINED, _SHAPE, **told)
    kind = facts["kind"]
    base = base_beneath(folder, facts["base"], lambda place: load_file_encoder(_called(kind, place), device=device))
    projection = read_projection(folder / PROJECTION, facts["projection"])
    made = ProjectedFiles(name, base, projection, device, str(facts["training"].get("what") or ""))
    if made.digest != facts["digest"] or base.modality != kind:
        raise BiocosmosError(
            f"{folder} was changed after it was saved: its weights have the digest {made.digest}, {TRAINED} says "
            f"{facts['digest']}; train it again, or restore the file"
        )
    return made


def _called(kind: str, place: str) -> str:
    return place if place.partition(":")[0] == kind else f"{kind}:{place}"


def _card(name: str, facts: Mapping[str, Any]) -> str:
    return card_text(
        name,
        facts,
        tags=(facts["kind"],),
        default="An encoder that was bound to another with biocosmos.",
        weights=f", over '{facts['base']['name']}'",
        advice="Similar vectors are a reason to look, not an identification.",
    )


__all__ = ["ProjectedFiles", "is_projected", "load_projected_files", "save_projected_files"]
