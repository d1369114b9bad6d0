"""What a row of a table of detections says, whatever program wrote it."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from biocosmos.specimens.readers.boxes import Size
from biocosmos.specimens.readers.json_stream import as_number

Cells = Mapping[str, str]
"""Name of a column -> its cell."""
IN_NAME = re.compile(r"(?<!\d)(20\d{2})[-_]?(\d{2})[-_]?(\d{2})[-_T ]?(\d{2})[-_:]?(\d{2})[-_:]?(\d{2})(?:[-_.](\d{1,6})(?!\d))?")
"""A moment in a file's name: 20200610144545, 2026-07-01_22-00-03-500000."""


@dataclass(frozen=True)
class Detection:
    """One row as its dialect understands it.

    file: the frame's picture, as the table names it. cut: a picture of the box alone. box: two corners x1, y1, x2, y2, in pixels
    of the frame, or in shares of its sides.
    """

    sequence: str
    box: tuple[float, float, float, float]
    file: str | None = None
    cut: str | None = None
    moment: datetime | None = None
    shares: bool = False
    confidence: float | None = None
    classification: float | None = None
    label: str | None = None
    track: str | None = None
    deployment: str | None = None
    size: Size | None = None


@dataclass(frozen=True)
class Dialect:
    """A format of such tables: what it is called, which cells it takes, and how a row is understood.

    understand raises Unclear for a row that it cannot understand. taken: columns that are told by others of ours. unheaded: the
    names of the columns where the cells of the first row are no header, else None. default_size: of frames whose pictures are
    not there and whose boxes are shares.
    """

    name: str
    understand: Callable[[Cells, Path], Detection]
    taken: frozenset[str]
    unheaded: Callable[[Sequence[str]], tuple[str, ...] | None] | None = None
    default_size: Size | None = None


class Unclear(Exception):
    """A row that cannot be understood; the reason is its text."""


def number(cells: Cells, name: str) -> float:
    """A cell that must be a number. Raises Unclear."""
    if name not in cells:
        raise Unclear(f"there is no column {name!r}")
    value = as_number(cells[name])
    if value is None or not math.isfinite(value):
        raise Unclear(f"{name} is {cells[name][:40]!r}, no number")
    return value


def optional(cells: Cells, *names: str) -> str | None:
    """The first cell of these that says something."""
    said = (cells.get(name, "").strip() for name in names)
    return next((cell for cell in said if cell and cell.lower() not in ("nan", "none", "null", "<na>")), None)


def optional_number(cells: Cells, *names: str) -> float | None:
    """The same as a number; None where it is none."""
    value = as_number(optional(cells, *names))
    return value if value is not None and math.isfinite(value) else None


def moment_of(text: str | None) -> datetime | None:
    """A moment as programs write it: ISO 8601, or as in the name of a file. Raises Unclear for what is none."""
    if text is None:
        return None
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        found = moment_in(text)
    if found is None:
        raise Unclear(f"{text[:40]!r} is not a moment that is understood")
    return found


def moment_in(name: str) -> datetime | None:
    """The moment that a name has in it."""
    found = IN_NAME.search(name)
    if found is None:
        return None
    year, month, day, hour, minute, second = (int(part) for part in found.groups()[:6])
    try:
        return datetime(year, month, day, hour, minute, second, int((found[7] or "").ljust(6, "0")))
    except ValueError:
        return None
