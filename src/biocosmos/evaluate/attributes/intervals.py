"""Intervals of multi-label measures: specimens drawn anew with replacement, each with all its labels."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
import numpy.typing as npt

from biocosmos.evaluate.attributes.multi_label import Averages, Counts, Rules, averages, decisions, mean_of, share
from biocosmos.evaluate.attributes.ranking import Ranking
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
) -> dict[str, Interval]:
    """Every measure of :class:`Averages`, "exact" and "mean_ap", with its interval; arguments as for ``multi_label``. As
    published, mean_ap has none."""
    drawn_from = decisions(probabilities, values, thresholds, rules)
    exact, whole = drawn_from.exact & drawn_from.whole, drawn_from.whole
    kinds, counts = _kinds(np.hstack([*drawn_from.counted, exact[:, None], whole[:, None]]))
    classes = drawn_from.known.shape[1]

    def numbers(drawn: Array) -> Array:
        totals = drawn.astype(np.float64) @ kinds
        sums = [totals[:, i * classes : (i + 1) * classes] for i in range(3)]
        found = averages(Counts(*sums), weights, rules)
        match = share(totals[:, -2], totals[:, -1])
        return np.stack([*(getattr(found, name) for name in MEASURES), match], axis=1)

    found = dict(zip((*MEASURES, "exact"), bootstrap.recounted(counts, numbers)))
    if rules.absent == "published":  # its order of equal scores is that of these specimens, and of no draw
        return found | {"mean_ap": Interval(float("nan"), float("nan"), float("nan"))}
    return found | {"mean_ap": _mean_ap(probabilities, values, rules, bootstrap)}


def _kinds(rows: Array) -> tuple[Array, Array]:
    """The distinct rows as float64 (kinds, m), and how many specimens are of each."""
    packed = np.packbits(rows, axis=1)
    _, first, counts = np.unique(packed, axis=0, return_index=True, return_counts=True)
    return rows[first].astype(np.float64), counts.astype(np.int64)


def _mean_ap(probabilities: Array, values: Array, rules: Rules, bootstrap: Bootstrap) -> Interval:
    rankings = [Ranking(scores, labels) for scores, labels in zip(probabilities.T, values.T)]
    total = len(values)
    whole = np.ones(total, np.int64)
    value = mean_of(np.array([ranking.precision(whole) for ranking in rankings]), rules)
    draws = min(bootstrap.draws, max(FEWEST_DRAWS, MOST_STEPS // max(1, values.size)))
    if not total:
        return bootstrap.interval(value, np.empty(0))
    rng = np.random.default_rng(bootstrap.seed)
    found = np.empty(draws)
    for i in range(draws):
        drawn = np.bincount(rng.integers(0, total, total), minlength=total)
        found[i] = mean_of(np.array([ranking.precision(drawn) for ranking in rankings]), rules)
    return bootstrap.interval(value, found)
