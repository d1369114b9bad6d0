"""Measures of a task of which any number of classes may be true, and the empty class that no score stands for.

A class is said where its probability is >= its threshold. A specimen is of the empty class where none of its classes is true,
and is said to be where none is said: a blank frame, an empty tray, a sewer without defects. Measures and their names are those of
Sewer-ML (Haurum and Moeslund, CVPR 2021, https://arxiv.org/abs/2103.10895)::

    F_b,k = (1 + b^2) TP_k / ((1 + b^2) TP_k + b^2 FN_k + FP_k)         b = 2: a miss costs more than a false alarm
    F_b weighted = sum_k w_k F_b,k / sum_k w_k                          over the classes, without the empty one; F2_CIW there
    F1 empty = F_1 of the empty class                                   F1_Normal there
    OP, OR, OF1: precision, recall and F1 of all decisions together (micro);  CP, CR: means of the classes' precision and recall,
    CF1 their harmonic mean;  MF1: mean of the classes' F1 -- all of them with the empty class;  exact match;  mAP without it

A label that is not known (-1) is in no count. Three ways to count a class that is true of no known specimen: ``skip`` leaves it
out of every mean, ``zero`` counts it as 0, and ``published`` does as the code that was published with the data: 0 in F_b, MF1 and
mAP, NaN in CP, CR and CF1, unknown labels taken for false, exact match at 0.5 whatever the threshold, and average precision in
the order in which NumPy happens to sort equal scores (which differs between processors).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from biocosmos.errors import BiocosmosError
from biocosmos.evaluate.attributes.ranking import Ranking
from biocosmos.identify.attributes import HALF

Array = npt.NDArray[Any]
Absent = Literal["skip", "zero", "published"]
ABSENT: tuple[Absent, ...] = ("skip", "zero", "published")


@dataclass(frozen=True)
class Rules:
    """How classes are counted. beta: so many times as much weighs recall as precision; absent: see the module."""

    beta: float = 2.0
    absent: Absent = "skip"

    def __post_init__(self) -> None:
        if not (self.beta > 0 and np.isfinite(self.beta)):
            raise BiocosmosError(f"beta must be a number above 0, not {self.beta}")
        if self.absent not in ABSENT:
            raise BiocosmosError(f"absent classes cannot be counted as {self.absent!r}: choose {', '.join(ABSENT)}")


@dataclass(frozen=True)
class Averages:
    """Measures over the classes; a float64 each, or an array of one for each draw. NaN where nothing defines it.

    weighted, plain: mean F_beta by importance, and with all classes alike; the others as in the module.
    """

    weighted: Any
    plain: Any
    empty: Any
    op: Any
    or_: Any
    of1: Any
    cp: Any
    cr: Any
    cf1: Any
    mf1: Any


@dataclass(frozen=True)
class Counts:
    """Of (..., C + 1) classes, the empty one last: ``said``, ``right`` among them, ``true``; all among known labels. Of a task
    with exactly one class true there is no empty one.

    The published code calls them Np, Nc and Ng.
    """

    said: Array
    right: Array
    true: Array

    @property
    def precision(self) -> Array:
        """(..., C + 1), NaN for a class that was never said."""
        return share(self.right, self.said)

    @property
    def recall(self) -> Array:
        """(..., C + 1), NaN for a class that is never true."""
        return share(self.right, self.true)

    def f(self, beta: float) -> Array:
        """(..., C + 1) F_beta, 0 for a class that is never true and never said."""
        # (1 + b^2) TP + b^2 FN + FP = said + b^2 true
        return share((1 + beta**2) * self.right, self.said + beta**2 * self.true, 0.0)


@dataclass(frozen=True)
class MultiLabel:
    """What :func:`multi_label` found. ap: (C,) average precision, NaN for a class without a known true specimen (0 as published).

    specimens: those of which any label is known; whole: of which all are, exact match counts these; known: (C + 1,) specimens of
    which a class is known, the empty one last; present: (C + 1,) classes that are true of any.
    """

    counts: Counts
    averages: Averages
    ap: Array
    mean_ap: float
    exact: float
    specimens: int
    whole: int
    known: Array

    @property
    def present(self) -> Array:
        """(C + 1,) bool: whether a class is true of any known specimen."""
        return np.asarray(self.counts.true > 0)


def multi_label(
    probabilities: Array,
    values: Array,
    thresholds: Array | float = HALF,
    weights: Array | None = None,
    rules: Rules | None = None,
) -> MultiLabel:
    """Measures of one task.

    probabilities: (n, C) in 0..1; values: (n, C) of 1, 0 and -1; thresholds: (C,) or one for all; weights: (C,) importance, all
    alike when None. Raises BiocosmosError for shapes that differ, and scores that are no probabilities.
    """
    rules = Rules() if rules is None else rules
    probabilities, values = checked(probabilities, values)
    cuts = np.broadcast_to(np.asarray(thresholds, np.float64), probabilities.shape[1:])
    found = decisions(probabilities, values, cuts, rules)
    counts = Counts(*(np.asarray(each.sum(axis=0), np.int64) for each in found.counted))
    agree = found.exact[found.whole]
    ap = np.array([average_precision(*column, rules) for column in zip(probabilities.T, values.T)], np.float64)
    return MultiLabel(
        counts,
        averages(counts, weights, rules),
        ap,
        mean_of(ap, rules),
        float(agree.mean()) if len(agree) else float("nan"),
        int(found.known[:, :-1].any(axis=1).sum()),
        int(found.whole.sum()),
        found.known.sum(axis=0),
    )


def checked(probabilities: Array, values: Array) -> tuple[Array, Array]:
    """Both as arrays (n, C). Raises BiocosmosError for shapes that differ, and scores that are no probabilities."""
    probabilities, values = np.asarray(probabilities, np.float64), np.asarray(values)
    if probabilities.ndim != 2 or probabilities.shape != values.shape:
        raise BiocosmosError(f"probabilities {probabilities.shape} and labels {values.shape} are not of the same (n, classes)")
    if not ((probabilities >= 0) & (probabilities <= 1)).all():
        raise BiocosmosError("scores must be probabilities in 0 to 1: the empty class is said where none reaches its threshold")
    return probabilities, values.astype(np.int8)


class Decisions(NamedTuple):
    """What is said of specimens beside what is known of them.

    said, true, known: (n, C + 1) bool, the empty class last: it is known where no label is true and all are known, and, to be not
    there, where any is true; whole: (n,) all labels are known; exact: (n,) all are as they are said.
    """

    said: Array
    true: Array
    known: Array
    whole: Array
    exact: Array

    @property
    def counted(self) -> tuple[Array, Array, Array]:
        """Each specimen's part of :class:`Counts`, in that order."""
        return self.said & self.known, self.said & self.true & self.known, self.true & self.known


