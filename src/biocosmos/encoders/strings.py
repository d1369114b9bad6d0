"""Encoders of what is written of a specimen, its barcode, names, place or files beside it: any of them by its name."""

from __future__ import annotations

from biocosmos.encoders.barcodes import BarcodeEncoder, load_barcode_encoder
from biocosmos.encoders.beside.encoder import COLUMNS, FileEncoder, load_file_encoder
from biocosmos.encoders.modality import modality_of
from biocosmos.encoders.places.encoder import ENVIRONMENT, PLACE, PlaceEncoder, load_place_encoder
from biocosmos.encoders.texts import TextEncoder, load_text_encoder
from biocosmos.errors import BiocosmosError

StringEncoder = BarcodeEncoder | TextEncoder | PlaceEncoder | FileEncoder


def load_string_encoder(name: str, *, device: str = "auto", precision: str = "auto") -> StringEncoder:
    """The encoder of barcodes, texts, places or files. Raises BiocosmosError for another precision than float32, and as the
    functions that load one of them."""
    modality = modality_of(name)
    if modality == "dna":
        return load_barcode_encoder(name, device=device, precision=precision)
    if modality in (PLACE, ENVIRONMENT):
        return load_place_encoder(name, device=device, precision=precision)
    if modality in COLUMNS:
        return load_file_encoder(name, device=device, precision=precision)
    if precision not in ("auto", "float32"):
        raise BiocosmosError(f"encoders of texts compute in float32, not in {precision}: leave --precision out")
    return load_text_encoder(name, device=device)
