"""What the references near a barcode say of every taxon that one of them belongs to: a row of numbers a taxon."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from biocosmos.identify.namers.barcodes.references import Float32, Hidden, Int32, Int64, Near, References

SLOW, BASE = 1, 0
_BASE_KNOTS = (0.004, 0.008, 0.012, 0.018, 0.025, 0.035, 0.05, 0.08, 0.12, 0.18)
_SLOW_KNOTS = (0.05, 0.08, 0.12, 0.16, 0.2, 0.25, 0.3, 0.4, 0.5, 0.7)
"""Distances at which the slope of a taxon's score may change."""
_VOTES = ((BASE, 0.01), (SLOW, 0.03), (SLOW, 0.1))
"""Which distance votes fall with, and how fast."""
_RARE = 1e-3
WIDTH = 1 + len(_BASE_KNOTS) + len(_SLOW_KNOTS) + 2 + 4 + 5 + 5 + 2
"""Numbers a taxon."""


class Said(NamedTuple):
    """nodes: (m,) int32, the taxa of the references near a barcode and all above them, ascending, the root first; numbers: (m,
    :data:`WIDTH`) float32; nearest: (m,) float32, the least distance per base to a reference at or under each."""

    nodes: Int32
    numbers: Float32
    nearest: Float32


class Evidence:
    """Makes :class:`Said` of :class:`Near`. taxa_under: (nodes,) int64, the known leaf taxa at or under each node."""

    def __init__(self, references: References) -> None:
        self.references = references
        taxonomy = references.taxonomy
        self.leaves = np.unique(references.taxa)
        self.taxa_under = np.searchsorted(self.leaves, taxonomy.end) - np.searchsorted(self.leaves, np.arange(len(taxonomy)))

    def of(self, near: Near, hidden: Hidden | None = None, i: int = 0) -> Said:
        """Of one barcode; hidden: what query i must not know, which is not counted either."""
        paths = self.references.paths[near.rows]
        there = paths >= 0
        member = np.concatenate([np.arange(len(paths)), np.nonzero(there)[0]])
        flat = np.concatenate([np.zeros(len(paths), np.int32), paths[there]])
        nodes, of = np.unique(flat, return_inverse=True)
        order = np.argsort(of, kind="stable")
        starts = np.searchsorted(of[order], np.arange(len(nodes)))
        members = member[order]
        best = near.distances.min(axis=1)
        least = np.minimum.reduceat(near.distances[:, members], starts, axis=1)
        votes = np.stack([self._votes(near.distances[which], fall, members, starts) for which, fall in _VOTES])
        count = np.diff(np.append(starts, len(members)))
        under = self.taxa_under[nodes].astype(np.float64)
        if hidden is not None and hidden.last[i] > hidden.first[i]:
            gone = np.searchsorted(self.leaves, hidden.last[i]) - np.searchsorted(self.leaves, hidden.first[i])
            above = (nodes <= hidden.first[i]) & (self.references.taxonomy.end[nodes] >= hidden.last[i])
            under = np.maximum(under - np.where(above, gone, 0), 0)
        parent = np.searchsorted(nodes, np.maximum(self.references.taxonomy.parent[nodes], 0))
        raw = np.concatenate([least, least - best[:, None], votes, votes[:, parent], [np.log1p(count)], [np.log1p(under)]])
        return Said(nodes.astype(np.int32), _expanded(raw), least[BASE].astype(np.float32))

    @staticmethod
    def _votes(distance: Float32, fall: float, members: Int64, starts: Int64) -> npt.NDArray[np.float64]:
        weight = np.exp(-(distance - distance.min()).astype(np.float64) / fall)
        return np.asarray(np.add.reduceat(weight[members], starts) / weight.sum())


def _expanded(raw: npt.NDArray[np.float64]) -> Float32:
    """(16, m) -> (m, WIDTH): hinges of distances, gaps to the nearest, votes and their logarithms."""
    base, slow, codon, _, *rest = raw
    gaps, votes, above, counts = rest[:4], rest[4:7], rest[7:10], rest[10:]
    columns = [np.ones_like(base)]
    columns += [np.maximum(knot - base, 0) / knot for knot in _BASE_KNOTS]
    columns += [np.maximum(knot - slow, 0) / knot for knot in _SLOW_KNOTS]
    columns += [slow, codon, gaps[0] * 10, gaps[1] * 3, gaps[2] * 3, gaps[3] * 10]
    columns += [*votes, *(np.log(vote + _RARE) for vote in votes[1:]), *above[1:], *(np.log(vote + _RARE) for vote in above)]
    return np.stack([*columns, *counts], axis=1).astype(np.float32)
