"""What a tracker is shown of one frame, checked, and in an order that does not depend on the order in the file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from biocosmos.errors import BiocosmosError

Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]


@dataclass(frozen=True)
class Sighting:
    """The boxes of one frame, in the order of :meth:`of`.

    seconds: since the first frame; gap: since the frame before, 0 for the first; box (m, 4) float64 x, y, width, height;
    vectors (m, d) float64 of length 1, or 0 where there is none,
    or None; confidence (m,) float64, 1 where none is told; labels (m,) object str or None;
    diagonal: of the picture, pixels.
    """

    seconds: float
    gap: float
    box: Float64
    vectors: Float64 | None
    confidence: Float64
    labels: NDArray[np.object_]
    diagonal: float

    def __len__(self) -> int:
        return len(self.box)

    @property
    def centre(self) -> Float64:
        """(m, 2) float64, pixels."""
        return self.box[:, :2] + self.box[:, 2:] / 2

    @property
    def area(self) -> Float64:
        """(m,) float64, square pixels."""
        return np.asarray(self.box[:, 2] * self.box[:, 3])

    @property
    def length(self) -> Float64:
        """(m,) float64: the side of a square of the same area, pixels: the unit of distance."""
        return np.sqrt(self.area)

    def rows(self, chosen: NDArray[Any]) -> Sighting:
        """Some boxes of the frame."""
        vectors = None if self.vectors is None else self.vectors[chosen]
        parts = (self.box[chosen], vectors, self.confidence[chosen], self.labels[chosen])
        return Sighting(self.seconds, self.gap, *parts, self.diagonal)


def _matrix(vectors: Float64, count: int) -> Float64 | None:
    if not count:
        return None
    if vectors.ndim != 2 or len(vectors) != count:
        raise BiocosmosError(f"{count} boxes need vectors ({count}, d), not {vectors.shape}")
    return vectors


def sighting(
    seconds: float,
    gap: float,
    boxes: NDArray[Any],
    vectors: NDArray[Any] | None,
    confidence: NDArray[Any] | None,
    labels: Sequence[str | None] | NDArray[Any] | None,
    diagonal: float,
) -> tuple[Sighting, Int64]:
    """A frame as trackers see it, and where each of its boxes was in the order given: (m,) int64.

    Boxes are sorted by place, size, confidence and label, so that whatever the order in the file, numbers are the same.

    A row of nan is a box without a vector.

    Raises BiocosmosError: shapes that do not fit; a box that is not finite; a width or height that is not above 0.
    """
    box = np.asarray(boxes, np.float64).reshape(-1, 4)
    count = len(box)
    sure = np.ones(count) if confidence is None else np.asarray(confidence, np.float64)
    named = np.array([None] * count if labels is None else list(labels), object)
    looks = None if vectors is None else _matrix(np.asarray(vectors, np.float64), count)
    for what, part in (("confidences", sure), ("labels", named)):
        if part.shape != (count,):
            raise BiocosmosError(f"frame at {seconds:g} s: {count} boxes cannot have {len(part)} {what}: give one for each box")
    if not np.isfinite(box).all():
        raise BiocosmosError(f"frame at {seconds:g} s: a box is not finite: leave it out")
    if count and (box[:, 2:] <= 0).any():
        row = int(np.flatnonzero((box[:, 2:] <= 0).any(axis=1))[0])
        raise BiocosmosError(f"frame at {seconds:g} s: box {row} has no size ({box[row, 2]:g} x {box[row, 3]:g}): leave it out")
    sure = np.where(np.isnan(sure), 1.0, sure)
    words = np.array(["" if label is None else str(label) for label in named], str)
    keys = [words, sure, *box.T[::-1]]
    if looks is not None and looks.shape[1]:
        looks = np.where(np.isfinite(looks).all(axis=1, keepdims=True), looks, 0.0)
        length = np.linalg.norm(looks, axis=1, keepdims=True)
        looks = looks / np.where(length > 0, length, 1)
        keys.insert(0, looks[:, 0])
    order = np.lexsort(keys)
    found = Sighting(seconds, gap, box[order], None if looks is None else looks[order], sure[order], named[order], diagonal)
    return found, order
