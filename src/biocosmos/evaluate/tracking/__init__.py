"""How good tracks are: found boxes and individuals against true ones, by HOTA, IDF1, MOTA and counts."""

from __future__ import annotations

from biocosmos.evaluate.tracking.report import tracking_report
from biocosmos.evaluate.tracking.scores import TrackScores, judge

__all__ = ["TrackScores", "judge", "tracking_report"]
