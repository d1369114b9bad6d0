"""What difficulty is measured on: the boxes of known individuals, inside the picture, by frame; and what was left out."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from biocosmos.errors import BiocosmosError
from biocosmos.sequences.frames import Boxes, Frames, seen_before

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
BOX, FLAG, KIND, VISIBILITY = slice(2, 6), 6, 7, 8
"""Columns of MOTChallenge ground truth: box, whether to consider it (also its confidence), class, visibility."""
FROM_ONE = np.array([1.0, 1.0, 0.0, 0.0])
"""Its pixels are counted from 1."""


@dataclass(frozen=True)
class Prepared:
    """Boxes that take part, sorted by frame.

    name: of the sequence. number: (n,) int64 number of the frame. seconds: (n,) float64 of the frame. track: (n,) int64
    individual, 0 to k - 1. box: (n, 4) float64 x, y, width, height, 0-based, inside the picture. visibility: (n,) float64, nan
    unknown.
    rows: (n,) int64 rows of the boxes they were taken from. frames: how many the sequence has. step: the commonest difference
    between the numbers of neighbouring frames. left_out: reason -> boxes.
    """

    name: str
    number: Ints
    seconds: Floats
    track: Ints
    box: Floats
    visibility: Floats
    rows: Ints
    frames: int
    step: int = 1
    left_out: dict[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.number)

    @property
    def tracks(self) -> int:
        """How many individuals there are."""
        return int(self.track.max()) + 1 if len(self.track) else 0


def prepare(boxes: Boxes, *, classes: Collection[int | str] = (), release: bool = False, unannotated: bool = False) -> Prepared:
    """The boxes of ``boxes`` that take part, as the public code of MOTCOM chooses and cuts them.

    Where the ground truth of MOTChallenge is at hand (``boxes.raw``) boxes with flag 0 or of another class are left out. Then
    boxes wholly outside the picture, and what hangs over an edge is cut off: at the right and below a pixel more than needed
    (width = W - x - 1). Boxes without width or height, before or after, and boxes of nobody known are left out.

    classes: numbers of MOTChallenge classes, or labels; none: all. release: an individual that is twice in a frame is an error,
    as it is there; otherwise its first box counts. unannotated: no classes, all boxes wholly visible, as MOT15 is read there.

    Raises BiocosmosError for boxes without tracks, and for what ``release`` refuses.
    """
    if boxes.track is None:
        raise BiocosmosError(
            f"sequence '{boxes.name}' has boxes but no tracks: run biocosmos track on it first, or give ground truth"
        )
    frames, left_out = boxes.frames, dict[str, int]()
    number = np.asarray(frames.number, np.int64)[boxes.frame]
    keep = np.ones(len(boxes), bool)

    def drop(out: npt.ArrayLike, why: str) -> None:
        bad = np.asarray(out, bool)
        count = int((keep & bad).sum())
        if count:
            left_out[why] = left_out.get(why, 0) + count
        keep[bad] = False

    names: dict[object, int] = {}
    track = np.array([-1 if each is None else names.setdefault(each, len(names)) for each in boxes.track], np.int64)
    drop(track < 0, "of no known individual")
    again = np.zeros(len(boxes), bool)
    again[keep] = seen_before(number[keep], track[keep])
    if release and again.any():
        row = int(np.flatnonzero(again)[0])
        raise BiocosmosError(
            f"sequence '{boxes.name}' has the individual '{boxes.track[row]}' twice in frame {number[row]}: the public code "
            "refuses it; mend the file, or measure without --mode release"
        )
    if boxes.raw is not None:
        flag = boxes.raw[:, FLAG]
        # the public code cuts a confidence to a whole number; results of trackers have one there
        drop((np.trunc(flag) == 0) | ~(flag > 0) if release else flag == 0, "marked as not to be considered")
    if classes and not unannotated:
        drop(~_of_classes(boxes, classes), "of another class")
    box = np.array(boxes.box if boxes.raw is None else boxes.raw[:, BOX] - FROM_ONE, np.float64).reshape(-1, 4)
    drop(~np.isfinite(box).all(axis=1), "not finite")
    drop((box[:, 2] <= 0) | (box[:, 3] <= 0), "without width or height")
    width, height = frames.width or np.inf, frames.height or np.inf
    drop(_outside(box, width, height), "outside the picture")
    box = _cut(box, width, height)
    drop((box[:, 2] <= 0) | (box[:, 3] <= 0), "at the edge of the picture")
    drop(again, "of an individual that is in the frame already")
    rows = np.flatnonzero(keep)
    visibility = np.full(len(boxes), np.nan) if boxes.visibility is None else np.array(boxes.visibility, np.float64)
    if unannotated:
        visibility = np.ones(len(boxes))
    elif release and boxes.raw is not None:
        visibility = boxes.raw[:, VISIBILITY]
    steps, times = np.unique(np.diff(np.asarray(frames.number, np.int64)), return_counts=True)
    return Prepared(
        boxes.name,
        number[rows],
        _times(frames)[boxes.frame[rows]] if len(rows) else np.zeros(0),
        np.unique(track[rows], return_inverse=True)[1].astype(np.int64),
        box[rows],
        visibility[rows],
        rows,
        len(frames),
        int(steps[times.argmax()]) if len(steps) else 1,
        left_out,
    )


def _times(frames: Frames) -> Floats:
    """(f,) ascending seconds; where several frames are of one moment, as clocks without fractions say, by their numbers."""
    times = np.asarray(frames.times(), np.float64)
    if not len(times) or (np.diff(times) > 0).all():
        return times
    numbers = frames.number.astype(np.float64)
    span = (times[-1] - times[0]) / (numbers[-1] - numbers[0])
    return numbers * (span if span > 0 else 1.0)


def _of_classes(boxes: Boxes, classes: Collection[int | str]) -> npt.NDArray[np.bool_]:
    numbers = [int(each) for each in classes if str(each).lstrip("-").isdigit()]
    wanted = {str(each) for each in classes}
    found = np.zeros(len(boxes), bool)
    if boxes.raw is not None:
        found |= np.isin(np.trunc(boxes.raw[:, KIND]), numbers)
    if boxes.label is not None:
        found |= np.array([label is not None and str(label) in wanted for label in boxes.label], bool)
    return found


def _outside(box: Floats, width: float, height: float) -> npt.NDArray[np.bool_]:
    x, y, w, h = box.T
    found: npt.NDArray[np.bool_] = ((x < 0) & (x + w < 0)) | ((y < 0) & (y + h < 0)) | (x >= width) | (y >= height)
    return found


def _cut(box: Floats, width: float, height: float) -> Floats:
    """What of each box is inside the picture."""
    x, y, w, h = box.T.copy()
    for start, size, edge in ((x, w, width), (y, h, height)):
        before = start < 0
        size[before] += start[before]
        start[before] = 0.0
        beyond = start + size >= edge
        size[beyond] = edge - start[beyond] - 1
    return np.stack([x, y, w, h], axis=1)
