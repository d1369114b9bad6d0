"""The known barcodes a namer compares with: each barcode of each taxon once, laid over one another, and searched by k-mers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from biocosmos.barcodes.kmers import KmerCounts
from biocosmos.barcodes.placement import UNKNOWN, UNKNOWN_ACID, Codes, Marker
from biocosmos.search.sparse.index import SparseIndex
from biocosmos.taxonomy import Taxonomy

Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]
Float32 = npt.NDArray[np.float32]

K = 7
CANDIDATES = 80
"""References that a barcode is compared with base by base: those with the most k-mers in common."""
SPARE = 40
"""More that are looked up where some are hidden, so that most searches need no second one."""
_LEAST_OVERLAP = 50
"""Bases two barcodes must share to be compared by them; fewer are compared by their k-mers."""


class Hidden(NamedTuple):
    """What each of n queries must not know: barcode (n,) int64 number of its own barcode, -1 none; first, last (n,) int64 nodes,
    taxa with first <= node < last."""

    barcode: Int64
    first: Int64
    last: Int64


class Near(NamedTuple):
    """The references that one barcode was compared with, m of them.

    rows: (m,) int64; distances: (4, m) float32: per base; weighed towards what changes slowly (transversions and amino acids); by
    position in the codon; of k-mers. identity: (m,) float32, share of equal bases over what both have, NaN where that is too
    little; length: (m,) int32 columns that both have.
    """

    rows: Int64
    distances: Float32
    identity: Float32
    length: Int32


@dataclass(frozen=True, eq=False)
class References:
    """r references: every barcode of every taxon once.

    taxa: (r,) int32 nodes; rows: (r,) int64, the first gallery row of each; number: (r,) int64, equal for equal barcodes; paths:
    (r, L) int32 lineages, -1 null; codes: (r, width) uint8, placed; good: (r,) whether it is of the marker.
    """

    taxonomy: Taxonomy
    taxa: Int32
    rows: Int64
    number: Int64
    counts: KmerCounts
    marker: Marker
    codes: Codes
    good: npt.NDArray[np.bool_]

    @classmethod
    def of(
        cls,
        taxonomy: Taxonomy,
        taxa: Int32,
        barcodes: list[str],
        counts: KmerCounts | None,
        placed: tuple[Marker, Codes, npt.NDArray[np.bool_]] | None = None,
        seed: int = 0,
    ) -> References:
        """Of labelled barcodes (n); counts: theirs, if they are there; placed: the marker and the placed references, if known."""
        _, number = np.unique(np.array(barcodes, object).astype(str), return_inverse=True)
        pairs = np.stack([taxa.astype(np.int64), number.reshape(-1)], axis=1)
        _, rows = np.unique(pairs, axis=0, return_index=True)
        rows = np.sort(rows).astype(np.int64)
        letters = [barcodes[row] for row in rows]
        kept = KmerCounts.of(letters, K) if counts is None or counts.k != K else counts.take(rows)
        if placed is None:
            marker = Marker.learnt(letters, seed)
            laid = marker.place(letters)
            placed = (marker, laid.codes, laid.good)
        return cls(taxonomy, taxa[rows], rows, number.reshape(-1)[rows].astype(np.int64), kept, *placed)

    def __len__(self) -> int:
        return len(self.taxa)

    @cached_property
    def paths(self) -> Int32:
        """(r, L) int32 lineages."""
        return np.asarray(self.taxonomy.lineage(self.taxa), np.int32)

    @cached_property
    def acids(self) -> Codes:
        """(r, codons) uint8."""
        return self.marker.amino_acids(self.codes)

    @cached_property
    def index(self) -> SparseIndex:
        """The search over their k-mers."""
        return SparseIndex(self.counts)

    def near(self, barcodes: list[str], hidden: Hidden | None = None) -> list[Near | None]:
        """What each barcode is near to, None for one without a k-mer of letters that are known."""
        counts = KmerCounts.of(barcodes, K)
        out: list[Near | None] = [None] * len(barcodes)
        asked = np.flatnonzero(~counts.empty)
        if not len(asked) or not len(self):
            return out
        codes = self.marker.place([barcodes[i] for i in asked]).codes
        acids = self.marker.amino_acids(codes)
        wanted = min(len(self), CANDIDATES + (SPARE if hidden is not None else 0))
        found = self.index.search(counts.take(asked), wanted)
        for place, i in enumerate(asked):
            rows, cosines = found.rows[place], found.scores[place]
            if hidden is not None:
                rows, cosines = self._allowed(counts.take([i]), rows, cosines, hidden, int(i))
            there = rows >= 0
            if there.any():
                out[i] = self._compared(codes[place], acids[place], rows[there][:CANDIDATES], cosines[there][:CANDIDATES])
        return out

    def told(self, i: int, hidden: Hidden) -> npt.NDArray[np.bool_]:
        """(r,) the references that query i may know."""
        gone = (self.taxa >= hidden.first[i]) & (self.taxa < hidden.last[i])
        return np.asarray(~gone & (self.number != hidden.barcode[i]))

    def _allowed(self, counts: KmerCounts, rows: Int64, cosines: Float32, hidden: Hidden, i: int) -> tuple[Int64, Float32]:
        mask = self.told(i, hidden)
        kept = (rows >= 0) & mask[np.maximum(rows, 0)]
        if int(kept.sum()) < CANDIDATES and len(rows) < len(self):
            found = self.index.search(counts, CANDIDATES, mask=mask)
            return found.rows[0], found.scores[0]
        return rows[kept], cosines[kept]

    def _compared(self, codes: Codes, acids: Codes, rows: Int64, cosines: Float32) -> Near:
        """Distances of a placed barcode (width,) to references; smoothed, so that a short overlap does not win."""
        theirs = self.codes[rows]
        both = (theirs < UNKNOWN) & (codes < UNKNOWN)
        other = (theirs != codes) & both
        across = other & (((theirs ^ codes) & 1) == 1)  # purine against pyrimidine
        position = self.marker.codon_position
        length, unlike = both.sum(axis=1).astype(np.float32), other.sum(axis=1).astype(np.float32)
        shared = np.stack([both[:, position == i].sum(axis=1) for i in range(3)]).astype(np.float32)
        unequal = np.stack([other[:, position == i].sum(axis=1) for i in range(3)]).astype(np.float32)
        across_third = across[:, position == 2].sum(axis=1).astype(np.float32)
        known = (self.acids[rows] < UNKNOWN_ACID) & (acids < UNKNOWN_ACID)
        acid = ((self.acids[rows] != acids) & known).sum(axis=1) + np.float32(3)
        acid = acid / (known.sum(axis=1) + np.float32(30))
        base = (unlike + 2) / (length + 20)
        slow = (unlike + 6) / (length + 40) + 2 / 3 * (across_third + 3) / (shared[2] + 20) + 2 * acid
        codon = (4 * (unequal[:2] + 2) / (shared[:2] + 20)).sum(axis=0) / 3 + (unequal[2] + 4) / (shared[2] + 20) / 3
        by_kmers = 1 - np.clip(cosines, 1e-6, 1) ** np.float32(1 / K)
        short = length < _LEAST_OVERLAP
        # of another marker, or of another end of it: k-mers alone tell, on the scale on which distances of whole barcodes lie
        scaled = np.stack([by_kmers + np.float32(0.1), 2 * by_kmers + np.float32(0.5), by_kmers + np.float32(0.4)])
        distances = np.where(short, scaled, np.stack([base, slow, codon]))
        identity = np.where(short, np.nan, 1 - unlike / np.maximum(length, 1)).astype(np.float32)
        return Near(rows, np.concatenate([distances, by_kmers[None]]).astype(np.float32), identity, length.astype(np.int32))
