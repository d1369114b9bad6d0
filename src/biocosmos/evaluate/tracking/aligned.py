"""True and found boxes of one sequence, frame beside frame, as the metrics of trackeval take them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from biocosmos.errors import BiocosmosError
from biocosmos.images.boxes import overlap
from biocosmos.sequences.frames import Boxes, seen_before

Array = npt.NDArray[Any]


def aligned(truth: Boxes, found: Boxes, label: str | None = None) -> dict[str, Any]:
    """What ``eval_sequence`` of a metric takes: for each frame of either, by its number, tracks as 0, 1, ... and the overlaps.

    label: only boxes of it, on both sides. Boxes without a track are not counted. Overlap: intersection over union of the boxes
    as they stand. Raises BiocosmosError where a track has two boxes in one frame.
    """
    numbers = np.union1d(truth.frames.number, found.frames.number)
    sides = []
    for boxes, who in ((truth, "the truth"), (found, "the tracks")):
        rows = rows_of(boxes, label)
        frame = np.searchsorted(numbers, boxes.frames.number[boxes.frame[rows]])
        named = np.array([] if boxes.track is None else boxes.track[rows].astype(str))
        names, track = np.unique(named, return_inverse=True)
        _refuse_twice(boxes, rows, frame, track, who)
        order = np.argsort(frame, kind="stable")
        cuts = np.searchsorted(frame[order], np.arange(1, len(numbers)))
        sides.append((len(names), np.split(track[order].astype(np.int64), cuts), np.split(boxes.box[rows][order], cuts)))
    (true_ids, true_tracks, true_boxes), (found_ids, found_tracks, found_boxes) = sides
    return {
        "num_timesteps": len(numbers),
        "num_gt_ids": true_ids,
        "num_tracker_ids": found_ids,
        "num_gt_dets": sum(map(len, true_tracks)),
        "num_tracker_dets": sum(map(len, found_tracks)),
        "gt_ids": true_tracks,
        "tracker_ids": found_tracks,
        "similarity_scores": [overlap(one, other) for one, other in zip(true_boxes, found_boxes)],
    }


def rows_of(boxes: Boxes, label: str | None = None) -> Array:
    """(m,) int64 rows that have a track, and the label where one is asked for."""
    kept = np.zeros(len(boxes), bool) if boxes.track is None else np.array([track is not None for track in boxes.track], bool)
    if label is not None:
        kept &= np.zeros(len(boxes), bool) if boxes.label is None else np.array([own == label for own in boxes.label], bool)
    return np.flatnonzero(kept)


def _refuse_twice(boxes: Boxes, rows: Array, frame: Array, track: Array, who: str) -> None:
    twice = rows[seen_before(frame, track)]
    if boxes.track is not None and len(twice):
        number = int(boxes.frames.number[boxes.frame[twice[0]]])
        where = f"sequence {boxes.name!r}, frame {number}"
        raise BiocosmosError(f"{where}: {who} have two boxes of the individual {str(boxes.track[twice[0]])!r}; leave one out")
