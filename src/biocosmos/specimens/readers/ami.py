"""AMI data companion (https://github.com/RolnickLab/ami-data-companion): detections of moths at a screen, as it exports them.

``ami export detections --format csv`` (bbox, sequence, source_image_path ...), the reports before it (trap, event, image,
category_label), and ``ami export api-occurrences`` (bbox_x1 ...). Its *sequence* is one moth seen again: our track.
"""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

from biocosmos.files import tidy
from biocosmos.specimens.readers.options import Options
from biocosmos.specimens.readers.trap_rows import Cells, Detection, Dialect, Unclear, moment_of, number, optional, optional_number
from biocosmos.specimens.readers.trap_tables import read_with
from biocosmos.specimens.records import Source

CORNERS = ("bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2")
PICTURES = ("source_image_path", "image", "source_image_id")
TAKEN = frozenset(
    {
        "bbox",
        *CORNERS,
        *PICTURES,
        "deployment",
        "trap",
        "session",
        "event",
        "sequence",
        "sequence_id",
        "timestamp",
        "label",
        "score",
    }
    | {"category_label", "category_score", "classification", "classification_score", "cropped_image_path", "crop_image_url"}
    | {"source_image_width", "source_image_height", "bbox_center"}
)


def matches(header: list[str]) -> bool:
    """Whether a table has its columns."""
    names = {name.strip() for name in header}
    boxed = "bbox" in names or set(CORNERS) <= names
    pictured = bool(names & {"source_image_path", "source_image_id", "cropped_image_path"}) or {"trap", "event", "image"} <= names
    return boxed and "timestamp" in names and pictured


def read(path: Path, options: Options) -> Source:
    """An export. A sequence is a session of a deployment, a night; the confidence is that of the classifier."""
    return read_with(path, options, Dialect("ami", _understand, TAKEN))


def _understand(cells: Cells, path: Path) -> Detection:
    place = optional(cells, "deployment", "trap")
    night = optional(cells, "session", "event")
    sides = [optional_number(cells, name) for name in ("source_image_width", "source_image_height")]
    return Detection(
        "/".join(part for part in (place and PurePosixPath(tidy(place)).name, night) if part) or path.stem,
        _corners(cells),
        optional(cells, *PICTURES),
        optional(cells, "cropped_image_path", "crop_image_url"),
        moment_of(optional(cells, "timestamp")),
        classification=optional_number(cells, "score", "category_score", "classification_score"),
        label=optional(cells, "label", "category_label", "classification"),
        track=optional(cells, "sequence", "sequence_id"),
        deployment=place,
        size=(sides[0], sides[1]) if sides[0] and sides[1] else None,
    )


def _corners(cells: Cells) -> tuple[float, float, float, float]:
    """The box as the text of a list, [x1, y1, x2, y2], or in four columns."""
    if "bbox" not in cells:
        x1, y1, x2, y2 = (number(cells, name) for name in CORNERS)
        return x1, y1, x2, y2
    found = re.findall(r"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?", cells["bbox"])
    if len(found) != 4:
        raise Unclear(f"the box {cells['bbox'][:60]!r} is not [x1, y1, x2, y2]")
    return float(found[0]), float(found[1]), float(found[2]), float(found[3])