def decisions(probabilities: Array, values: Array, thresholds: Array, rules: Rules) -> Decisions:
    """The decisions of one task; arguments as for :func:`multi_label`."""
    published = rules.absent == "published"
    said, true = probabilities >= thresholds, values == 1
    known = np.ones_like(true) if published else values >= 0
    any_true, all_known = true.any(axis=1, keepdims=True), known.all(axis=1, keepdims=True)
    return Decisions(
        np.hstack([said, ~said.any(axis=1, keepdims=True)]),
        np.hstack([true, ~any_true & all_known]),
        np.hstack([known, any_true | all_known]),
        np.asarray(known.all(axis=1)),
        ((probabilities >= HALF if published else said) == true).all(axis=1),
    )


def averages(counts: Counts, weights: Array | None, rules: Rules) -> Averages:
    """The measures that follow from counts (..., C + 1), of which leading axes are kept."""
    classes = counts.true.shape[-1] - 1
    w = np.ones(classes) if weights is None else np.asarray(weights, np.float64)
    f1 = counts.f(1.0)
    present = counts.true > 0
    counted = present if rules.absent == "skip" else np.ones_like(present)
    precision, recall = counts.precision, counts.recall
    if rules.absent != "published":
        precision, recall = np.nan_to_num(precision), np.nan_to_num(recall)
    cp, cr = mean_of_classes(precision, counted), mean_of_classes(recall, counted)
    said, right, true = (each.sum(axis=-1) for each in (counts.said, counts.right, counts.true))
    op, or_ = share(right, said), share(right, true)
    empty = f1[..., -1] if rules.absent != "skip" else np.where(present[..., -1], f1[..., -1], np.nan)
    own = Counts(counts.said[..., :-1], counts.right[..., :-1], counts.true[..., :-1])
    return Averages(
        weighted=weighted_f(own, w, counted[..., :-1], rules.beta),
        plain=weighted_f(own, np.ones(classes), counted[..., :-1], rules.beta),
        empty=empty,
        op=op,
        or_=or_,
        of1=share(2 * right, said + true),
        cp=cp,
        cr=cr,
        cf1=share(2 * cp * cr, cp + cr),
        mf1=mean_of_classes(f1, counted),
    )


def average_precision(scores: Array, values: Array, rules: Rules) -> float:
    """Mean over the true specimens of the precision at their score, equal scores counted as one cut (as scikit-learn does).

    scores, values: (n,), unknown labels left out. NaN without a true specimen; as published 0, and each score a cut of its own.
    """
    if rules.absent == "published":
        order = np.argsort(scores)[::-1]
        true = values[order] == 1
        found = np.cumsum(true)
        return float((found / np.arange(1, len(true) + 1))[true].sum() / found[-1]) if true.any() else 0.0
    return Ranking(scores, values).precision(np.ones(len(values), np.int64))


def mean_of(ap: Array, rules: Rules) -> float:
    """The mean of average precisions (C,): without those that are NaN, or with these as 0."""
    known = ap[~np.isnan(ap)] if rules.absent == "skip" else np.nan_to_num(ap)
    return float(known.mean()) if len(known) else float("nan")


def weighted_f(counts: Counts, weights: Array, counted: Array, beta: float) -> Array:
    """(...) mean F_beta by weights (C,) of the classes that are counted (..., C); NaN where these weigh nothing."""
    return share((weights * counts.f(beta) * counted).sum(axis=-1), (weights * counted).sum(axis=-1))


def mean_of_classes(values: Array, counted: Array) -> Array:
    """(...) mean of values (..., C) over the classes that are counted; NaN without any."""
    return share(np.where(counted, values, 0.0).sum(axis=-1), counted.sum(axis=-1))


def share(part: Array, whole: Array, undefined: float = np.nan) -> Array:
    """part / whole, ``undefined`` where whole is 0."""
    part, whole = np.asarray(part, np.float64), np.asarray(whole, np.float64)
    shares: Array = np.full(np.broadcast_shapes(part.shape, whole.shape), undefined)
    return np.divide(part, whole, out=shares, where=whole != 0)
