"""Measures of a task of which exactly one class is true: accuracy, macro F1, calibration.

A specimen whose value is none of the classes could not be answered: it is counted apart, and in no measure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from biocosmos.errors import BiocosmosError
from biocosmos.evaluate.attributes.multi_label import Counts, Rules, mean_of_classes, share, weighted_f
from biocosmos.evaluate.numbers.bootstrap import Bootstrap, Interval
from biocosmos.evaluate.numbers.calibration import Reliability, reliability
from biocosmos.evaluate.numbers.hierarchy import Agreement, agreement
from biocosmos.evaluate.numbers.rank_scores import agreements, kinds_of

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Exclusive:
    """What :func:`exclusive` found.

    counts: of the C classes; accuracy (micro), balanced: mean recall of the classes that are true of any specimen; macro_f1: mean
    F1, of these, or of all with ``zero``; weighted: mean F_beta by importance; calibration: of the likeliest class; specimens:
    those that count; unanswerable: those whose value is none of the classes; unknown: those whose value is not known.
    """

    counts: Counts
    accuracy: Interval
    balanced: Interval
    macro_f1: Interval
    weighted: Interval | None
    calibration: Reliability
    specimens: int
    unanswerable: int
    unknown: int


def exclusive(
    probabilities: Array,
    values: Array,
    rules: Rules | None = None,
    bootstrap: Bootstrap | None = None,
    weights: Array | None = None,
) -> Exclusive:
    """Measures of one task.

    probabilities: (n, C) rows that sum to 1; values: (n, C) of 1, 0 and -1; weights: (C,) importance. Raises BiocosmosError for
    shapes that differ.
    """
    rules = Rules() if rules is None else rules
    bootstrap = Bootstrap() if bootstrap is None else bootstrap
    probabilities, values = np.asarray(probabilities, np.float64), np.asarray(values)
    if probabilities.ndim != 2 or probabilities.shape != values.shape:
        raise BiocosmosError(f"probabilities {probabilities.shape} and labels {values.shape} are not of the same (n, classes)")
    classes = values.shape[1]
    has_class, known = (values == 1).any(axis=1), (values >= 0).any(axis=1)
    true = values[has_class].argmax(axis=1) if classes else np.zeros(0, np.int64)
    said = probabilities[has_class].argmax(axis=1) if classes else true
    kinds, counts = kinds_of(true, said)
    recount = agreements(kinds, classes)

    def numbers(drawn: Array) -> Array:
        return _numbers(_counts(recount(drawn)), np.ones(classes) if weights is None else weights, rules)

    accuracy = bootstrap.recounted(counts, numbers)[0]
    # Means over classes: drawn within each class, so that none is lost in a draw.
    _, balanced, macro_f1, weighted = bootstrap.recounted(counts, numbers, strata=kinds[:, 0])
    likeliest = probabilities[has_class].max(axis=1) if classes else np.zeros(0)
    return Exclusive(
        _counts(agreement(true, said, classes)),
        accuracy,
        balanced,
        macro_f1,
        None if weights is None else weighted,
        reliability(np.minimum(likeliest, 1.0), said == true),
        int(has_class.sum()),
        int((known & ~has_class).sum()),
        int((~known).sum()),
    )


def _counts(found: Agreement) -> Counts:
    return Counts(found.named, found.right, found.true)


def _numbers(counts: Counts, weights: Array, rules: Rules) -> Array:
    """(draws, 4) accuracy, balanced accuracy, macro F1 and weighted F_beta of counts (draws, C)."""
    there = counts.true > 0
    counted = there if rules.absent == "skip" else np.ones_like(there)
    return np.stack(
        [
            share(counts.right.sum(axis=-1), counts.true.sum(axis=-1)),
            mean_of_classes(counts.recall, there),
            mean_of_classes(counts.f(1.0), counted),
            weighted_f(counts, weights, counted, rules.beta),
        ],
        axis=1,
    )
