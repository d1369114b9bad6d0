"""Scores as the BIOSCAN papers state them: of one answer (scikit-learn's averages), of k neighbours, of seen and unseen together.

true: (n,) int64 codes of taxa, -1 where there is none: such rows are left out. Nothing to score is NaN.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from biocosmos.evaluate.numbers.bootstrap import EMPTY, Bootstrap, Interval

Array = npt.NDArray[Any]
MEASURES = ("accuracy", "balanced_accuracy", "f1_micro", "f1_macro", "f1_weighted")
NAN = float("nan")


def answer_scores(true: Array, said: Array) -> dict[str, float]:
    """:data:`MEASURES` of one answer each; said: (n,) codes, -1 for none, which is wrong.

    accuracy: right / n. balanced_accuracy: mean recall over the true taxa. F1 of a taxon: 2 right / (true + said); f1_macro is
    its mean over taxa that are true or said somewhere, f1_weighted that of the true taxa by their specimens, f1_micro of all
    pairs (the accuracy, where everything has an answer). As scikit-learn's accuracy_score, balanced_accuracy_score and
    f1_score, which the papers use.
    """
    kept = true >= 0
    true, said = true[kept], said[kept]
    if not len(true):
        return dict.fromkeys(MEASURES, NAN)
    taxa = int(max(true.max(), said.max())) + 1
    right = np.bincount(true[true == said], minlength=taxa).astype(np.float64)
    of_true = np.bincount(true, minlength=taxa)
    of_said = np.bincount(said[said >= 0], minlength=taxa)
    f1 = 2 * right / np.maximum(of_true + of_said, 1)
    there = of_true > 0
    return {
        "accuracy": float(right.sum() / len(true)),
        "balanced_accuracy": float((right[there] / of_true[there]).mean()),
        "f1_micro": float(2 * right.sum() / (of_true.sum() + of_said.sum())),
        "f1_macro": float(f1[there | (of_said > 0)].mean()),
        "f1_weighted": float((f1 * of_true).sum() / of_true.sum()),
    }


def hits_within(true: Array, found: Array, k: int) -> Array:
    """(n,) bool: the true taxon is among those of the k nearest; found: (n, m) codes, best first, -1 for none."""
    hit: Array = ((found[:, :k] == true[:, None]) & (true >= 0)[:, None]).any(axis=1)
    return hit


def share_within(true: Array, found: Array, k: int, average: str, boot: Bootstrap) -> Interval:
    """The share of :func:`hits_within` with its interval, "micro" over rows or "macro" over true taxa."""
    kept = true >= 0
    if not kept.any():
        return EMPTY
    taxa = int(true.max()) + 1
    hits = np.bincount(true[hits_within(true, found, k)], minlength=taxa)
    shared: Interval = getattr(boot, average)(hits, np.bincount(true[kept], minlength=taxa))
    return shared


def harmonic_mean(seen: float, unseen: float) -> float:
    """2 / (1 / seen + 1 / unseen); 0 where either is 0, NaN where either is not known."""
    if np.isnan(seen) or np.isnan(unseen):
        return NAN
    return 0.0 if not seen or not unseen else float(2 / (1 / seen + 1 / unseen))
