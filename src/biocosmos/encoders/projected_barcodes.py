"""An encoder of barcodes under a projection: counts of k-mers, or a trained model, led into another space.

A folder holds ``biocosmos.json`` (kind "barcode", network "projection"), ``projection.safetensors``, a model card, and, where the
encoder beneath was tuned with it, that one in ``base/``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch

from biocosmos.barcodes.kmers import KmerCounts
from biocosmos.encoders.barcodes import BarcodeEncoder, load_barcode_encoder
from biocosmos.encoders.modality import BARCODE, TRAINED, described
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
from biocosmos.encoders.spaces import space_facts
from biocosmos.encoders.torch_backend import choose_device
from biocosmos.encoders.towers import projected_digest
from biocosmos.errors import BiocosmosError
from biocosmos.facts import FILE_NAME, read_facts
from biocosmos.nn.projection import Projection
from biocosmos.provenance import encoder_name

FORMAT = 1
NETWORK = "projection"
BATCH = 1024
_SHAPE = {
    "format": FORMAT,
    "kind": BARCODE,
    "network": NETWORK,
    "digest": str,
    "base": {"name": str, "digest": str},
    "projection": OF_PROJECTION,
    "files": [FILE_NAME],
    "training": {},
}


class ProjectedBarcodes:
    """See :class:`biocosmos.encoders.barcodes.BarcodeEncoder`."""

    modality: Literal["dna"] = "dna"
    stored: Literal["k-mers", "vectors"] = "vectors"

    def __init__(self, name: str, base: BarcodeEncoder, projection: Projection, device: str = "auto", source: str = "") -> None:
        if projection.dim_in != base.dim:
            raise BiocosmosError(f"{name} projects {projection.dim_in} numbers, and '{base.name}' gives {base.dim}")
        self.name, self.base, self.device, self.source = encoder_name(name), base, torch.device(choose_device(device)), source
        self.projection = projection.eval().to(self.device)
        self.dim, self.digest = projection.dim_out, projected_digest(base.digest, projection)
        self.batch_size = min(BATCH, base.batch_size)

    def metadata(self) -> dict[str, Any]:
        """What a collection keeps beside the vectors."""
        beneath = self.base.metadata()
        return {
            "name": self.name,
            "digest": self.digest,
            "dim": self.dim,
            "modality": self.modality,
            "stored": self.stored,
            "preprocessing": beneath["preprocessing"],
            "base": {"name": self.base.name, "digest": self.base.digest},
            "source": self.source,
            "precision": "float32",
            "backend": "torch",
            "device": self.device.type,
            **space_facts(self.name, self.digest),
        }

    @torch.no_grad()
    def encode_barcodes(self, barcodes: Sequence[str]) -> npt.NDArray[np.float32]:
        """(n, dim) float32 unit rows; a barcode that the encoder beneath can say nothing of is a row of zeros."""
        rows = self.base.encode_barcodes(barcodes)
        dense = rows.dense() if isinstance(rows, KmerCounts) else rows
        says = np.asarray(dense.any(axis=1))
        vectors: npt.NDArray[np.float32] = self.projection(torch.from_numpy(dense).to(self.device)).float().cpu().numpy()
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        vectors /= np.where(lengths > 0, lengths, 1.0)
        vectors[~says] = 0.0
        return vectors


def save_projected_barcodes(
    folder: str | Path, base: BarcodeEncoder, projection: Projection, *, training: Mapping[str, Any], own_base: bool = False
) -> str:
    """Write a projection over ``base``, which is named, or stands in the sub-folder ``base`` already (own_base).

    Returns its digest. Raises BiocosmosError for weights that are no number.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    save_weights(folder, PROJECTION, projection)
    facts = {
        "format": FORMAT,
        "kind": BARCODE,
        "network": NETWORK,
        "digest": projected_digest(base.digest, projection),
        "dim": projection.dim_out,
        "base": {"name": OWN_BASE if own_base else base.name, "digest": base.digest},
        "projection": projection.settings(),
        "files": [PROJECTION, CARD],
        "training": dict(training),
    }
    return describe(folder, facts, _card)


def load_projected_barcodes(name: str, *, device: str = "auto") -> ProjectedBarcodes:
    """The encoder in a folder. Raises BiocosmosError where it, or the encoder beneath, is missing, damaged or was changed."""
    folder = Path(name).expanduser()
    told = {"what": "the description of an encoder of barcodes", "remedy": "restore it, or train the encoder again"}
    facts = read_facts(folder / TRAINED, _SHAPE, **told)
    base = base_beneath(folder, facts["base"], lambda place: load_barcode_encoder(place, device=device))
    projection = read_projection(folder / PROJECTION, facts["projection"])
    made = ProjectedBarcodes(name, base, projection, device, str(facts["training"].get("what") or ""))
    if made.digest != facts["digest"]:
        raise BiocosmosError(
            f"{folder} was changed after it was saved: its weights have the digest {made.digest}, {TRAINED} says "
            f"{facts['digest']}; train it again, or restore the file"
        )
    return made


def is_projected(folder: Path) -> bool:
    """Whether a folder says that it holds such an encoder."""
    return described(folder).get("network") == NETWORK


def _card(name: str, facts: Mapping[str, Any]) -> str:
    return card_text(
        name,
        facts,
        tags=("dna",),
        default="An encoder of DNA barcodes trained with biocosmos.",
        weights=f", over '{facts['base']['name']}'",
        advice="Similar vectors are a reason to look, not an identification.",
    )


__all__ = ["ProjectedBarcodes", "is_projected", "load_projected_barcodes", "save_projected_barcodes"]
