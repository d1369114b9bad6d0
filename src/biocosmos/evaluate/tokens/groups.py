"""Homogeneity, completeness and V-measure of the groups that two reductions merge patches into, for all images at once.

The scores are Rosenberg and Hirschberg's (2007, https://aclanthology.org/D07-1043), image by image, as scikit-learn computes
them: the first partition is the reference. Labels mean nothing but who is together; patches that were dropped (-1) are one group.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from biocosmos.errors import BiocosmosError

Array = npt.NDArray[Any]


class Agreement(NamedTuple):
    """(n,) float64 each, in [0, 1]."""

    homogeneity: Array
    completeness: Array
    v_measure: Array


def compose(stages: list[Array]) -> list[Array]:
    """Of every stage, in which of its tokens each patch of the image is.

    stages: (n, tokens before) int64 -> token after, -1 dropped, one array a stage; those before the first are the patches.
    Returns (n, patches) int64 for each stage.
    """
    found: list[Array] = []
    for step in stages:
        step = np.asarray(step, np.int64)
        if not found:
            found.append(step)
            continue
        before = found[-1]
        if before.max(initial=-1) >= step.shape[1]:
            raise BiocosmosError(f"a stage of {step.shape[1]} tokens cannot follow one that leaves {before.max() + 1}")
        found.append(np.where(before < 0, -1, np.take_along_axis(step, np.maximum(before, 0), 1)))
    return found


def agreement(first: Array, second: Array) -> Agreement:
    """How far two partitions of the same patches agree; first, second: (n, patches) int64 labels.

    A partition into one group is homogeneous with any: 1, as scikit-learn says.
    """
    first, second = np.asarray(first, np.int64), np.asarray(second, np.int64)
    if first.shape != second.shape or first.ndim != 2:
        raise BiocosmosError(f"groups of the same images and patches are compared, not {first.shape} and {second.shape}")
    if not first.size:
        return Agreement(*(np.zeros(len(first)) for _ in range(3)))
    first, second = first - first.min(), second - second.min()
    one, two = entropy(first), entropy(second)
    shared = np.maximum(one + two - entropy(first * (second.max() + 1) + second), 0.0)  # mutual information
    homogeneity, completeness = _share(shared, one), _share(shared, two)
    total = homogeneity + completeness
    return Agreement(
        homogeneity, completeness, np.where(total > 0, 2 * homogeneity * completeness / np.where(total, total, 1), 0.0)
    )


def entropy(labels: Array) -> Array:
    """(n,) float64 entropy in nats of the labels of each row (n, m) of whole numbers."""
    rows, width = labels.shape
    ordered = np.sort(labels, axis=1)
    begins = np.ones(ordered.shape, bool)
    begins[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    starts = np.flatnonzero(begins)
    counts = np.diff(starts, append=rows * width)
    found: Array = np.log(width) - np.bincount(starts // width, counts * np.log(counts), rows) / width
    return found


def _share(shared: Array, whole: Array) -> Array:
    """Mutual information over an entropy; 1 where there is only one group."""
    one_group = whole < 1e-12
    return np.where(one_group, 1.0, np.minimum(shared / np.where(one_group, 1.0, whole), 1.0))
