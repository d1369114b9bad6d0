"""Does confidence mean what it says? Reliability, expected calibration error, and accuracy against coverage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from biocosmos.evaluate.numbers.bootstrap import CONFIDENCE, wilson

Array = npt.NDArray[Any]
BINS = 10
# Points of a drawn curve: more cannot be seen.
CURVE_POINTS = 200


@dataclass(frozen=True)
class Reliability:
    """Answers in bins of equal width of confidence; arrays hold the non-empty bins, (bins,) each.

    lower, upper: edges; confidence: mean said; accuracy: share right, with Wilson's low and high; count: answers.
    ece: sum over bins of count/n * |accuracy - confidence| (Naeini et al. 2015; Guo et al. 2017,
    https://arxiv.org/abs/1706.04599).
    """

    lower: Array
    upper: Array
    confidence: Array
    accuracy: Array
    low: Array
    high: Array
    count: Array
    ece: float


def reliability(confidence: Array, right: Array, bins: int = BINS, level: float = CONFIDENCE) -> Reliability:
    """Bin answers by confidence (n,) in [0, 1] and compare with right (n,) bool. A bin holds (lower, upper], the first its 0
    too."""
    confidence, right = np.asarray(confidence, dtype=np.float64), np.asarray(right, dtype=bool)
    place = np.minimum(np.searchsorted(np.arange(1, bins + 1) / bins, confidence, "left"), bins - 1)
    count = np.bincount(place, minlength=bins)
    full = np.flatnonzero(count)
    hits = np.bincount(place[right], minlength=bins)[full]
    said = np.bincount(place, weights=confidence, minlength=bins)[full]
    count = count[full]
    low, high = wilson(hits, count, level)
    ece = float(np.abs(hits - said).sum() / count.sum()) if len(full) else float("nan")
    return Reliability(full / bins, (full + 1) / bins, said / count, hits / count, low, high, count, ece)


@dataclass(frozen=True)
class Coverage:
    """Accuracy when only the most confident answers are kept.

    threshold (p,): answers with at least this confidence are kept; coverage (p,): share of all queries kept; accuracy (p,):
    share of the kept that are right. aurc: area under 1 - accuracy over coverage, the mean risk (Geifman & El-Yaniv 2017),
    over the queries that have an answer; in expectation over the order of equally confident ones.
    """

    threshold: Array
    coverage: Array
    accuracy: Array
    aurc: float


def coverage_curve(confidence: Array, right: Array, points: int = CURVE_POINTS) -> Coverage:
    """One point per distinct confidence, thinned to ``points``; confidence (n,) in [0, 1], NaN for queries without an answer,
    which are never kept."""
    confidence, right = np.asarray(confidence, dtype=np.float64), np.asarray(right, dtype=bool)
    answered = ~np.isnan(confidence)
    order = np.argsort(-confidence[answered], kind="stable")
    said, hits = confidence[answered][order], np.cumsum(right[answered][order])
    if not len(said):
        return Coverage(np.empty(0), np.empty(0), np.empty(0), float("nan"))
    kept = np.arange(1, len(said) + 1)
    last = np.append(np.flatnonzero(np.diff(said)), len(said) - 1)
    accuracy = hits[last] / kept[last]
    # In a random order of equally confident answers the right ones come at an even pace.
    expected = np.interp(kept, np.append(0, kept[last]), np.append(0, hits[last]))
    aurc = float(1 - np.mean(expected / kept))
    if len(last) > points:
        shown = np.unique(np.linspace(0, len(last) - 1, points).round().astype(np.int64))
        last, accuracy = last[shown], accuracy[shown]
    return Coverage(said[last], kept[last] / len(confidence), accuracy, aurc)
