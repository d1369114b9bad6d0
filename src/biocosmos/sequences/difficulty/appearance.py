"""VCOM: how easily individuals are taken for one another by what they look like."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from scipy.spatial.distance import cdist

from biocosmos.sequences.difficulty.coverage import Floats, Ints


def appearance(
    frame: Ints, track: Ints, features: npt.NDArray[np.floating], ratios: Floats, *, step: int = 1, release: bool = False
) -> tuple[float, int]:
    """VCOM and the number of pairs of frames it rests on.

    Of each individual that is in a frame and in the next, the individuals of the next frame whose features lie within
    d_min (1 + r) of its own are accepted, d_min the distance of the nearest. FDR = 1 - TP / (TP + FP), TP = 1 where it is among
    them itself; mean over individuals, pairs of frames, ratios r (MOTCOM, ECCV 2022).

    frame, track: (n,) int64. features: (n, dim). ratios: (r,) ascending. step: numbers of neighbouring frames differ by it.
    release: as the public code does, pairs end at the first frame without a next one. Returns (nan, 0) without a pair.
    """
    order = np.argsort(frame, kind="stable")
    frame, track, features = frame[order], track[order], features[order]
    found = []
    for here, there in _pairs(frame, 1 if release else step, release):
        rates = _false_rates(track[here], track[there], features[here], features[there], ratios)
        if rates is not None:
            found.append(rates)
    if not found:
        return float("nan"), 0
    return float(np.mean(np.mean(found, axis=0))), len(found)


def _pairs(frame: Ints, step: int, release: bool) -> Iterator[tuple[slice, slice]]:
    numbers, first = np.unique(frame, return_index=True)
    ends = np.append(first[1:], len(frame))
    for i in range(len(numbers) - 1):
        if numbers[i + 1] - numbers[i] == step:
            yield slice(first[i], ends[i]), slice(first[i + 1], ends[i + 1])
        elif release:
            return


def _false_rates(
    here: Ints, there: Ints, features: npt.NDArray[np.floating], following: npt.NDArray[np.floating], ratios: Floats
) -> Floats | None:
    """(r,) mean false discovery rate of the individuals of a frame that are in the next; None where there is none."""
    asked = np.isin(here, there)
    if not asked.any():
        return None
    here = here[asked]
    distances = cdist(features[asked], following)
    nearest = distances.min(axis=1)
    limits = nearest[:, None] + nearest[:, None] * ratios
    i, j = np.nonzero(distances <= limits[:, -1:])
    # the first ratio that accepts it
    at = (limits[i] < distances[i, j][:, None]).sum(axis=1)
    accepted, own = np.zeros((2, len(here), len(ratios)))
    np.add.at(accepted, (i, at), 1)
    same = here[i] == there[j]
    np.add.at(own, (i[same], at[same]), 1)
    rates: Floats = (1 - own.cumsum(axis=1) / accepted.cumsum(axis=1)).mean(axis=0)
    return rates
