"""What the files of camera traps have in common: when a picture was taken, what is a film, and boxes as shares of the picture."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import PurePosixPath
from typing import Any

import pyarrow as pa

from biocosmos.images import ImageInfo
from biocosmos.specimens.dates import UNKNOWN, read_date
from biocosmos.specimens.readers.boxes import STORED, to_crop, upright_size
from biocosmos.specimens.readers.json_stream import as_number

COLUMNS: dict[str, pa.DataType] = {"deployment": pa.string(), "sequence": pa.string(), "time": pa.string()}
"""Of every camera-trap format, beside ``date``: one placing of a camera, pictures taken in one go, and the time of day."""
FILM_SUFFIXES = frozenset({".mp4", ".avi", ".mov", ".mkv", ".mpg", ".mpeg", ".m4v", ".wmv", ".webm", ".flv", ".3gp", ".ts"})
_EXIF_DATE = re.compile(r"(\d{4}):(\d{2}):(\d{2})\b")
A_LITTLE_OUTSIDE = 0.01
"""Shares up to this beyond the picture are rounding of the detector."""


def is_film(name: str) -> bool:
    """Whether a file name ends like a video's."""
    return PurePosixPath(name.replace("\\", "/")).suffix.lower() in FILM_SUFFIXES


def moment(text: Any) -> tuple[str | None, str | None, str | None]:
    """(date in ISO 8601 with the time where it is told, the time of day, why the text is not understood).

    A time with its zone stays as it is: animals live by the time of the place.
    """
    if not isinstance(text, str) or not text.strip():
        return None, None, None
    if (found := _with_zone(text.strip())) is not None:
        return found.isoformat(), found.time().isoformat(timespec="seconds"), None
    when = read_date(_EXIF_DATE.sub(r"\1-\2-\3", text.strip(), count=1))
    if when.day is None:
        return None, None, f"the date {text[:40]!r} {when.problem or UNKNOWN}"
    clock = None if when.clock is None else when.clock.isoformat(timespec="seconds")
    return when.day.isoformat() + (f"T{clock}" if clock else ""), clock, None


def _with_zone(text: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo is not None else None


def share_to_crop(box: Any, info: ImageInfo, frame: str) -> tuple[list[float] | None, str | None, bool]:
    """As :func:`to_crop`, for [x, y, width, height] as shares of the picture's width and height, 0 to 1."""
    numbers = [as_number(side) for side in box] if isinstance(box, (list, tuple)) else []
    if len(numbers) != 4 or any(number is None for number in numbers):
        return None, f"the box {str(box)[:80]} is not [x, y, width, height]", False
    x, y, w, h = (number or 0.0 for number in numbers)
    if not (min(x, y) >= -A_LITTLE_OUTSIDE and max(x + w, y + h) <= 1 + A_LITTLE_OUTSIDE):
        return None, f"the box {str(box)[:80]} is not in shares of the picture, 0 to 1", False
    width, height = (info.width, info.height) if frame == STORED else upright_size(info)
    return to_crop([x * width, y * height, w * width, h * height], info, None, frame)
