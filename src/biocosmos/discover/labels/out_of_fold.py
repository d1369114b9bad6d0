"""What a linear head says of specimens that it was not fitted on: how likely the label is, and which taxon contradicts it
most."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from biocosmos.identify.folds import FOLDS, fold_numbers
from biocosmos.identify.namers.linear import LinearHead
from biocosmos.progress import progress
from biocosmos.search.gallery import Gallery
from biocosmos.taxonomy import Taxonomy

Array = npt.NDArray[Any]
_BLOCK = 8192


@dataclass(frozen=True, eq=False)
class OutOfFold:
    """asked: (n,) bool, rows of which there is an answer; label: (n,) float64 the probability of everything that the label does
    not contradict: itself, the taxa under it and those above; proposal: (n,) int64 the likeliest taxon that contradicts it, -1
    for none; rival: (n,) float64 its probability."""

    asked: Array
    label: Array
    proposal: Array
    rival: Array


def out_of_fold(gallery: Gallery, together: Array | None, seed: int) -> OutOfFold:
    """Cross-fitted answers for the specimens of ``gallery``, all of them labelled.

    together: (n,) int64 groups of doubles that must be in one fold, -1 for none: a head that saw the double would know the
    answer. A specimen that is alone in its taxon is not asked about: without it the taxon would be no answer at all.
    """
    assert gallery.taxa is not None and gallery.taxonomy is not None
    n, taxa = len(gallery), gallery.taxa.astype(np.int64)
    fold = fold_numbers(gallery, seed)
    if together is not None:
        fold = _kept_together(fold, together)
    found = OutOfFold(fold >= 0, np.full(n, np.nan), np.full(n, -1, np.int64), np.zeros(n))
    with progress("fit without", total=FOLDS, unit="folds") as bar:
        for number in range(FOLDS):
            asked = np.flatnonzero(fold == number)
            rest = np.flatnonzero(fold != number)
            if len(asked) and len(np.unique(taxa[rest])) > 1:
                _answer(gallery, asked, LinearHead.fit(gallery.vectors[rest], gallery.taxa[rest]), found)
            else:
                found.asked[asked] = False
            bar.advance()
    return found


def _answer(gallery: Gallery, rows: Array, head: LinearHead, found: OutOfFold) -> None:
    assert gallery.taxa is not None and gallery.taxonomy is not None
    classes = head.candidates.astype(np.int64)
    labels, which = np.unique(gallery.taxa[rows].astype(np.int64), return_inverse=True)
    agrees = consistent(gallery.taxonomy, labels, classes)
    for start in range(0, len(rows), _BLOCK):
        part = rows[start : start + _BLOCK]
        scores = head.scores(gallery.vectors[part]).astype(np.float64)
        scores -= scores.max(axis=1, keepdims=True)
        p = np.exp(scores)
        p /= p.sum(axis=1, keepdims=True)
        mine = agrees[which[start : start + _BLOCK]]
        found.label[part] = np.where(mine, p, 0).sum(axis=1)
        against = np.where(mine, -1.0, p)
        best = against.argmax(axis=1)
        there = against[np.arange(len(part)), best] >= 0
        found.proposal[part] = np.where(there, classes[best], -1)
        found.rival[part] = np.where(there, p[np.arange(len(part)), best], 0)


def consistent(tree: Taxonomy, a: Array, b: Array) -> Array:
    """(len(a), len(b)) bool: whether a specimen can be both: one is the other, or lies under it. A genus does not contradict its
    species, nor a species its genus."""
    first, second = a[:, None], b[None, :]
    return (first <= second) & (second < tree.end[a][:, None]) | (second <= first) & (first < tree.end[b][None, :])


def _kept_together(fold: Array, together: Array) -> Array:
    """Folds in which every group is in the fold of its first member that has one."""
    fold = fold.copy()
    rows = np.flatnonzero((together >= 0) & (fold >= 0))
    groups, first = np.unique(together[rows], return_index=True)
    place = np.searchsorted(groups, together[rows])
    fold[rows] = fold[rows[first]][place]
    return fold
