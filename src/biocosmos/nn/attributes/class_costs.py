"""What an error about a rare or an important class costs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from biocosmos.errors import BiocosmosError
from biocosmos.nn.imbalance import BETA

ClassWeightKind = Literal["none", "positive", "inverse", "effective", "importance", "positive-importance"]
CLASS_WEIGHTS = {
    "none": "all alike",
    "positive": "absent / present specimens, on what is present",
    "inverse": "1 / specimens",
    "effective": "(1 - b) / (1 - b^specimens)",
    "importance": "given importance (CIW)",
    "positive-importance": "given importance, on what is present (PosCIW)",
}


@dataclass(frozen=True)
class ClassWeights:
    """Factors of the loss of a task's classes. every: (C,) of all of a class's loss, None is 1.

    positive: (C,) of the part of specimens that have the class, where several classes may be true; None is 1.
    """

    every: np.ndarray | None = None
    positive: np.ndarray | None = None


def class_weights(
    values: np.ndarray,
    kind: ClassWeightKind,
    *,
    several: bool,
    importance: np.ndarray | None = None,
    beta: float = BETA,
) -> ClassWeights:
    """The published weights of one task, divided by their mean, so that their sum is the number of classes.

    values: (n, C) of the training specimens, 1 true, 0 false, -1 not known (does not count). kind: of :data:`CLASS_WEIGHTS`; the
    positive kinds act on what is present where several classes may be true, else as the others. "effective": Cui et al. 2019
    (arXiv:1901.05555). importance: (C,) numbers of 0 or more, for the importance kinds. A class without specimens has the
    weight 0 where specimens are counted.

    Raises BiocosmosError for an unknown kind, beta outside 0..1 or an importance that does not fit.
    """
    if kind == "none":
        return ClassWeights()
    if kind not in CLASS_WEIGHTS:
        raise BiocosmosError(f"there are no class weights '{kind}': choose {', '.join(CLASS_WEIGHTS)}")
    raw = _given(importance, values.shape[1], kind) if kind.endswith("importance") else _counted(values, kind, beta)
    weights = raw * (len(raw) / raw.sum()) if raw.sum() > 0 else np.ones(len(raw))
    return ClassWeights(positive=weights) if several and kind.startswith("positive") else ClassWeights(every=weights)


def _counted(values: np.ndarray, kind: str, beta: float) -> np.ndarray:
    if not 0 <= beta < 1:
        raise BiocosmosError(f"class weights: beta {beta} must be at least 0 and below 1")
    present = (values == 1).sum(0).astype(np.float64)
    has = present > 0
    divisor = np.where(has, present, 1.0)
    if kind == "positive":
        return np.where(has, (values == 0).sum(0) / divisor, 0.0)
    if kind == "inverse":
        return np.where(has, 1 / divisor, 0.0)
    return np.where(has, (1 - beta) / (1 - beta**divisor), 0.0)


def _given(importance: np.ndarray | None, classes: int, kind: str) -> np.ndarray:
    if importance is None:
        raise BiocosmosError(f"class weights '{kind}' need an importance for each of the {classes} classes")
    found = np.asarray(importance, np.float64)
    if found.shape != (classes,) or not np.isfinite(found).all() or (found < 0).any() or not found.any():
        raise BiocosmosError(f"class weights '{kind}': the importance must be {classes} numbers of 0 or more, not all 0")
    return found
