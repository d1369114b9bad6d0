"""Primers by name, and any that are given. Nothing heavy is imported here: the command line checks them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from biocosmos.errors import BiocosmosError

# One bit a base, so that a letter fits another where they share a bit; I (inosine) pairs with all.
BITS = {"A": 1, "C": 2, "G": 4, "T": 8, "U": 8, "R": 5, "Y": 10, "S": 6, "W": 9, "K": 12, "M": 3, "B": 14, "D": 13, "H": 11}
BITS |= {"V": 7, "N": 15, "I": 15}
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
SHORTEST = 10


@dataclass(frozen=True)
class Primer:
    """One primer as it is ordered, 5' to 3', upper case IUPAC letters (I for inosine)."""

    name: str
    sequence: str


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


__all__ = ["BITS", "NAMED", "SETS", "Primer", "primers_named"]
