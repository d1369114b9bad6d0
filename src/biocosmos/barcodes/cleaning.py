"""From a sequence as it was deposited to a barcode: upper case ACGTN on the coding strand, or the reason why it is none.

Every step is stated in :class:`Rules` and counted. What is no barcode is refused with its reason; what was changed in a way
that a careful person wants to hear of (RNA, ambiguous bases, the other strand, primers, stop codons) is noted. Letter case, gaps
of an alignment and unknown bases at the ends are put right without a word.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Literal, NamedTuple

from biocosmos.barcodes.genetic_codes import fewest_stops
from biocosmos.barcodes.orientation import LEARN_FROM, Profile, coi_profile, learnt_profile, reverse_complement
from biocosmos.barcodes.primers import Primer, primers_named
from biocosmos.barcodes.rules import Rules
from biocosmos.barcodes.trimming import without_primers

Note = Literal["RNA", "ambiguous", "reversed", "primers", "stops"]
NOTES: dict[Note, str] = {
    "RNA": "written as RNA: U read as T",
    "ambiguous": "with letters for several bases (R, Y ...): each kept as N",
    "reversed": "of the other strand: turned, which --orientation keep leaves as it is",
    "primers": "with a primer at an end: cut off",
    "stops": "with a stop codon in every reading frame (a pseudogene, an error of sequencing, or no gene): kept",
}
"""What a note says of barcodes, after their number."""

GAPS = b"-.~"  # of alignments; "." is also a base like that of the first row, which nothing here can know
AMBIGUOUS = b"RYSWKMBDHVryswkmbdhv"
UNKNOWN = b"Nn?"  # "?" is what alignments write for missing
NO_BASE = ord("!")
OF_PROTEINS = frozenset("EFILPQZJO*")
"""Letters of amino acids that stand for no nucleotide."""
_LETTERS = bytearray([NO_BASE]) * 256
for _letter in b"ACGT":
    _LETTERS[_letter] = _LETTERS[_letter + 32] = _letter
for _letter in b"Uu":
    _LETTERS[_letter] = ord("T")
for _letter in AMBIGUOUS + UNKNOWN:
    _LETTERS[_letter] = ord("N")
_TABLE = bytes(_LETTERS)
_DELETED = GAPS + b" \t\r\n\v\f"
_PLAIN = b"ACGTNacgtn?"


class Cleaned(NamedTuple):
    """sequence: the barcode in upper case ACGTN, or None; refused: why it is None; notes: what was changed or seen."""

    sequence: str | None
    refused: str | None = None
    notes: tuple[Note, ...] = ()


class Cleaning:
    """Cleans barcodes by rules; with orientation "source", the barcodes of the first call say which way round is right.

    >>> Cleaning(Rules(min_length=4)).clean(["aac-gu", "MKVL"])
    [Cleaned(sequence='AACGT', refused=None, notes=('RNA',)), Cleaned(sequence=None, refused='...', notes=())]
    """

    def __init__(self, rules: Rules | None = None) -> None:
        self.rules = Rules() if rules is None else rules
        self._learnt: Profile | None = None
        self._first = True

    @cached_property
    def _primers(self) -> tuple[Primer, ...]:
        return primers_named(self.rules.primers)

    def clean(self, sequences: Sequence[str | None]) -> list[Cleaned]:
        """Each sequence cleaned, in order; None and what has no letter at all are refused as empty."""
        held = [self._letters(sequence) for sequence in sequences]
        places = [i for i, one in enumerate(held) if one.sequence is not None]
        turned = self._turned([str(held[i].sequence) for i in places])
        for i, (sequence, back) in zip(places, turned):
            notes = (*held[i].notes, "reversed") if back else held[i].notes
            held[i] = self._ends(sequence, notes)
        return held

    def _letters(self, given: str | None) -> Cleaned:
        """The letters alone: upper case ACGTN without gaps, unknown bases at the ends, or what is much too long."""
        text = given or ""
        if not text.isascii():
            odd = next(letter for letter in text if not letter.isascii())
            return Cleaned(None, f"the sequence has the letter {odd!r}, which stands for no nucleotide")
        raw = text.encode()
        bases = raw.translate(_TABLE, _DELETED)
        if NO_BASE in bases:
            return Cleaned(None, _no_bases(raw))
        whole = len(bases)
        bases = bases.strip(b"N")
        if not bases:
            return Cleaned(None, f"the sequence is nothing but unknown bases ({whole:,} N)" if whole else "the sequence is empty")
        if len(bases) > self.rules.max_length:
            return Cleaned(None, self._too_long(len(bases)))
        notes: tuple[Note, ...] = ()
        if b"U" in raw or b"u" in raw:
            notes = ("RNA",)
        if bases.count(b"N") and raw.translate(None, _PLAIN + GAPS + b"Uu \t\r\n\v\f"):
            notes = (*notes, "ambiguous")
        return Cleaned(bases.decode(), None, notes)

    def _too_long(self, length: int) -> str:
        what = "a contig or a genome, no barcode" if length > 4 * self.rules.max_length else "no barcode"
        return f"the sequence has {length:,} bases, more than --max-length {self.rules.max_length:,}: {what}"

    def _turned(self, sequences: list[str]) -> Iterator[tuple[str, bool]]:
        profile = self._profile(sequences)
        if profile is None or not sequences:
            return ((sequence, False) for sequence in sequences)
        back = profile.reversed_ones(sequences)
        return ((reverse_complement(sequence) if turn else sequence, bool(turn)) for sequence, turn in zip(sequences, back))

    def _profile(self, sequences: list[str]) -> Profile | None:
        if self.rules.orientation == "coi":
            return coi_profile()
        if self.rules.orientation == "source" and self._first and sequences:
            self._learnt, self._first = learnt_profile(sequences[:LEARN_FROM]), False
        return self._learnt

    def _ends(self, sequence: str, notes: tuple[Note, ...]) -> Cleaned:
        """Primers cut off, and every limit looked at."""
        rules = self.rules
        if rules.primers:
            cut = without_primers(sequence, self._primers, rules.primer_errors).strip("N")
            if len(cut) < len(sequence):
                sequence, notes = cut, (*notes, "primers")
        if len(sequence) < rules.min_length:
            after = " without its primers" if "primers" in notes else ""
            return Cleaned(None, f"the sequence has {len(sequence)} bases{after}, fewer than --min-length {rules.min_length}")
        unknown = sequence.count("N")
        if unknown > rules.most_n * len(sequence):
            share = f"{unknown} of {len(sequence)} bases are unknown"
            return Cleaned(None, f"{share}, more than the share of --most-n {rules.most_n:g}")
        if rules.stop_codons != "keep" and (stops := fewest_stops(sequence, rules.genetic_code)):
            if rules.stop_codons == "refuse":
                codons = "1 stop codon" if stops == 1 else f"{stops} stop codons"
                return Cleaned(None, f"{codons} of genetic code {rules.genetic_code} in its best reading frame")
            notes = (*notes, "stops")
        return Cleaned(sequence, None, notes)


def _no_bases(raw: bytes) -> str:
    """Why letters are no sequence of nucleotides."""
    left = raw.translate(None, AMBIGUOUS + _PLAIN + b"Uu" + _DELETED).decode("ascii")
    odd = sorted(set(left.upper()))
    shown = ", ".join(repr(letter) for letter in odd[:5]) + (" ..." if len(odd) > 5 else "")
    amino = [letter for letter in left.upper() if letter in OF_PROTEINS or letter == "X"]
    protein = ": a protein" if len(OF_PROTEINS.intersection(odd)) > 1 or len(amino) > len(raw) // 8 else ""
    return f"the sequence has letters that stand for no nucleotide ({shown}){protein}"


__all__ = ["NOTES", "Cleaned", "Cleaning", "Note", "Rules"]
