"""One row for every individual: when and how long it was seen, as what, how surely, and where it went."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa

from biocosmos.errors import BiocosmosError
from biocosmos.sequences.frames import Boxes, Frames

SCHEMA = pa.schema(
    [
        ("sequence", pa.string()),
        ("track", pa.string()),
        ("label", pa.string()),  # of most of its boxes
        ("label_share", pa.float64()),  # of its boxes with a label
        ("first_seen", pa.string()),  # ISO 8601
        ("last_seen", pa.string()),
        ("duration", pa.float64()),  # seconds from first to last
        ("first_frame", pa.int64()),
        ("last_frame", pa.int64()),
        ("frames", pa.int64()),  # in which it is seen
        ("frames_missed", pa.int64()),  # between first and last, in which it is not
        ("detection_confidence", pa.float64()),  # mean
        ("visibility", pa.float64()),  # mean
        ("x", pa.float64()),  # centre of its first box, pixels
        ("y", pa.float64()),
        ("distance", pa.float64()),  # pixels from centre to centre, summed
        ("width", pa.float64()),  # median, pixels
        ("height", pa.float64()),
        ("image_path", pa.string()),  # the frame of its surest box, or of its largest
        ("specimen", pa.string()),  # the id of that box in a collection
    ]
)
"""Columns of a table of individuals. A column that nothing is known of is null."""
KEY = ("sequence", "track")


def individuals(boxes: Boxes | Iterable[Boxes], *, more: pa.Table | None = None) -> pa.Table:
    """A row for every track of every sequence, in order of appearance; boxes of no track are no individual.

    more: further columns, joined by ``sequence`` and ``track``; a column that is there already takes its place.
    Raises BiocosmosError where ``more`` lacks those two, or has two rows for one individual.
    """
    listed = [boxes] if isinstance(boxes, Boxes) else boxes
    table = pa.Table.from_pylist([_row(one, track, rows) for one in listed for track, rows in one.tracks().items()], SCHEMA)
    return table if more is None else _with(table, more)


def _row(boxes: Boxes, track: str, rows: np.ndarray) -> dict[str, Any]:
    places = boxes.frame[rows]
    box = boxes.box[rows]
    centres = box[:, :2] + box[:, 2:] / 2
    seen = len(np.unique(places))
    labels = Counter([] if boxes.label is None else [label for label in boxes.label[rows] if label is not None])
    confidence = None if boxes.confidence is None else boxes.confidence[rows]
    best = surest(boxes, rows)
    times = boxes.frames.seconds
    known = bool(np.isfinite(times[places[[0, -1]]]).all()) or boxes.frames.frame_rate is not None
    clock = boxes.frames.times() if known else times
    return {
        "sequence": boxes.name,
        "track": track,
        "label": labels.most_common(1)[0][0] if labels else None,
        "label_share": labels.most_common(1)[0][1] / labels.total() if labels else None,
        "first_seen": _moment(boxes.frames, int(places[0])),
        "last_seen": _moment(boxes.frames, int(places[-1])),
        "duration": float(clock[places[-1]] - clock[places[0]]) if known else None,
        "first_frame": int(boxes.frames.number[places[0]]),
        "last_frame": int(boxes.frames.number[places[-1]]),
        "frames": seen,
        "frames_missed": int(places[-1] - places[0]) + 1 - seen,
        "detection_confidence": _mean(confidence),
        "visibility": _mean(None if boxes.visibility is None else boxes.visibility[rows]),
        "x": float(centres[0, 0]),
        "y": float(centres[0, 1]),
        "distance": float(np.hypot(*np.diff(centres, axis=0).T).sum()),
        "width": float(np.median(box[:, 2])),
        "height": float(np.median(box[:, 3])),
        "image_path": boxes.frames.files[int(places[best])],
        "specimen": None if boxes.ids is None else boxes.ids[rows[best]],
    }


def surest(boxes: Boxes, rows: np.ndarray) -> int:
    """The place among some rows of the surest box, of the largest where no confidence is known."""
    sure = None if boxes.confidence is None else boxes.confidence[rows]
    if sure is None or not np.isfinite(sure).any():
        sure = boxes.box[rows, 2] * boxes.box[rows, 3]
    return int(np.nanargmax(sure))


def _mean(values: np.ndarray | None) -> float | None:
    return None if values is None or np.isnan(values).all() else float(np.nanmean(values))


def _moment(frames: Frames, place: int) -> str | None:
    moment = frames.moment(place)
    return None if moment is None else moment.isoformat()


def _with(table: pa.Table, more: pa.Table) -> pa.Table:
    if missing := [name for name in KEY if name not in more.column_names]:
        raise BiocosmosError(f"a table of more about individuals needs the column {missing[0]!r}")
    row_of: dict[tuple[str, str], int] = {}
    for i, key in enumerate(zip(*(more[name].cast(pa.string()).to_pylist() for name in KEY))):
        if key in row_of:
            raise BiocosmosError(f"the table of more about individuals has two rows for the track {key[1]!r} of {key[0]!r}")
        row_of[key] = i
    rows = pa.array([row_of.get(key) for key in zip(*(table[name].to_pylist() for name in KEY))], pa.int64())
    for name in more.column_names:
        if name in KEY:
            continue
        column = more[name].combine_chunks().take(rows)
        place = table.schema.get_field_index(name)
        table = table.set_column(place, name, column) if place >= 0 else table.append_column(name, column)
    return table
