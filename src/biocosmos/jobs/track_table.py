"""The table of boxes that ``biocosmos track --boxes`` writes, read again: a row for each box, its sequence, frame and track."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from biocosmos.errors import BiocosmosError, Failures

if TYPE_CHECKING:
    from biocosmos.sequences import Boxes

COLUMNS = ("sequence", "frame", "track", "x", "y", "width", "height")
PARQUET = (".parquet", ".pq")
TEXT = (".csv", ".tsv", ".txt")
Row = tuple[str, int, str | None, list[float]]


def box_table(path: Path, failures: Failures) -> list[Boxes] | None:
    """Sequences of the table, with the frames that have a row; None for a file that is no such table.

    A row whose frame or box is no number goes to ``failures``. Raises BiocosmosError for a table of individuals, which has tracks
    and no boxes, and for one that cannot be read.
    """
    from biocosmos.files import is_file

    if not is_file(path) or path.suffix.lower() not in (*PARQUET, *TEXT):
        return None
    header, rows = _parquet(path) if path.suffix.lower() in PARQUET else _text(path, failures)
    if {"track", "first_frame"} <= set(header) and "frame" not in header:
        raise BiocosmosError(
            f"{path} has a row for each individual: its boxes are wanted, as 'biocosmos track --boxes' writes them"
        )
    if not set(COLUMNS) <= set(header):
        return None
    found: dict[str, list[Row]] = {}
    places = [header.index(name) for name in COLUMNS]
    for number, cells in rows:
        row = _row([cells[place] for place in places])
        if row is None:
            failures.add("frame, x, y, width and height must be numbers", stage="read", source=str(path), row=number)
        else:
            found.setdefault(row[0], []).append(row)
    return [_boxes(name, own) for name, own in found.items()]


def nothing_found(truth: Boxes) -> Boxes:
    """The frames of the truth without any box."""
    import numpy as np

    from biocosmos.sequences import Boxes

    return Boxes(truth.name, truth.frames, np.empty(0, np.int64), np.empty((0, 4)), np.empty(0, object))


def _text(path: Path, failures: Failures) -> tuple[list[str], Iterator[tuple[int, list[Any]]]]:
    from biocosmos.specimens.readers.textfile import open_table

    with open_table(path) as table:
        header = list(table.header)

    def rows() -> Iterator[tuple[int, list[Any]]]:
        with open_table(path, failures=failures) as again:
            yield from again.rows()

    return header, rows()


def _parquet(path: Path) -> tuple[list[str], Iterator[tuple[int, list[Any]]]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise BiocosmosError(f"cannot read {path}: {' '.join(str(error).split())[:200]}") from error
    wanted = [name for name in table.column_names if name in COLUMNS]
    columns = [table[name].to_pylist() for name in wanted]
    others = [name for name in table.column_names if name not in COLUMNS]
    return [*wanted, *others], ((number, list(cells)) for number, cells in enumerate(zip(*columns), 1))


def _row(cells: list[Any]) -> Row | None:
    import math

    sequence, frame, track, *box = cells
    try:
        sides = [float(side) for side in box]
        number = int(frame)
    except (TypeError, ValueError):
        return None
    if not all(map(math.isfinite, sides)):
        return None
    return str(sequence or ""), number, None if track in (None, "") else str(track), sides


def _boxes(name: str, rows: list[Row]) -> Boxes:
    import numpy as np

    from biocosmos.sequences import Boxes, Frames

    rows = sorted(rows, key=lambda row: row[1])
    numbers, frame = np.unique(np.array([row[1] for row in rows], np.int64), return_inverse=True)
    frames = Frames(numbers, np.full(len(numbers), np.nan), (None,) * len(numbers))
    tracks = np.array([row[2] for row in rows], object)
    return Boxes(name, frames, frame.astype(np.int64), np.array([row[3] for row in rows], np.float64), tracks)
