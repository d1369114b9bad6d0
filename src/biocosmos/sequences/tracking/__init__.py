"""Tracking of given detections: which boxes of a time-lapse show the same animal.

>>> tracked = track(boxes, vectors)
>>> tracked.tracks()
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from biocosmos.sequences.tracking.settings import TrackerSettings

if TYPE_CHECKING:
    from biocosmos.sequences.tracking.run import track
    from biocosmos.sequences.tracking.tracker import Tracker

_LATE = {"Tracker": "tracker", "track": "run"}
"""Imported when they are asked for: the command line needs the settings alone."""


def __getattr__(name: str) -> Any:
    if name in _LATE:
        return getattr(import_module(f"{__name__}.{_LATE[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = ["Tracker", "TrackerSettings", "track"]
