"""Primers cut off the ends of barcodes: named ones, and any that are given, on either strand and with some mismatches."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from biocosmos.errors import BiocosmosError

Masks = npt.NDArray[np.uint8]

# One bit a base, so that a letter fits another where they share a bit; I (inosine) pairs with all.
BITS = {"A": 1, "C": 2, "G": 4, "T": 8, "U": 8, "R": 5, "Y": 10, "S": 6, "W": 9, "K": 12, "M": 3, "B": 14, "D": 13, "H": 11}
BITS |= {"V": 7, "N": 15, "I": 15}
_COMPLEMENT = str.maketrans("ACGTURYSWKMBDHVNI", "TGCAAYRSWMKVHDBNN")
_OF_PRIMER, _OF_BARCODE = np.zeros(256, np.uint8), np.zeros(256, np.uint8)
for _letter, _bits in BITS.items():
    _OF_PRIMER[ord(_letter)] = _bits
    _OF_BARCODE[ord(_letter)] = _bits if _letter in "ACGT" else 0  # an unknown base of a barcode proves no primer

NAMED: dict[str, str] = {
    "LCO1490": "GGTCAACAAATCATAAAGATATTGG",  # Folmer et al. 1994
    "HCO2198": "TAAACTTCAGGGTGACCAAAAAATCA",
    "jgLCO1490": "TITCIACIAAYCAYAARGAYATTGG",  # Geller et al. 2013
    "jgHCO2198": "TAIACYTCIGGRTGICCRAARAAYCA",
    "LepF1": "ATTCAACCAATCATAAAGATATTGG",  # Hebert et al. 2004
    "LepR1": "TAAACTTCTGGATGTCCAAAAAATCA",
    "MLepF1": "GCTTTCCCACGAATAAATAATA",  # Hajibabaei et al. 2006
    "mlCOIintF": "GGWACWGGWTGAACWGTWTAYCCYCC",  # Leray et al. 2013
    "BF2": "GCHCCHGAYATRGCHTTYCC",  # Elbrecht and Leese 2017
    "BR2": "TCDGGRTGNCCRAARAAYCA",
    "fwhF2": "GGDACWGGWTGAACWGTWTAYCCHCC",  # Vamos et al. 2017
    "fwhR2n": "GTRATWGCHCCDGCTARWACWGG",
    "ITS1": "TCCGTAGGTGAACCTGCGG",  # White et al. 1990
    "ITS4": "TCCTCCGCTTATTGATATGC",
    "ITS1F": "CTTGGTCATTTAGAGGAAGTAA",  # Gardes and Bruns 1993
    "rbcLa-F": "ATGTCACCACAAACAGAGACTAAAGC",  # Levin et al. 2003
    "rbcLa-R": "GTAAAATCAAGTCCACCRCG",  # Kress and Erickson 2009
}
SETS: dict[str, tuple[str, ...]] = {
    "folmer": ("LCO1490", "HCO2198"),
    "geller": ("jgLCO1490", "jgHCO2198"),
    "lep": ("LepF1", "LepR1"),
    "leray": ("mlCOIintF", "jgHCO2198"),
    "elbrecht": ("BF2", "BR2"),
    "vamos": ("fwhF2", "fwhR2n"),
    "its": ("ITS1", "ITS4"),
    "rbcla": ("rbcLa-F", "rbcLa-R"),
}
"""Pairs that are used together, by a word of their own."""
WITHIN = 60
"""Bases at either end of a barcode in which a primer is looked for: adapters and tags of that length may stand outside it."""
LEAST_PART = 12
"""Bases of a primer that was itself cut: fewer would be found by chance."""
SHORTEST = 10


@dataclass(frozen=True)
class Primer:
    """One primer as it is ordered, 5' to 3', upper case IUPAC letters (I for inosine)."""

    name: str
    sequence: str

    @cached_property
    def masks(self) -> tuple[Masks, Masks]:
        """(as it is, its reverse complement), one byte of bits a base."""
        as_it_is = np.frombuffer(self.sequence.encode(), np.uint8)
        turned = np.frombuffer(self.sequence.translate(_COMPLEMENT)[::-1].encode(), np.uint8)
        return _OF_PRIMER[as_it_is], _OF_PRIMER[turned]


def primers_named(asked: Iterable[str]) -> tuple[Primer, ...]:
    """Primers by name (LCO1490), by the name of a pair (folmer), or as letters. Raises BiocosmosError for anything else."""
    by_lower = {name.lower(): name for name in NAMED}
    found: list[Primer] = []
    for each in asked:
        word = each.strip().lower()
        if word in SETS:
            found += [Primer(name, NAMED[name]) for name in SETS[word]]
        elif word in by_lower:
            found.append(Primer(by_lower[word], NAMED[by_lower[word]]))
        elif len(word) >= SHORTEST and set(word.upper()) <= set(BITS):
            found.append(Primer(word.upper(), word.upper()))
        else:
            raise BiocosmosError(
                f"--primers {each!r} is no known primer, and no sequence of {SHORTEST} or more bases: there are the pairs "
                f"{', '.join(SETS)}, and {', '.join(NAMED)}"
            )
    return tuple(dict.fromkeys(found))


def without_primers(barcode: str, primers: Iterable[Primer], errors: float) -> str:
    """The barcode without the primers at its ends, on whichever strand, and without what stands outside them.

    barcode: upper case ACGTN. errors: share of a primer's bases that may differ; no gaps are thought of, as primers bind without.
    A primer that is itself cut short is found from :data:`LEAST_PART` bases on where it stands at the very end.
    """
    bits = _OF_BARCODE[np.frombuffer(barcode.encode(), np.uint8)]
    start, stop = 0, len(bits)
    for primer in primers:
        for mask in primer.masks:
            start = max(start, _end_of(mask, bits[:WITHIN], errors))
            stop = min(stop, len(bits) - _end_of(mask[::-1], bits[::-1][:WITHIN], errors))
    return barcode[start:stop] if start < stop else ""


def _end_of(mask: Masks, bits: Masks, errors: float) -> int:
    """Where a primer ends in the first bases of a barcode: the place after it with the fewest mismatches, 0 for none."""
    size = len(mask)
    best, end = int(errors * size) + 1, 0
    if len(bits) >= size:
        windows = np.lib.stride_tricks.sliding_window_view(bits, size)
        wrong = ((windows & mask) == 0).sum(axis=1)
        at = int(wrong.argmin())
        if wrong[at] < best:
            return at + size
    for part in range(min(size - 1, len(bits)), LEAST_PART - 1, -1):
        if int(((bits[:part] & mask[size - part :]) == 0).sum()) <= int(errors * part):
            return part
    return end


__all__ = ["NAMED", "SETS", "Primer", "primers_named", "without_primers"]
