"""Insect Detect (https://maxsitt.github.io/insect-detect-docs): metadata of a camera that tracks as it records.

Every version of its table: rec_ID and track_ID with a path of the crop, cam_ID without any file, device_id and session_id with
the name of the frame. Boxes are shares of the frame.
"""

from __future__ import annotations

from pathlib import Path

from biocosmos.specimens.readers.options import Options
from biocosmos.specimens.readers.trap_rows import Cells, Detection, Dialect, Unclear, moment_of, number, optional, optional_number
from biocosmos.specimens.readers.trap_tables import read_with
from biocosmos.specimens.records import Source

NEEDED = frozenset({"timestamp", "track_id", "x_min", "y_min", "x_max", "y_max"})
SENSOR = (3840.0, 2160.0)
"""Pixels of its frames unless it is set otherwise."""
TAKEN = frozenset(
    {"device_id", "session_id", "cam_ID", "rec_ID", "timestamp", "label", "confidence", "track_id", "track_ID", "x_min", "y_min"}
    | {"x_max", "y_max", "filename", "file_path", "top1", "top1_prob"}
)
FULL = ("full", "raw", "frames")
"""Folders of whole frames, in the tables whose file may be a crop."""


def matches(header: list[str]) -> bool:
    """Whether a table has its columns."""
    return {name.strip().lower() for name in header} >= NEEDED


def read(path: Path, options: Options) -> Source:
    """Its metadata. A sequence is a recording, a track an individual in it; the label is the classifier's where there is one."""
    return read_with(path, options, Dialect("insect-detect", _understand, TAKEN, default_size=SENSOR))


def _understand(cells: Cells, path: Path) -> Detection:
    device, session = optional(cells, "device_id", "cam_ID"), optional(cells, "session_id", "rec_ID")
    moment = moment_of(optional(cells, "timestamp"))
    if moment is None:
        raise Unclear("it has no timestamp")
    corners = tuple(number(cells, name) for name in ("x_min", "y_min", "x_max", "y_max"))
    file, cut = optional(cells, "filename"), optional(cells, "file_path")
    if cut is not None and Path(cut.replace("\\", "/")).parent.name in FULL:
        file, cut = cut, None
    if file is None and cut is None:
        file = f"{moment:%Y-%m-%d_%H-%M-%S-%f}.jpg"
    return Detection(
        "/".join(part for part in (device, session) if part is not None) or path.stem,
        (corners[0], corners[1], corners[2], corners[3]),
        file,
        cut,
        moment,
        shares=max(corners) <= 2,  # else it is told as what it is: pixels
        confidence=optional_number(cells, "confidence"),
        classification=optional_number(cells, "top1_prob"),
        label=optional(cells, "top1", "label"),
        track=optional(cells, "track_id", "track_ID"),
        deployment=device,
    )
