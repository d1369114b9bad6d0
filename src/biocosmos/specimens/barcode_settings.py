"""What ``ingest`` is told about DNA barcodes."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from biocosmos.barcodes.rules import Rules
from biocosmos.settings import GIVEN, setting

BARCODES = "DNA barcodes"
_DEFAULT = Rules()


@dataclass(frozen=True)
class BarcodeSettings:
    """How sequences become barcodes: :class:`biocosmos.barcodes.cleaning.Rules`, and how what stands beside them is read."""

    pattern: str | None = setting(
        None,
        "How the first line of a sequence is read: a regular expression with named groups, "
        r"'(?P<id>\S+) (?P<species>\S+ \S+)'.",
        panel=BARCODES,
        unset="the usual forms are known",
    )
    marker: str | None = setting(
        None, "Only sequences of this marker: COI-5P (BOLD), ITS (GenBank).", panel=BARCODES, unset="all; of GenBank COI"
    )
    primers: tuple[str, ...] = setting(
        (),
        "Cut off these primers: names, sequences, or the pairs folmer, geller, lep, leray, elbrecht, vamos, its, rbcla.",
        panel=BARCODES,
        unset="none",
    )
    primer_errors: float = setting(
        _DEFAULT.primer_errors,
        "Share of a primer's bases that may differ.",
        low=0,
        below=0.5,
        only={"primers": GIVEN},
        panel=BARCODES,
    )
    orientation: str = setting(
        _DEFAULT.orientation,
        "Turn sequences of the other strand, by the k-mers of COI, or of the source's first ones (other markers); or keep all.",
        choices=("coi", "source", "keep"),
        panel=BARCODES,
    )
    min_length: int = setting(_DEFAULT.min_length, "Fewest bases of a barcode.", low=1, panel=BARCODES)
    max_length: int = setting(_DEFAULT.max_length, "Most bases of a barcode.", low=1, panel=BARCODES)
    most_n: float = setting(_DEFAULT.most_n, "Largest share of unknown bases.", low=0, high=1, panel=BARCODES)
    stop_codons: str = setting(
        _DEFAULT.stop_codons,
        "Sequences with a stop codon in every reading frame: tell of them, refuse them, or keep them without looking.",
        choices=("tell", "refuse", "keep"),
        panel=BARCODES,
    )
    genetic_code: int = setting(
        _DEFAULT.genetic_code,
        "NCBI's number: 5 invertebrate, 2 vertebrate mitochondria, 11 plastids.",
        only={"stop_codons": ("tell", "refuse")},
        panel=BARCODES,
    )
    keep_personal: bool = setting(False, "Keep columns about people: collector, identifier, e-mail.", panel=BARCODES)
    provisional: bool = setting(False, "Take names such as 'Culex sp. 1' or 'Culex cf. pipiens' for species.", panel=BARCODES)

    def barcodes(self) -> dict[str, Any]:
        """The keyword arguments of :func:`biocosmos.specimens.readers.read`. Raises BiocosmosError for unknown primers, codes."""
        return {
            "rules": Rules(**{each.name: getattr(self, each.name) for each in fields(Rules)}),
            "pattern": self.pattern,
            "marker": self.marker,
            "keep_personal": self.keep_personal,
            "provisional": self.provisional,
        }


__all__ = ["BarcodeSettings"]
