"""MCOM: how far individuals stray from moving on as they did."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from biocosmos.sequences.difficulty.coverage import Floats, Ints


def displacement(
    track: Ints, number: Ints, box: Floats, *, seconds: Floats | None = None, interval: float | None = None
) -> float:
    """Mean of e / sqrt(width * height) over all boxes of all tracks.

    e is how far a centre lies from where the velocity of the two boxes before would have brought it,
    e_t = || p_t - (p_(t-1) + (p_(t-1) - p_(t-2)) dt_t / dt_(t-1)) ||; before its second box an individual stands still, and for
    its first e is 0. The public code takes every dt for one frame, so that a missing frame doubles what was moved.

    track: (n,) int64. number: (n,) int64 frame. box: (n, 4) float64. seconds: (n,) float64 times; without it dt is counted in
    frames. interval: e is what would be seen with frames that many seconds apart, e * interval / dt_t, so that sequences with
    different rates can be compared. Returns nan without boxes.
    """
    if not len(track):
        return float("nan")
    order = _in_time(track, number)
    track, box = track[order], box[order]
    time = (number if seconds is None else seconds)[order].astype(np.float64)
    first = np.r_[True, np.diff(track) != 0]
    dt = np.where(first, 1.0, np.diff(time, prepend=time[0]))
    across, down = _moved(box, first)
    error = _strays(across / dt, down / dt, first) * (dt if interval is None else np.where(first, 0.0, interval))
    return float(np.mean(error / np.sqrt(box[:, 2] * box[:, 3])))


def release_displacement(track: Ints, number: Ints, box: Floats) -> float:
    """As :func:`displacement`, as the public code counts it: each box is taken for the one before it, the last of a track twice,
    and the next box for that of the next frame. Arguments and errors are the same."""
    if not len(track):
        return float("nan")
    order = _in_time(track, number)
    track = track[order]
    last = np.r_[np.diff(track) != 0, True]
    box = box[order][np.where(last, np.arange(len(track)), np.arange(len(track)) + 1)]
    first = np.r_[True, last[:-1]]
    strays = _strays(*_moved(box, first), first)
    return float(np.mean(strays / np.sqrt(box[:, 2] * box[:, 3])))


def motion(strayed: float, betas: Floats) -> float:
    """MCOM = mean over beta of 1 / (1 + beta / D), D the mean of :func:`displacement`; 0 where D is 0, nan where it is nan."""
    return 0.0 if strayed == 0 else float(np.mean(1.0 / (1.0 + betas / strayed)))


def _in_time(track: Ints, number: Ints) -> Ints:
    """Rows of one individual after the other, each in time."""
    if (number[1:] >= number[:-1]).all():
        few = len(track) and track.min() >= 0 and track.max() <= np.iinfo(np.uint16).max
        return np.argsort(track.astype(np.uint16) if few else track, kind="stable")  # short numbers are sorted by their digits
    return np.lexsort((number, track))


def _moved(box: Floats, first: npt.NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """What the centre of each box moved across and down since the one before of its individual; 0 for its first."""
    across, down = box[:, 0] + box[:, 2] / 2, box[:, 1] + box[:, 3] / 2
    return np.where(first, 0.0, np.diff(across, prepend=0.0)), np.where(first, 0.0, np.diff(down, prepend=0.0))


def _strays(across: Floats, down: Floats, first: npt.NDArray[np.bool_]) -> Floats:
    """How far two velocities that follow each other differ; the one before the first is 0."""
    found: Floats = np.hypot(across - np.where(first, 0.0, np.roll(across, 1)), down - np.where(first, 0.0, np.roll(down, 1)))
    return found
