"""Accuracy, precision, recall, F1 and top-k at one rank, with intervals; and how two heads differ in them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from biocosmos.evaluate.numbers.bootstrap import Bootstrap, Interval
from biocosmos.evaluate.numbers.hierarchy import Agreement

Array = npt.NDArray[Any]
Numbers = Callable[[Array], Array]
MEASURES = ("precision", "recall", "F1")


def agreement_intervals(true: Array, said: Array, taxa: int, boot: Bootstrap) -> list[tuple[str, str, Interval]]:
    """(measure, average, interval) of codes (n,): accuracy, then precision, recall and F1 weighted by specimens and macro over
    the taxa that have any."""
    kinds, counts = kinds_of(true, said)
    weighted = boot.recounted(counts, _weighted(kinds, taxa))
    macro = boot.recounted(counts, _macro(kinds, taxa), kinds[:, 0])
    return _listed(weighted, macro)


def _listed(weighted: Sequence[Interval], macro: Sequence[Interval]) -> list[tuple[str, str, Interval]]:
    """Precision, recall, F1 of both averages by name; weighted recall is the accuracy."""
    out = [(measure, "weighted", value) for measure, value in zip(MEASURES, weighted)]
    return [("accuracy", "micro", weighted[1]), *out, *((measure, "macro", value) for measure, value in zip(MEASURES, macro))]


def top_intervals(true: Array, place: Array, ks: Sequence[int], taxa: int, boot: Bootstrap) -> list[tuple[str, str, Interval]]:
    """The true taxon is among the k most probable of its rank: micro and macro."""
    judged = true >= 0
    counts = np.bincount(true[judged], minlength=taxa)
    out = []
    for k in ks:
        hits = np.bincount(true[judged & (place < k)], minlength=taxa)
        out.append((f"top-{k}", "micro", boot.micro(hits, counts)))
        out.append((f"top-{k}", "macro", boot.macro(hits, counts)))
    return out


def kinds_of(true: Array, *said: Array) -> tuple[Array, Array]:
    """Distinct rows of codes among the specimens with a true taxon, (kinds, columns), and how many specimens are each."""
    judged = true >= 0
    kinds, counts = np.unique(np.stack([column[judged] for column in (true, *said)], axis=1), axis=0, return_counts=True)
    return kinds, counts


def agreements(kinds: Array, taxa: int, column: int = 1) -> Callable[[Array], Agreement]:
    """counts (draws, kinds) of :func:`kinds_of` -> the agreement of answers ``column`` with the truth, column 0."""
    from scipy.sparse import csr_matrix  # takes a while to import

    true, said = kinds[:, 0], kinds[:, column]
    place = np.arange(len(kinds))
    masks = (said == true, true), (said >= 0, said), (true >= 0, true)
    ones = [csr_matrix((np.ones(int(m.sum()), np.int64), (codes[m], place[m])), (taxa, len(kinds))) for m, codes in masks]
    return lambda counts: Agreement(*(np.asarray((one @ counts.T).T) for one in ones))


def _weighted(kinds: Array, taxa: int, column: int = 1) -> Numbers:
    count = agreements(kinds, taxa, column)

    def numbers(counts: Array) -> Array:
        found = count(counts)
        return np.stack([found.weighted(score) for score in (found.precision, found.recall, found.f1)], axis=1)

    return numbers


def _macro(kinds: Array, taxa: int, column: int = 1) -> Numbers:
    count, present = agreements(kinds, taxa, column), np.unique(kinds[:, 0])

    def numbers(counts: Array) -> Array:
        found = count(counts)
        return np.stack([found.macro(score, present) for score in (found.precision, found.recall, found.f1)], axis=1)

    return numbers


def agreement_differences(true: Array, first: Array, other: Array, taxa: int, boot: Bootstrap) -> list[tuple[str, str, Interval]]:
    """:func:`agreement_intervals` of ``other`` minus those of ``first``, resampled in pairs."""
    kinds, counts = kinds_of(true, first, other)

    def minus(make: Callable[[Array, int, int], Numbers]) -> Numbers:
        before, after = make(kinds, taxa, 1), make(kinds, taxa, 2)
        return lambda drawn: after(drawn) - before(drawn)

    weighted = boot.recounted(counts, minus(_weighted))
    macro = boot.recounted(counts, minus(_macro), kinds[:, 0])
    return _listed(weighted, macro)
