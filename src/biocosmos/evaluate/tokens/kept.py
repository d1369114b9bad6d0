"""Intersection over union of the patches that two reductions keep, image by image."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from biocosmos.errors import BiocosmosError

Array = npt.NDArray[Any]
FUSED = -1
"""In a list of kept patches: a token that is no patch, as EViT's fused one. It is no member of the set."""


class Moments(NamedTuple):
    """Mean and standard deviation (over n, not n - 1) of a figure over images; NaN without any."""

    mean: float
    std: float
    images: int


def moments(values: Array) -> Moments:
    """values: (n,) float, NaN left out."""
    values = np.asarray(values, np.float64)
    values = values[np.isfinite(values)]
    if not len(values):
        return Moments(float("nan"), float("nan"), 0)
    return Moments(float(values.mean()), float(values.std()), len(values))


def kept_masks(kept: Array, patches: int) -> Array:
    """(n, patches) bool from lists (n, k) int64 of kept patches, :data:`FUSED` for none; twice the same counts once.

    Raises BiocosmosError for a patch that is not there.
    """
    kept = np.asarray(kept, np.int64)
    if kept.ndim != 2 or (kept >= patches).any() or (kept < FUSED).any():
        raise BiocosmosError(f"kept patches must be (images, kept) numbers from 0 to {patches - 1}, or {FUSED}")
    masks = np.zeros((len(kept), patches + 1), bool)  # the last column takes what is no patch
    masks[np.arange(len(kept))[:, None], kept] = True
    return masks[:, :patches]


def iou(first: Array, second: Array) -> Array:
    """(n,) float64 |A and B| / |A or B| of two (n, patches) bool masks; 0 where nothing is shared, both empty too."""
    first, second = np.asarray(first, bool), np.asarray(second, bool)
    if first.shape != second.shape or first.ndim != 2:
        raise BiocosmosError(f"kept sets of the same images and patches are compared, not {first.shape} and {second.shape}")
    shared, either = (first & second).sum(1), (first | second).sum(1)
    return np.asarray(shared / np.maximum(either, 1), np.float64)


def chance(first: Array, second: Array) -> Array:
    """(n,) float64 about the IoU that sets of these sizes have by chance: m = |A||B| / patches shared of |A| + |B| - m.

    A high keep rate alone makes sets overlap, so that an IoU says little without it.
    """
    one, two, patches = first.sum(1), second.sum(1), first.shape[1]
    shared = one * two / patches
    return np.asarray(shared / np.maximum(one + two - shared, 1e-12), np.float64)
