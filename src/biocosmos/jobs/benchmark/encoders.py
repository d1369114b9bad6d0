"""Encoders that a benchmark is told, looked at before any data are."""

from __future__ import annotations

from biocosmos.encoders.barcodes import load_barcode_encoder
from biocosmos.encoders.modality import modality_of
from biocosmos.encoders.registry import load_encoder
from biocosmos.errors import BiocosmosError


def check_encoder(name: str, wanted: str) -> None:
    """Refuse an encoder that is not on this machine, or does not take what is wanted: "image" or "dna"."""
    if modality_of(name) != wanted:
        raise BiocosmosError(f"--{wanted} {name}: this is no encoder of {'images' if wanted == 'image' else 'barcodes'}")
    if wanted == "dna":
        load_barcode_encoder(name, device="cpu")
    else:
        load_encoder(name, device="cpu", backend="torch")
