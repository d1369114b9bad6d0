"""The barcode of a specimen as its page shows it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Barcode:
    """letters: as stored; bases: letters that are A, C, G or T; unsure: the others; gc: part of the bases that are G or C, None
    without bases."""

    letters: str
    bases: int
    unsure: int
    gc: float | None

    @classmethod
    def of(cls, letters: str | None) -> Barcode | None:
        """None without letters."""
        if not letters:
            return None
        counts = {base: letters.upper().count(base) for base in "ACGT"}
        bases = sum(counts.values())
        gc = (counts["G"] + counts["C"]) / bases if bases else None
        return cls(letters, bases, len(letters) - bases, gc)
