"""Track a whole sequence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from biocosmos.errors import BiocosmosError
from biocosmos.sequences.frames import Boxes
from biocosmos.sequences.tracking.settings import TrackerSettings
from biocosmos.sequences.tracking.tracker import Tracker


def _quietly(frames: int) -> None:
    pass


def track(
    boxes: Boxes,
    vectors: NDArray[Any] | None = None,
    settings: TrackerSettings | None = None,
    *,
    advance: Callable[[int], None] = _quietly,
) -> Boxes:
    """The same boxes with ``track`` set: "1", "2", ... in the order of arrival, None for a box that is left out.

    vectors: (n, d) of the crops by any encoder, a row of nan where there is none: then it is tracked without; advance: is told of
    finished frames. Tracks that the boxes have are not looked at. Boxes without a size or that are not finite are left out.

    Raises BiocosmosError where vectors and boxes differ in number.
    """
    if vectors is not None and len(vectors) != len(boxes):
        raise BiocosmosError(f"sequence {boxes.name!r}: {len(boxes):,} boxes cannot have {len(vectors):,} vectors")
    tracker = Tracker(settings, width=boxes.frames.width, height=boxes.frames.height)
    times = strictly_ascending(boxes.frames.times())
    numbers = np.full(len(boxes), -1, np.int64)
    fine = np.isfinite(boxes.box).all(axis=1) & (boxes.box[:, 2:] > 0).all(axis=1)
    for position, seconds in enumerate(times):
        rows = np.arange(len(boxes))[boxes.at(position)]
        rows = rows[fine[rows]]
        numbers[rows] = tracker.step(
            float(seconds),
            boxes.box[rows],
            None if vectors is None else vectors[rows],
            None if boxes.confidence is None else boxes.confidence[rows],
            None if boxes.label is None else boxes.label[rows],
        )
        advance(1)
    return replace(boxes, track=_named(numbers))


def strictly_ascending(times: NDArray[np.float64]) -> NDArray[np.float64]:
    """Seconds of frames (f,), of which several may have the same, as clocks that count whole seconds give burst pictures: those
    are spread evenly over the time to the next, a second at most."""
    distinct, first, count = np.unique(times, return_index=True, return_counts=True)
    if len(distinct) == len(times):
        return times
    room = np.minimum(np.append(np.diff(distinct), 1.0), 1.0)
    which = np.searchsorted(distinct, times)
    return np.asarray(distinct[which] + (np.arange(len(times)) - first[which]) * room[which] / count[which])


def _named(numbers: NDArray[np.int64]) -> NDArray[np.object_]:
    """As text, counted from 1 in the order in which they first come."""
    names: dict[int, str] = {}
    out = np.full(len(numbers), None, object)
    for row, number in enumerate(numbers.tolist()):
        if number >= 0:
            out[row] = names.setdefault(number, str(len(names) + 1))
    return out
