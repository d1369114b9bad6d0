"""HOTA, IDF1, MOTA and the error of the count of one sequence, and of all together.

HOTA: Luiten et al., HOTA: A Higher Order Metric for Evaluating Multi-Object Tracking, IJCV 2021. IDF1: Ristani et al., ECCV
Workshops 2016. MOTA: Bernardin and Stiefelhagen, CLEAR MOT, 2008. Computed by trackeval, the reference implementation of all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from biocosmos.errors import BiocosmosError, first_line
from biocosmos.evaluate.tracking.aligned import aligned
from biocosmos.sequences.frames import Boxes

INSTALL = "tracks are scored by trackeval, which cannot be used ({}): pip install 'biocosmos[sequences]'"
SHARES = {
    "HOTA": ("HOTA", "HOTA"),
    "DetA": ("HOTA", "DetA"),
    "AssA": ("HOTA", "AssA"),
    "LocA": ("HOTA", "LocA"),
    "IDF1": ("Identity", "IDF1"),
    "IDP": ("Identity", "IDP"),
    "IDR": ("Identity", "IDR"),
    "MOTA": ("CLEAR", "MOTA"),
    "MOTP": ("CLEAR", "MOTP"),
    "recall": ("CLEAR", "CLR_Re"),
    "precision": ("CLEAR", "CLR_Pr"),
}
"""Column -> metric and field of trackeval; of HOTA the mean over 19 thresholds of overlap, of the others at 0.5."""
COUNTS = {
    "switches": ("CLEAR", "IDSW"),
    "fragments": ("CLEAR", "Frag"),
    "mostly_tracked": ("CLEAR", "MT"),
    "mostly_lost": ("CLEAR", "ML"),
    "missed": ("CLEAR", "CLR_FN"),
    "false_boxes": ("CLEAR", "CLR_FP"),
}
CURVE = ("HOTA", "DetA", "AssA", "LocA")
THRESHOLDS = tuple(round(0.05 * step, 2) for step in range(1, 20))
"""Overlaps that a match needs, over which HOTA is the mean."""


@dataclass(frozen=True)
class TrackScores:
    """What one sequence, or several, came to.

    shares: by :data:`SHARES`, in [0, 1] but for MOTA, which may be below. counts: by :data:`COUNTS`. true, found: individuals;
    off: how many the count is off, summed over sequences. boxes, found_boxes, frames: that took part. curve: (19,) of each of
    :data:`CURVE`. results: what trackeval gave, by metric, from which several are put together.
    """

    shares: dict[str, float]
    counts: dict[str, int]
    true: int
    found: int
    off: int
    boxes: int
    found_boxes: int
    frames: int
    curve: dict[str, np.ndarray]
    results: dict[str, Any]

    @property
    def count_error(self) -> float:
        """How much the count of individuals is off, over the true number; nan where there is none."""
        return self.off / self.true if self.true else float("nan")


def judge(truth: Boxes, found: Boxes, label: str | None = None) -> TrackScores:
    """Scores of one sequence; of boxes of one label only where it is given. Frames are compared by their numbers.

    Raises BiocosmosError without trackeval, and where a track has two boxes in one frame.
    """
    metrics, data = _metrics(), aligned(truth, found, label)
    results = {name: metric.eval_sequence(data) for name, metric in metrics.items()}
    true, own = int(data["num_gt_ids"]), int(data["num_tracker_ids"])
    sizes = (int(data["num_gt_dets"]), int(data["num_tracker_dets"]), int(data["num_timesteps"]))
    return _scores(results, (true, own, abs(own - true)), sizes)


def together(parts: Sequence[TrackScores]) -> TrackScores:
    """Scores of several sequences as trackeval puts them together: every box counts once, whatever sequence it is of."""
    metrics = _metrics()
    results = {
        name: metric.combine_sequences({str(number): part.results[name] for number, part in enumerate(parts)})
        for name, metric in metrics.items()
    }
    true, found, off = (sum(getattr(part, name) for part in parts) for name in ("true", "found", "off"))
    sizes = tuple(sum(getattr(part, name) for part in parts) for name in ("boxes", "found_boxes", "frames"))
    return _scores(results, (true, found, off), sizes)


def row(scores: TrackScores) -> dict[str, Any]:
    """As a row of a table."""
    error = scores.count_error
    return {
        **scores.shares,
        **scores.counts,
        "individuals": scores.true,
        "found_individuals": scores.found,
        "count_off": scores.off,
        "count_error": None if np.isnan(error) else error,
        "boxes": scores.boxes,
        "found_boxes": scores.found_boxes,
        "frames": scores.frames,
    }


def _metrics() -> dict[str, Any]:
    try:
        from trackeval.metrics import CLEAR, HOTA, Identity
    except ImportError as error:
        raise BiocosmosError(INSTALL.format(first_line(error))) from error
    quiet = {"PRINT_CONFIG": False}
    return {"HOTA": HOTA(), "CLEAR": CLEAR(quiet), "Identity": Identity(quiet)}


def _scores(results: Mapping[str, Any], individuals: tuple[int, int, int], sizes: Sequence[int]) -> TrackScores:
    shares = {name: float(np.mean(results[metric][field])) for name, (metric, field) in SHARES.items()}
    counts = {name: int(results[metric][field]) for name, (metric, field) in COUNTS.items()}
    curve = {name: np.asarray(results["HOTA"][name], np.float64) for name in CURVE}
    boxes, found_boxes, frames = sizes
    return TrackScores(shares, counts, *individuals, boxes, found_boxes, frames, curve, dict(results))
