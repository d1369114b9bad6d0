"""Numbers from arrays: hits among neighbours, novelty detection, counts of taxa. No files, no pictures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from biocosmos.evaluate.numbers.targets import Target

Array = npt.NDArray[Any]
NAN = float("nan")


def first_right(rows: Array, target: Target, start: int = 0) -> Array:
    """Place of the first right neighbour of each query, from 0; k where none of the k is right.

    rows: (q, k) int64 gallery rows, best first, -1 where there is none; they belong to queries [start, start + q).
    Returns: (q,) int64. A neighbour whose rank is null is not right; neither is any for a query whose rank is null.
    """
    asked = target.query[start : start + len(rows), None]
    codes = np.append(target.gallery, -1)[rows]
    return places((codes == asked) & (asked >= 0))


def places(right: Array) -> Array:
    """Column of the first True of each row of (q, k) bool; k where there is none. Returns (q,) int64."""
    k = right.shape[1]
    if not k:
        return np.zeros(len(right), dtype=np.int64)
    first = right.argmax(axis=1)
    found: Array = np.where(right[np.arange(len(right)), first], first, k).astype(np.int64)
    return found


def hits_per_taxon(codes: Array, right: Array, taxa: int) -> Array:
    """(taxa,) int64 right queries of each code; codes (q,) with -1 left out, right (q,) bool."""
    hits: Array = np.bincount(codes[right & (codes >= 0)], minlength=taxa)
    return hits


@dataclass(frozen=True)
class Novelty:
    """How well a novelty score parts novel from known queries.

    auroc: chance that a novel query scores above a known one, ties counting half.
    fpr95_novel_positive: share of known queries called novel at the threshold that catches 95 % of the novel (OpenOOD's
    convention). fpr95_known_positive: share of novel queries taken for known at the threshold that keeps 95 % of the known
    (older papers). aupr_novel, aupr_known: area under precision-recall with novel, with known as the positive class.
    """

    auroc: float
    fpr95_novel_positive: float
    fpr95_known_positive: float
    aupr_novel: float
    aupr_known: float
    novel: int
    known: int


TRUE_POSITIVE_RATE = 0.95


def novelty(score: Array, novel: Array) -> Novelty:
    """Novelty detection from score (q,) float (higher: more novel; NaN rows are left out) and novel (q,) bool, the truth."""
    from sklearn.metrics import average_precision_score, roc_auc_score  # takes a second to import

    score, novel = np.asarray(score, dtype=np.float64), np.asarray(novel, dtype=bool)
    finite = ~np.isnan(score)
    score, novel = score[finite], novel[finite]
    out, known = score[novel], score[~novel]
    if not len(out) or not len(known):
        return Novelty(NAN, NAN, NAN, NAN, NAN, len(out), len(known))
    return Novelty(
        float(roc_auc_score(novel, score)),
        _false_positive_rate(out, known),
        _false_positive_rate(-known, -out),
        float(average_precision_score(novel, score)),
        float(average_precision_score(~novel, -score)),
        len(out),
        len(known),
    )


def _false_positive_rate(positive: Array, negative: Array) -> float:
    """Share of negatives at or above the highest threshold that at least 95 % of the positives reach."""
    needed = int(np.ceil(TRUE_POSITIVE_RATE * len(positive)))
    threshold = np.sort(positive)[::-1][needed - 1]
    return float((negative >= threshold).mean())


def bray_curtis(counted: Array, true: Array) -> tuple[float, float, float]:
    """How far a table of counts is from the true one, for ecologists.

    counted, true: (1 + taxa,) specimens of each taxon, the first cell those of no known taxon. Returns (Bray-Curtis
    dissimilarity in [0, 1] over all cells, share counted too many, share counted too few), the last two summed over known
    taxa, over the number of true specimens.
    """
    counted, true = np.asarray(counted, dtype=np.float64), np.asarray(true, dtype=np.float64)
    total = counted.sum() + true.sum()
    if not true.sum():
        return NAN, NAN, NAN
    off = counted - true
    over, under = np.maximum(off[1:], 0).sum(), np.maximum(-off[1:], 0).sum()
    return float(np.abs(off).sum() / total), float(over / true.sum()), float(under / true.sum())
