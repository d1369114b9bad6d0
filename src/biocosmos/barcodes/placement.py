"""Barcodes of one marker laid over one another: every base in the column of the marker that it belongs to.

A coding marker such as COI hardly has gaps, so that barcodes are compared column by column once each is at its place: over what
two of them share, by position in the codon, and as amino acids. That tells genera and families of species nobody has seen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Codes = npt.NDArray[np.uint8]

UNKNOWN = 4
"""The code of a column without a base, or with one that is not known; A 0, C 1, G 2, T 3."""
SAMPLE = 5000
"""Barcodes that the columns are learnt from, at the most."""
SHORTEST = 60
LEAST_LOG_ODDS = -1.0
"""A base that a column never has costs no more: a new order is no other marker."""
INDEL = 12.0
"""What a gap costs, in log odds: two halves are only pulled apart for more than a dozen columns."""
REACH = 6
"""Bases by which two halves may be apart: two codons."""
GOOD = 0.2
"""Log odds a base from which on a barcode is of the marker; foreign letters have below 0.05 and distant orders above 0.3."""
FEW_STOPS = 0.005
"""Stops among the codons of the frame that is read: the right one of COI has 0.00001, the others over 0.02."""
_AT_ONCE = 512
_CODE = np.full(256, UNKNOWN, np.uint8)
_CODE[np.frombuffer(b"ACGT", np.uint8)] = np.arange(4)
_OTHER_STRAND = np.array([3, 2, 1, 0, 4], np.uint8)
_AMINO = "FFLLSSSSYY**CCWWLLLLPPPPHHQQRRRRIIMMTTTTNNKKSSSSVVVVAAAADDEEGGGG"
"""Of the invertebrate mitochondrial code (NCBI table 5), codons in the order TCAG."""
STOP = UNKNOWN_ACID = 20


@dataclass(frozen=True, eq=False)
class Marker:
    """The columns of a marker, learnt from barcodes.

    log_odds: (width, 4) float32, of each base in each column against the bases of all; phase: the column, 0 to 2, at which a
    codon begins, None where no frame is free of stops, as of a marker that codes for nothing.
    """

    log_odds: npt.NDArray[np.float32]
    phase: int | None

    @classmethod
    def learnt(cls, barcodes: Sequence[str], seed: int = 0) -> Marker:
        """From barcodes, most of which are of one marker: those of the length that most bases are of are laid down first, then
        all are placed by them, and the columns are counted anew."""
        rows = np.arange(len(barcodes))
        if len(rows) > SAMPLE:
            rows = np.sort(np.random.default_rng(seed).choice(rows, SAMPLE, replace=False))
        sample = [barcodes[int(row)] for row in rows]
        letters = [encode(each) for each in sample]
        lengths = np.array([len(each) for each in letters])
        width = _width(lengths)
        first = cls(_log_odds(np.stack([each for each in letters if len(each) == width])), None)
        placed = first.place(sample).codes
        return cls(_log_odds(placed), reading_frame(placed))

    @property
    def width(self) -> int:
        """Columns."""
        return len(self.log_odds)

    def place(self, barcodes: Sequence[str]) -> Placed:
        """Each barcode at its place, on the strand that fits, pulled apart at one gap where that is worth it. One that is not of
        the marker has no base at all."""
        codes = np.full((len(barcodes), self.width), UNKNOWN, np.uint8)
        turned, good = np.zeros(len(barcodes), np.bool_), np.zeros(len(barcodes), np.bool_)
        for start in range(0, len(barcodes), _AT_ONCE):
            letters = [encode(each) for each in barcodes[start : start + _AT_ONCE]]
            later = [i for i, each in enumerate(letters) if not self._straight(each, codes[start + i])]
            good[start : start + len(letters)] = True
            if not later:
                continue
            forward = self._by_offset([letters[i] for i in later])
            reverse = self._by_offset([_OTHER_STRAND[letters[i][::-1]] for i in later])
            for i, ahead, back in zip(later, forward, reverse, strict=True):
                turned[start + i] = back.max() > ahead.max()
                bases = _OTHER_STRAND[letters[i][::-1]] if turned[start + i] else letters[i]
                best = back if turned[start + i] else ahead
                good[start + i] = self._lay(bases, best, codes[start + i])
        return Placed(codes, turned, good)

    def _straight(self, bases: Codes, out: Codes) -> bool:
        """Lay down one that has the width and fits where it begins; false for any other."""
        if len(bases) != self.width or self._worth(bases, 0).sum() < GOOD * 2 * self.width:
            return False
        out[:] = bases
        return True

    def _by_offset(self, letters: Sequence[Codes]) -> npt.NDArray[np.float64]:
        """(n, size) log odds of each with its first base in column o, o from the end of the row where it is below 0."""
        size = 1 << int(np.ceil(np.log2(self.width + max(map(len, letters), default=0) + 1)))
        bases = np.zeros((len(letters), 4, size), np.float32)
        for i, each in enumerate(letters):
            known = np.flatnonzero(each < UNKNOWN)
            bases[i, each[known], known] = 1
        columns = np.zeros((4, size), np.float32)
        columns[:, : self.width] = self.log_odds.T
        product = (np.conj(np.fft.rfft(bases, axis=2)) * np.fft.rfft(columns, axis=1)).sum(axis=1)
        return np.asarray(np.fft.irfft(product, size, axis=1))

    def _worth(self, bases: Codes, offset: int) -> npt.NDArray[np.float32]:
        """Log odds of each base where the first one is in column ``offset``; 0 outside of the marker."""
        column = offset + np.arange(len(bases))
        inside = (column >= 0) & (column < self.width) & (bases < UNKNOWN)
        out = np.zeros(len(bases), np.float32)
        out[inside] = self.log_odds[column[inside], bases[inside]]
        return out

    def _lay(self, bases: Codes, by_offset: npt.NDArray[np.float64], out: Codes) -> bool:
        """Write the bases into their columns; false, and nothing written, where they are not of the marker."""
        best = int(by_offset.argmax())
        best = best if best < len(by_offset) - len(bases) else best - len(by_offset)
        near = np.stack([self._worth(bases, best + by) for by in range(-REACH, REACH + 1)])
        before = np.pad(np.cumsum(near, axis=1), ((0, 0), (1, 0)))
        after = before[:, -1:] - before
        apart = before.max(axis=0) + after.max(axis=0) - INDEL
        cut = int(apart.argmax())
        whole = float(before[REACH, -1])
        pieces = [(best, 0, len(bases))]
        if apart[cut] > whole:
            left, right = best + int(before[:, cut].argmax()) - REACH, best + int(after[:, cut].argmax()) - REACH
            pieces = [(left, 0, cut), (right, cut, len(bases))]
        for offset, first, last in pieces:
            column = offset + np.arange(first, last)
            inside = (column >= 0) & (column < self.width)
            out[column[inside]] = bases[first:last][inside]
        known = int((out < UNKNOWN).sum())
        if known < SHORTEST // 2 or max(whole, float(apart[cut])) < GOOD * known:
            out[:] = UNKNOWN
            return False
        return True

    def amino_acids(self, codes: Codes) -> Codes:
        """(n, codons) uint8 amino acids of placed barcodes, :data:`UNKNOWN_ACID` for stops and codons that are not known whole;
        no codons where there is no frame."""
        if self.phase is None:
            return np.empty((len(codes), 0), np.uint8)
        return _translated(codes, self.phase)

    @property
    def codon_position(self) -> npt.NDArray[np.int64]:
        """(width,) 0, 1 or 2: the position of each column in its codon; by threes where nothing is read."""
        return np.asarray((np.arange(self.width) - (self.phase or 0)) % 3)

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """To be saved."""
        return {"log_odds": self.log_odds, "phase": np.array(-1 if self.phase is None else self.phase)}

    @classmethod
    def restored(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> Marker:
        """From what :meth:`arrays` gave."""
        phase = int(arrays["phase"])
        return cls(np.asarray(arrays["log_odds"], np.float32), None if phase < 0 else phase)


@dataclass(frozen=True, eq=False)
class Placed:
    """codes: (n, width) uint8; turned: (n,) bool, those that were on the other strand; good: (n,) bool, those of the marker."""

    codes: Codes
    turned: npt.NDArray[np.bool_]
    good: npt.NDArray[np.bool_]


def encode(barcode: str) -> Codes:
    """Letters as codes, :data:`UNKNOWN` for all but A, C, G, T."""
    return _CODE[np.frombuffer(barcode.encode("ascii", "replace"), np.uint8)]


def reading_frame(codes: Codes) -> int | None:
    """The phase of the columns with the fewest stops, None where all have many."""
    if codes.shape[1] < SHORTEST:
        return None
    shares = []
    for phase in range(3):
        first, second, third = _codons(codes, phase)
        known = (first < UNKNOWN) & (second < UNKNOWN) & (third < UNKNOWN)
        shares.append(float((_translated(codes, phase) == STOP)[known].mean()) if known.any() else 1.0)
    best = int(np.argmin(shares))
    return best if shares[best] <= FEW_STOPS else None


def _width(lengths: npt.NDArray[np.int64]) -> int:
    return int((np.bincount(lengths) * np.arange(int(lengths.max()) + 1)).argmax())


def _log_odds(codes: Codes) -> npt.NDArray[np.float32]:
    counts = np.stack([(codes == base).sum(axis=0) for base in range(4)], axis=1) + 1.0
    share = counts / counts.sum(axis=1, keepdims=True)
    return np.asarray(np.maximum(np.log(share / (counts.sum(axis=0) / counts.sum())), LEAST_LOG_ODDS), np.float32)


def _codons(codes: Codes, phase: int) -> tuple[Codes, Codes, Codes]:
    read = codes[:, phase : phase + 3 * ((codes.shape[1] - phase) // 3)]
    return read[:, 0::3], read[:, 1::3], read[:, 2::3]


def _table() -> Codes:
    acids, order = sorted(set(_AMINO) - {"*"}), {letter: i for i, letter in enumerate("TCAG")}
    table = np.full((5, 5, 5), UNKNOWN_ACID, np.uint8)
    for i, a in enumerate("ACGT"):
        for j, b in enumerate("ACGT"):
            for k, c in enumerate("ACGT"):
                acid = _AMINO[16 * order[a] + 4 * order[b] + order[c]]
                table[i, j, k] = STOP if acid == "*" else acids.index(acid)
    return table


_ACIDS = _table()


def _translated(codes: Codes, phase: int) -> Codes:
    first, second, third = _codons(codes, phase)
    return np.asarray(_ACIDS[first, second, third])
