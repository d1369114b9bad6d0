"""Stop codons of the genetic codes of NCBI, and how many a barcode has in the reading frame that has the fewest.

Source: NCBI's "The Genetic Codes" (https://www.ncbi.nlm.nih.gov/Taxonomy/Utils/wprintgc.cgi), by number. Codes 27, 28 and 31 are
not here: their stop codons are amino acids elsewhere in a gene, so that nothing follows from one.
"""

from __future__ import annotations

import re
from functools import lru_cache

from biocosmos.errors import BiocosmosError

INVERTEBRATE_MITOCHONDRIAL = 5
STOPS: dict[int, tuple[str, ...]] = {
    1: ("TAA", "TAG", "TGA"),
    2: ("TAA", "TAG", "AGA", "AGG"),  # vertebrate mitochondrial
    3: ("TAA", "TAG"),
    4: ("TAA", "TAG"),  # mould, protozoan and coelenterate mitochondrial
    5: ("TAA", "TAG"),  # invertebrate mitochondrial
    6: ("TGA",),
    9: ("TAA", "TAG"),  # echinoderm and flatworm mitochondrial
    10: ("TAA", "TAG"),
    11: ("TAA", "TAG", "TGA"),  # bacteria, and the plastids of plants
    12: ("TAA", "TAG", "TGA"),
    13: ("TAA", "TAG"),  # ascidian mitochondrial
    14: ("TAG",),
    15: ("TAA", "TGA"),
    16: ("TAA", "TGA"),
    21: ("TAA", "TAG"),  # trematode mitochondrial
    22: ("TCA", "TAA", "TGA"),
    23: ("TTA", "TAA", "TAG", "TGA"),
    24: ("TAA", "TAG"),
    25: ("TAA", "TAG"),
    26: ("TAA", "TAG", "TGA"),
    29: ("TGA",),
    30: ("TGA",),
    32: ("TAA", "TGA"),
    33: ("TAG",),
}


def stops_of(code: int) -> tuple[str, ...]:
    """The stop codons of a code. Raises BiocosmosError for a number that is none."""
    if code not in STOPS:
        known = ", ".join(map(str, STOPS))
        raise BiocosmosError(f"there is no genetic code {code} with certain stop codons: choose one of {known} (NCBI's numbers)")
    return STOPS[code]


@lru_cache(maxsize=len(STOPS))
def _open_frame(code: int) -> re.Pattern[str]:
    """Matches a sequence without a stop codon in its first frame, the last whole codon apart."""
    return re.compile(rf"(?:(?!{'|'.join(stops_of(code))})...)*+(?:...)?.{{0,2}}\Z")


def fewest_stops(barcode: str, code: int = INVERTEBRATE_MITOCHONDRIAL) -> int:
    """Stop codons of the one of the three frames of the strand that has the fewest.

    barcode: upper case ACGTN. The last whole codon of a frame does not count: a whole gene ends with a stop.

    >>> fewest_stops("TAATTAATTAATT"), fewest_stops("ATGTAA")
    (1, 0)
    """
    if any(map(_open_frame(code).match, (barcode, barcode[1:], barcode[2:]))):
        return 0  # as nearly always: which is told twice as fast as counted
    counts = [0, 0, 0]
    last = len(barcode) - 5  # a codon that begins here or later is the last whole one of its frame
    for codon in stops_of(code):
        at = barcode.find(codon)
        while 0 <= at < last:
            counts[at % 3] += 1
            at = barcode.find(codon, at + 1)
    return min(counts)


__all__ = ["INVERTEBRATE_MITOCHONDRIAL", "STOPS", "fewest_stops", "stops_of"]
