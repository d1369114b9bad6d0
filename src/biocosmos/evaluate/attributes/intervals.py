"""Intervals of multi-label measures: specimens drawn anew with replacement, each with all its labels."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
import numpy.typing as npt

from biocosmos.evaluate.attributes.multi_label import (
    Averages,
    Counts,
    Rules,
    averages,
    decisions,
    mean_of,
)
from biocosmos.evaluate.numbers.bootstrap import Bootstrap, Interval

Array = npt.NDArray[Any]
MOST_STEPS = 200_000_000
"""Of a ranking times draws: more specimens get fewer draws for mAP, whose intervals are as good with hundreds."""
FEWEST_DRAWS = 100
MEASURES = tuple(field.name for field in fields(Averages))


def intervals(
    probabilities: Array,
    values: Array,
    thresholds: Array,
    weights: Array | None,
    rules: Rules,
    bootstrap: Bootstrap,
    *,
    ranked: bool = True,
) -> dict[str, Interval]:
    """Every measure of :class:`Averages`, "exact" and, where ``ranked``, "mean_ap", with its interval; arguments as for
    ``multi_label``. As published, mean_ap has none."""
    if rules.absent == "published":
        values = np.maximum(values, 0)
    said, true, known = decisions(probabilities, values, thresholds)
    whole = known[:, -1] & (values >= 0).all(axis=1)
    exact_said = probabilities >= 0.5 if rules.absent == "published" else said[:, :-1]
    exact = (exact_said == true[:, :-1]).all(axis=1) & whole
    rows = np.hstack([said & known, said & true & known, true & known, exact[:, None], whole[:, None]])
    kinds, counts = _kinds(rows)
    classes = said.shape[1]

    def numbers(drawn: Array) -> Array:
        totals = drawn.astype(np.float64) @ kinds
        sums = [totals[:, i * classes : (i + 1) * classes] for i in range(3)]
        found = averages(Counts(*sums), weights, rules)
        with np.errstate(divide="ignore", invalid="ignore"):
            match = totals[:, -2] / totals[:, -1]
        return np.stack([*(getattr(found, name) for name in MEASURES), match], axis=1)

    found = dict(zip((*MEASURES, "exact"), bootstrap.recounted(counts, numbers)))
    if not ranked:
        return found
    if rules.absent == "published":  # its order of equal scores is that of these specimens, and of no draw
        return found | {"mean_ap": Interval(float("nan"), float("nan"), float("nan"))}
    return found | {"mean_ap": _mean_ap(probabilities, values, rules, bootstrap)}


def _kinds(rows: Array) -> tuple[Array, Array]:
    """The distinct rows as float64 (kinds, m), and how many specimens are of each."""
    packed = np.packbits(rows, axis=1)
    _, first, counts = np.unique(packed, axis=0, return_index=True, return_counts=True)
    return rows[first].astype(np.float64), counts.astype(np.int64)


def _mean_ap(probabilities: Array, values: Array, rules: Rules, bootstrap: Bootstrap) -> Interval:
    rankings = [_Ranking(scores, labels) for scores, labels in zip(probabilities.T, values.T)]
    total = len(values)
    whole = np.ones(total, np.int64)
    value = mean_of(np.array([ranking.precision(whole) for ranking in rankings]), rules)
    draws = min(bootstrap.draws, max(FEWEST_DRAWS, MOST_STEPS // max(1, values.size)))
    if not total or not draws:
        return Interval(value, float("nan"), float("nan"))
    rng = np.random.default_rng(bootstrap.seed)
    found = np.empty(draws)
    for i in range(draws):
        drawn = np.bincount(rng.integers(0, total, total), minlength=total)
        found[i] = mean_of(np.array([ranking.precision(drawn) for ranking in rankings]), rules)
    found = found[~np.isnan(found)]
    if not len(found):
        return Interval(value, float("nan"), float("nan"))
    tail = (1 - bootstrap.confidence) / 2
    low, high = np.quantile(found, (tail, 1 - tail))
    return Interval(value, float(low), float(high))


class _Ranking:
    """One class's known specimens by falling score, ready to be counted anew; equal scores are one cut."""

    def __init__(self, scores: Array, labels: Array) -> None:
        rows = np.flatnonzero(labels >= 0)
        self._order = rows[np.argsort(-scores[rows], kind="stable")]
        self._true = labels[self._order] == 1
        sorted_ = scores[self._order]
        self._last = np.append(np.flatnonzero(np.diff(sorted_)), len(sorted_) - 1) if len(rows) else np.zeros(0, np.int64)

    def precision(self, times: Array) -> float:
        """Average precision with each specimen counted so many times (n,); NaN without a true one."""
        counted = times[self._order]
        ranked, right = np.cumsum(counted)[self._last], np.cumsum(counted * self._true)[self._last]
        if not len(right) or not right[-1]:
            return float("nan")
        share = np.divide(right, ranked, out=np.zeros(len(right)), where=ranked > 0)
        return float((np.diff(right, prepend=0) * share).sum() / right[-1])
