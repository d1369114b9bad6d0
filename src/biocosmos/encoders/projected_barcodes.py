"""An encoder of barcodes under a projection: counts of k-mers, or a trained model, led into another space.

Its folder (:mod:`biocosmos.encoders.projected`) is of kind "barcode".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from biocosmos.barcodes.kmers import KmerCounts
from biocosmos.encoders.barcodes import BarcodeEncoder, load_barcode_encoder
from biocosmos.encoders.modality import BARCODE, described
from biocosmos.encoders.model_folder import card_text
from biocosmos.encoders.projected import NETWORK, Projected, load_projected, save_projected
from biocosmos.nn.projection import Projection

BATCH = 1024


class ProjectedBarcodes(Projected[BarcodeEncoder]):
    """See :class:`biocosmos.encoders.barcodes.BarcodeEncoder`."""

    kind = BARCODE
    modality: Literal["dna"] = "dna"
    stored: Literal["k-mers", "vectors"] = "vectors"

    def __init__(self, name: str, base: BarcodeEncoder, projection: Projection, device: str = "auto", source: str = "") -> None:
        super().__init__(name, base, projection, device, source)
        self.batch_size = min(BATCH, base.batch_size)

    def metadata(self) -> dict[str, Any]:
        """What a collection keeps beside the vectors."""
        return {**super().metadata(), "stored": self.stored}

    def encode_barcodes(self, barcodes: Sequence[str]) -> npt.NDArray[np.float32]:
        """(n, dim) float32 unit rows; a barcode that the encoder beneath can say nothing of is a row of zeros."""
        rows = self.base.encode_barcodes(barcodes)
        return self.project(rows.dense() if isinstance(rows, KmerCounts) else rows)


def save_projected_barcodes(
    folder: str | Path, base: BarcodeEncoder, projection: Projection, *, training: Mapping[str, Any], own_base: bool = False
) -> str:
    """See :func:`biocosmos.encoders.projected.save_projected`."""
    return save_projected(folder, BARCODE, base, projection, _card, training=training, own_base=own_base)


def load_projected_barcodes(name: str, *, device: str = "auto") -> ProjectedBarcodes:
    """The encoder in a folder. Raises BiocosmosError where it, or the encoder beneath, is missing, damaged or was changed."""
    return load_projected(
        name,
        BARCODE,
        lambda _, place: load_barcode_encoder(place, device=device),
        ProjectedBarcodes,
        device=device,
        what="the description of an encoder of barcodes",
        remedy="restore it, or train the encoder again",
    )


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
