"""The columns that specimens of a sequence of frames have, whatever format they come from."""

from __future__ import annotations

from datetime import datetime

import pyarrow as pa

from biocosmos.specimens.readers.camera_traps import COLUMNS
from biocosmos.specimens.records import STANDARD

FRAME_COLUMNS: dict[str, pa.DataType] = {
    "sequence": COLUMNS["sequence"],
    "frame": pa.int64(),  # its number as the file counts
    "track": pa.string(),  # the individual, unique in its sequence
    "visibility": pa.float64(),  # share of the individual that is seen, 0 to 1
    "detection_confidence": pa.float64(),
    "empty": pa.bool_(),  # a frame in which there is nothing, kept as a row
}
CLOCK: dict[str, pa.DataType] = {"date": STANDARD["date"], "time": COLUMNS["time"]}
FRAME_RATE = {"frame_rate": pa.float64()}
"""Frames a second, where no time is told."""
FRAME_SIZE: dict[str, pa.DataType] = {"frame_width": pa.int64(), "frame_height": pa.int64()}
"""Pixels of the frame, where the specimen's picture is not the frame, or is not there."""
FRAME_BOX: dict[str, pa.DataType] = {"frame_box": pa.list_(pa.float32(), 4)}
"""x, y, width, height in the frame, where ``crop`` is null: the specimen's picture was cut from it before, or there is none."""
EMPTY_FRAMES = "frames without a box: left out (--empty keeps them)"


def clock_cells(moment: datetime | None) -> dict[str, str | None]:
    """The cells of CLOCK for a frame taken at a moment."""
    if moment is None:
        return dict.fromkeys(CLOCK)
    return {"date": moment.isoformat(), "time": moment.time().isoformat(timespec="seconds")}
