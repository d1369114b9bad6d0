"""Known specimens that are set apart to learn how much image and barcode count: some of known taxa, some of taxa hidden whole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from biocosmos.identify.namers.fusion.pool import Int64

MOST = 2400
"""Specimens set apart, half of them of hidden taxa."""
NUMBERS = 1 << 24
"""Numbers in the table of what is said of them: fewer are set apart where there are many classes."""
FITTED_SHARE = 0.4
"""Share of their taxa that weights are fitted on; the others are what confidence and promises rest on."""
LARGEST_SHARE = 0.6
"""Of the specimens that can be set apart."""
FOLDS = 8
"""A namer of images stands in for each, that knows nothing of it: small folds, so that it is nearly the one fitted on all."""


class Candidates(NamedTuple):
    """Known specimens with image and barcode whose barcode was no lesson.

    rows: (k,) int64 of the gallery; references: (k,) int64 of the namer of barcodes; taxa: (k,) int32; again: (k,) bool, whether
    another barcode and another image of its taxon are known.
    """

    rows: Int64
    references: Int64
    taxa: npt.NDArray[np.int32]
    again: npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Apart:
    """rows, references: (k,) int64 as of :class:`Candidates`; unseen: (k,) bool, its taxon is hidden whole; fitted: (k,) bool,
    weights are fitted on it; fold: (k,) int64 below :data:`FOLDS`."""

    rows: Int64
    references: Int64
    unseen: npt.NDArray[np.bool_]
    fitted: npt.NDArray[np.bool_]
    fold: Int64

    def __len__(self) -> int:
        return len(self.rows)


def set_apart(candidates: Candidates, classes: int, seed: int) -> Apart:
    """Drawn by the seed: whole taxa first, a fold each, then specimens of others, of a taxon one in a fold."""
    random = np.random.default_rng([seed, FOLDS])
    most = int(min(MOST, max(200, NUMBERS // max(1, classes)), LARGEST_SHARE * len(candidates.rows)))
    taxa, of = np.unique(candidates.taxa, return_inverse=True)
    drawn = random.permutation(len(taxa))
    hidden = drawn[: int(np.searchsorted(np.cumsum(np.bincount(of, minlength=len(taxa))[drawn]), most // 2, side="right"))]
    fold_of = random.integers(FOLDS, size=len(taxa))
    is_hidden = np.zeros(len(taxa), np.bool_)
    is_hidden[hidden] = True
    unseen = np.flatnonzero(is_hidden[of])
    rest = random.permutation(np.flatnonzero(candidates.again & ~is_hidden[of]))
    nth = _numbered(of[rest])
    rest, nth = rest[nth < FOLDS], nth[nth < FOLDS]
    rest, nth = rest[: most - most // 2], nth[: most - most // 2]
    chosen = np.concatenate([unseen, rest]).astype(np.int64)
    # whole taxa are fitted on or not: two specimens of one species are no two witnesses
    fitted = random.random(len(taxa)) < FITTED_SHARE
    return Apart(
        candidates.rows[chosen],
        candidates.references[chosen],
        np.repeat([True, False], [len(unseen), len(rest)]),
        fitted[of[chosen]],
        np.concatenate([fold_of[of[unseen]], (fold_of[of[rest]] + nth) % FOLDS]).astype(np.int64),
    )


def _numbered(of: Int64) -> Int64:
    """Of each entry how many equal ones stand before it."""
    order = np.argsort(of, kind="stable")
    starts = np.flatnonzero(np.append(True, of[order][1:] != of[order][:-1])) if len(of) else np.empty(0, np.int64)
    out = np.empty(len(of), np.int64)
    out[order] = np.arange(len(of)) - np.repeat(starts, np.diff(np.append(starts, len(of))))
    return out
