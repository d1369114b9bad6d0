"""What a sequence of pictures is: its frames in order of time, and the boxes in them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np


@dataclass(frozen=True)
class Frames:
    """The frames of one sequence in order of time, those without boxes too.

    number: (f,) int64, ascending, as the file counts them; a missing frame is a gap. seconds: (f,) float64 since the first frame,
    nan where no time is known. files: (f,) the image of each. width, height: pixels of the upright picture, 0 where unknown.
    frame_rate: frames a second, None where unknown. start: the moment that ``seconds`` count from, None where unknown.
    """

    number: np.ndarray
    seconds: np.ndarray
    files: tuple[str | None, ...]
    width: int = 0
    height: int = 0
    frame_rate: float | None = None
    start: datetime | None = None

    def __post_init__(self) -> None:
        if not len(self.number) == len(self.seconds) == len(self.files):
            raise ValueError("number, seconds and files of frames differ in length")
        if np.any(np.diff(self.number) <= 0):
            raise ValueError("numbers of frames do not ascend")

    def __len__(self) -> int:
        return len(self.number)

    def moment(self, place: int) -> datetime | None:
        """When a frame was taken, by its place; None where that is not known."""
        second = float(self.seconds[place])
        return None if self.start is None or not np.isfinite(second) else self.start + timedelta(seconds=second)

    def times(self) -> np.ndarray:
        """(f,) float64 ascending seconds, without nan: between and beyond known times by the numbers of the frames.

        Where no time is known a frame is 1 / frame_rate long, and one second where that is unknown too.
        """
        known = np.isfinite(self.seconds)
        if known.all():
            return self.seconds.astype(np.float64)
        numbers = self.number.astype(np.float64)
        step = 1.0 / self.frame_rate if self.frame_rate else 1.0
        if not known.any():
            return (numbers - numbers[:1]) * step
        at, seconds = numbers[known], self.seconds[known]
        if not self.frame_rate and len(at) > 1:
            step = (seconds[-1] - seconds[0]) / (at[-1] - at[0])
        before, after = np.minimum(numbers - at[0], 0.0) * step, np.maximum(numbers - at[-1], 0.0) * step
        return np.where(known, self.seconds, np.interp(numbers, at, seconds) + before + after)


@dataclass(frozen=True)
class Boxes:
    """All boxes of one sequence, by frame, in the order of their file within a frame.

    name: of the sequence. frame: (n,) int64 place in ``frames`` (not the number), ascending. box: (n, 4) float64 x, y, width,
    height in pixels of the upright picture, 0-based. track: (n,) object, the individual of each, text, unique in its sequence;
    None: detections; an element None: an individual nobody knows. confidence: (n,) float64, nan unknown. label: (n,) object, text
    or None. visibility: (n,) float64 from 0 to 1, nan unknown. ids: (n,) object, specimens where they come from a collection.
    raw: (n, 9) float64, the numbers of MOTChallenge as they stand in the file, where they were asked for.
    """

    name: str
    frames: Frames
    frame: np.ndarray
    box: np.ndarray
    track: np.ndarray | None = None
    confidence: np.ndarray | None = None
    label: np.ndarray | None = None
    visibility: np.ndarray | None = None
    ids: np.ndarray | None = None
    raw: np.ndarray | None = None

    def __post_init__(self) -> None:
        n = len(self.frame)
        if self.box.shape != (n, 4):
            raise ValueError(f"{n} boxes need an array of ({n}, 4), not {self.box.shape}")
        for column in (self.track, self.confidence, self.label, self.visibility, self.ids, self.raw):
            if column is not None and len(column) != n:
                raise ValueError(f"a column of {len(column)} for {n} boxes")
        if n and (np.any(np.diff(self.frame) < 0) or self.frame[0] < 0 or self.frame[-1] >= len(self.frames)):
            raise ValueError("boxes are not sorted by frame, or of a frame that is not there")

    def __len__(self) -> int:
        return len(self.frame)

    def at(self, position: int) -> slice:
        """The rows of one frame, by its place in ``frames``."""
        first, end = np.searchsorted(self.frame, [position, position + 1])
        return slice(int(first), int(end))

    def tracks(self) -> dict[str, np.ndarray]:
        """Individual -> its rows, int64, ascending in time; the one seen first stands first. Empty for detections."""
        rows: dict[str, list[int]] = {}
        for row, track in enumerate([] if self.track is None else self.track):
            if track is not None:
                rows.setdefault(track, []).append(row)
        return {track: np.array(own, np.int64) for track, own in rows.items()}


def seen_before(frame: np.ndarray, track: np.ndarray) -> np.ndarray:
    """(n,) bool, which boxes are of an individual that has an earlier box in the same frame. frame, track: (n,) int64."""
    order = np.lexsort((track, frame))
    same = (np.diff(frame[order]) == 0) & (np.diff(track[order]) == 0)
    found = np.zeros(len(frame), bool)
    found[order[1:][same]] = True
    return found


__all__ = ["Boxes", "Frames", "seen_before"]
