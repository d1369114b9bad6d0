"""Measures of a task of which exactly one class is true: accuracy, macro F1, calibration.

A specimen whose value is none of the classes could not be answered: it is counted apart, and in no measure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from biocosmos.errors import BiocosmosError
from biocosmos.evaluate.attributes.multi_label import Rules
from biocosmos.evaluate.numbers.bootstrap import Bootstrap, Interval
from biocosmos.evaluate.numbers.calibration import Reliability, reliability

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Exclusive:
    """What :func:`exclusive` found.

    confusion: (C, C) specimens, rows what is true, columns what was said; accuracy (micro), balanced: mean recall of the
    classes that are true of any specimen; macro_f1: mean F1, of these, or of all with ``zero``; weighted: mean F_beta by
    importance; calibration: of the likeliest class; specimens: those that count; unanswerable: those whose value is none of the
    classes; unknown: those whose value is not known.
    """

    confusion: Array
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
    confusion = np.bincount(true * classes + said, minlength=classes * classes).reshape(classes, classes)
    found = np.flatnonzero(confusion)
    kinds = np.stack([found // max(classes, 1), found % max(classes, 1)])

    def numbers(counts: Array) -> Array:
        return _numbers(counts, kinds, np.ones(classes) if weights is None else weights, rules)

    counts = confusion.ravel()[found]
    accuracy = bootstrap.recounted(counts, numbers)[0]
    # Means over classes: drawn within each class, so that none is lost in a draw.
    _, balanced, macro_f1, weighted = bootstrap.recounted(counts, numbers, strata=kinds[0])
    likeliest = probabilities[has_class].max(axis=1) if classes else np.zeros(0)
    return Exclusive(
        confusion,
        accuracy,
        balanced,
        macro_f1,
        None if weights is None else weighted,
        reliability(np.minimum(likeliest, 1.0), said == true),
        int(has_class.sum()),
        int((known & ~has_class).sum()),
        int((~known).sum()),
    )


def _numbers(counts: Array, kinds: Array, weights: Array, rules: Rules) -> Array:
    """(draws, 4) accuracy, balanced accuracy, macro F1 and weighted F_beta for counts (draws, kinds) of (true, said) pairs."""
    draws, classes = len(counts), len(weights)
    true, said, right = (np.zeros((draws, classes), np.float64) for _ in range(3))
    for kind, (a, b) in enumerate(kinds.T):
        true[:, a] += counts[:, kind]
        said[:, b] += counts[:, kind]
        if a == b:
            right[:, a] += counts[:, kind]
    with np.errstate(divide="ignore", invalid="ignore"):
        there = true > 0
        counted = there if rules.absent == "skip" else np.ones_like(there)
        accuracy = right.sum(axis=1) / true.sum(axis=1)
        balanced = np.where(there, right / true, 0).sum(axis=1) / there.sum(axis=1)
        defined = counted & (true + said > 0)
        macro = np.where(defined, 2 * right / (true + said), 0).sum(axis=1) / counted.sum(axis=1)
        b2 = rules.beta**2
        f_beta = np.where(defined, (1 + b2) * right / (b2 * true + said), 0)
        weighted = (f_beta * weights).sum(axis=1) / (counted * weights).sum(axis=1)
    return np.stack([accuracy, balanced, macro, weighted], axis=1)
