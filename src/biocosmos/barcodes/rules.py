"""What a sequence must be to be a barcode, as options. Nothing heavy is imported here: the command line is made from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from biocosmos.barcodes.genetic_codes import INVERTEBRATE_MITOCHONDRIAL, stops_of
from biocosmos.barcodes.primers import primers_named
from biocosmos.errors import BiocosmosError


@dataclass(frozen=True)
class Rules:
    """What a sequence must be to be a barcode, and what is done to it.

    Attributes:
        primers: names, names of pairs, or sequences of primers to cut off (:func:`biocosmos.barcodes.primers.primers_named`).
        primer_errors: share of a primer's bases that may differ.
        orientation: "coi" turns what lies on the other strand by the profile of COI, "source" by the first barcodes of the
            source, for other markers; "keep" turns nothing.
        min_length, max_length: bases, without unknown ones at the ends.
        most_n: largest share of unknown bases.
        stop_codons: what is done with one that has a stop codon in every frame: "tell", "refuse" or "keep", which does not look.
        genetic_code: NCBI's number.
    """

    primers: tuple[str, ...] = ()
    primer_errors: float = 0.15
    orientation: Literal["coi", "source", "keep"] = "coi"
    min_length: int = 100
    max_length: int = 5000
    most_n: float = 0.1
    stop_codons: Literal["tell", "refuse", "keep"] = "tell"
    genetic_code: int = INVERTEBRATE_MITOCHONDRIAL

    def __post_init__(self) -> None:
        primers_named(self.primers)
        stops_of(self.genetic_code)
        if self.min_length > self.max_length:
            raise BiocosmosError(f"--min-length {self.min_length} is above --max-length {self.max_length}: no barcode is both")


LETTERS_ALONE = Rules(orientation="keep", min_length=1, max_length=1 << 30, most_n=1.0, stop_codons="keep")
"""Puts the letters right and judges nothing: for a barcode that a person corrects."""

__all__ = ["LETTERS_ALONE", "Rules"]
