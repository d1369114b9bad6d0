"""Tables of insectTracking and MCC24-trap (K. Bjerge, Aarhus): detections of a day, and what its tracker made of them.

https://github.com/kimbjerge/insectTracking: detections without a header (system, camera, YYYYMMDD, HHMMSS, percent, class, two
corners, picture), tracks with one. https://github.com/kimbjerge/MCC24-trap: the same with names of orders and species.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path, PurePosixPath

from biocosmos.files import tidy
from biocosmos.specimens.readers.options import Options
from biocosmos.specimens.readers.trap_rows import Cells, Detection, Dialect, Unclear, number, optional, optional_number
from biocosmos.specimens.readers.trap_tables import read_with
from biocosmos.specimens.records import Source

NAMES = ("system", "camera", "date", "time", "confidence", "class", "x1", "y1", "x2", "y2", "image")
DETECTIONS = frozenset({"date", "time", "x1", "y1", "x2", "y2", "filename"})
TRACKS = frozenset({"id", "date", "time", "x1", "y1", "width", "height", "image"})
TAKEN = frozenset(
    {"date", "time", "confidence", "class", "x1", "y1", "x2", "y2", "image", "id", "percent", "xc", "yc", "width", "height"}
    | {"detectConf", "taxaConf", "fileName", "orderLabel", "taxaLabel", "speciesLabel", "orderConf", "speciesConf", "order"}
    | {"species", "trap", "trapDir"}
)


def matches(header: list[str]) -> bool:
    """Whether a table has its columns, or is one without a header."""
    names = {name.strip().lower() for name in header}
    return names >= DETECTIONS or names >= TRACKS or _unheaded(header) is not None


def _unheaded(cells: Sequence[str]) -> tuple[str, ...] | None:
    """The names of the columns where these cells are the first row of a table without a header."""
    if len(cells) != len(NAMES) or not re.fullmatch(r"\d{8}", cells[2].strip()) or not re.fullmatch(r"\d{1,6}", cells[3].strip()):
        return None
    return NAMES if all(re.fullmatch(r"-?\d+(\.\d+)?", cell.strip()) for cell in cells[4:10]) else None


def read(path: Path, options: Options) -> Source:
    """A table of a day. A sequence is the table and the folder of its pictures; the label is the species, the order or the
    number of the class; a percentage becomes a share."""
    return read_with(path, options, Dialect("insect-tracking", _understand, TAKEN, _unheaded))


def _understand(cells: Cells, path: Path) -> Detection:
    file = optional(cells, "image", "fileName")
    if file is None:
        raise Unclear("it names no picture")
    x1, y1 = number(cells, "x1"), number(cells, "y1")
    tracked = "width" in cells
    x2 = x1 + number(cells, "width") if tracked else number(cells, "x2")
    y2 = y1 + number(cells, "height") if tracked else number(cells, "y2")
    camera = optional(cells, "trap", "trapDir") or PurePosixPath(tidy(file)).parent.name or None
    sure = optional_number(cells, "detectConf", "confidence", "percent", "taxaConf")
    said = optional_number(cells, "speciesConf", "orderConf", "taxaConf")
    return Detection(
        path.stem if camera is None else f"{path.stem}/{camera}",
        (x1, y1, x2, y2),
        file,
        None,
        _moment(cells),
        confidence=_share(sure),
        classification=_share(said),
        label=optional(cells, "speciesLabel", "species", "orderLabel", "order", "taxaLabel", "class"),
        track=optional(cells, "id") if tracked else None,
        deployment=camera,
    )


def _moment(cells: Cells) -> datetime:
    day, clock = optional(cells, "date") or "", optional(cells, "time") or ""
    try:  # spreadsheets rob a time of its first zeros
        return datetime.strptime(day + clock.zfill(6), "%Y%m%d%H%M%S")
    except ValueError:
        raise Unclear(f"{day[:20]!r} and {clock[:20]!r} are no date and time as YYYYMMDD and HHMMSS") from None


def _share(value: float | None) -> float | None:
    """A percentage, or a share, as a share."""
    return None if value is None else value / 100 if value > 1 else value
