"""Tracking of given detections: which boxes of a time-lapse show the same animal.

>>> tracked = track(boxes, vectors)
>>> tracked.tracks()
"""

from biocosmos.sequences.tracking.run import track
from biocosmos.sequences.tracking.settings import TrackerSettings
from biocosmos.sequences.tracking.tracker import Tracker

__all__ = ["Tracker", "TrackerSettings", "track"]
