"""COCO of videos (CocoVID of MMTracking, TAO): which frame of which video an image is, and whose box an annotation.

Images have ``video_id`` and ``frame_id`` or ``frame_index``, annotations ``instance_id`` or ``track_id``; ``videos`` have names.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from biocosmos.specimens.readers.frame_columns import FRAME_COLUMNS, FRAME_RATE
from biocosmos.specimens.readers.json_stream import as_key, as_number, as_text, elements
from biocosmos.specimens.readers.track_checks import TrackChecks

VIDEOS, VIDEO = "videos", "video_id"
FRAME = ("frame_id", "frame_index")
TRACK = ("instance_id", "track_id")
CONFIDENCE = ("score", "confidence", "conf")
RATE = ("fps", "frame_rate", "frameRate")
JOINED = {"images": {VIDEO, *FRAME}, "annotations": {VIDEO, *TRACK, "visibility", *CONFIDENCE}}
"""Fields that become columns of ours."""
COLUMNS: dict[str, pa.DataType] = FRAME_COLUMNS | FRAME_RATE


@dataclass
class Videos:
    """The videos of a file by their id, and what has to be said about tracks."""

    checks: TrackChecks
    by_id: dict[str, dict[str, Any]] = field(default_factory=dict)

    @classmethod
    def of(cls, file: Path, checks: TrackChecks) -> Videos:
        """Read them."""
        self = cls(checks)
        for number, (_, video) in enumerate(elements(file, {VIDEOS}), 1):
            key = as_key(video.get("id")) if isinstance(video, dict) else None
            if key is None:
                checks.say(f"video {number} is not an object with an id: left out", number)
            else:
                self.by_id.setdefault(key, video)
        return self

    def frame(self, image: dict[str, Any]) -> dict[str, Any]:
        """What specimens of an image have."""
        key = as_key(image.get(VIDEO))
        video = self.by_id.get(key or "", {})
        number = as_number(_first(image, FRAME))
        rate = as_number(_first(video, RATE))
        return {
            "sequence": as_text(video.get("name") or video.get("file_name")) or key,
            "frame": int(number) if number is not None and number == number and abs(number) < 2**62 else None,
            "frame_rate": rate if rate is not None and 0 < rate < float("inf") else None,
            "empty": False,
        }

    def individual(self, box: dict[str, Any], frame: dict[str, Any], row: int) -> dict[str, Any] | None:
        """What a specimen has of its annotation; None, with a row, where its track has another box in the frame."""
        track = as_key(_first(box, TRACK))
        if track == "-1":
            track = None
        placed = frame["sequence"] is not None and frame["frame"] is not None
        if placed and not self.checks.is_new(str(frame["sequence"]), track, frame["frame"], row):
            return None
        seen = as_number(box.get("visibility"))
        sure = as_number(_first(box, CONFIDENCE))
        return {
            "track": track,
            "visibility": seen if seen is not None and 0 <= seen <= 1 else None,
            "detection_confidence": sure if sure is not None and sure == sure else None,
        }


def _first(element: dict[str, Any], names: tuple[str, ...]) -> Any:
    """The first of these fields that says something."""
    return next((element[name] for name in names if element.get(name) is not None), None)
