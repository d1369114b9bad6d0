"""OCOM: how much of the individuals is hidden."""

from __future__ import annotations

import numpy as np

from biocosmos.sequences.difficulty.coverage import Floats, Ints, Order, covered_shares


def annotated_occlusion(track: Ints, visibility: Floats) -> float:
    """OCOM = mean over tracks of the mean of 1 - visibility (MOTCOM, ECCV 2022).

    track: (n,) int64. visibility: (n,) float64 from 0 to 1; nan, unknown, is left out. Returns 0 without tracks, nan where no
    visibility is known.
    """
    return _mean_of_tracks(track, 1.0 - visibility)


def covered_occlusion(frame: Ints, track: Ints, box: Floats, *, order: Order | None = None, itself: bool = False) -> float:
    """OCOM from boxes alone: of each box the share that other boxes of its frame cover, see :func:`covered_shares`.

    Boxes that are alone in their frame are left out: mean over the other boxes of a track, then over the tracks that have any.
    frame: (n,) int64 ascending. track: (n,) int64. box: (n, 4) float64. Returns 0 where no two boxes share a frame.
    """
    found = _mean_of_tracks(track, covered_shares(frame, box, order=order, itself=itself))
    return 0.0 if np.isnan(found) else found


def _mean_of_tracks(track: Ints, values: Floats) -> float:
    if not len(track):
        return 0.0
    known = ~np.isnan(values)
    if not known.any():
        return float("nan")
    count = np.bincount(track[known])
    total = np.bincount(track[known], values[known])
    there = count > 0
    return float(np.mean(total[there] / count[there]))
