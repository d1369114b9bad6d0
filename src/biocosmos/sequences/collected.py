"""Sequences out of specimens: of a collection, one at a time, or of what a reader hands over."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timezone
from pathlib import PurePath
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from biocosmos.errors import BiocosmosError
from biocosmos.sequences.frames import Boxes, Frames
from biocosmos.specimens.collection import Collection
from biocosmos.specimens.damage import reading
from biocosmos.specimens.positions import positions_of
from biocosmos.specimens.readers.boxes import header, upright_size

BY = ("sequence", "deployment")
"""Columns that say which sequence a specimen is of, the first that is filled counts."""
READ = (
    *("id", "image_path", "content_hash", "crop", "label", "date", "width", "height", "sequence", "deployment"),
    *("frame", "track", "visibility", "detection_confidence", "empty", "frame_rate", "frame_width", "frame_height", "frame_box"),
    *("detection", "observationType"),
)
ROWS_AT_ONCE = 8192


def sequences_of(
    collection: Collection,
    *,
    by: str | None = None,
    where: str | None = None,
    split: str | None = None,
    within: str | None = None,
) -> Iterator[Boxes]:
    """The sequences of a collection, one at a time; what is held is one sequence and a number for every specimen.

    by: the column that says which sequence a specimen is of; None: ``sequence``, and ``deployment`` for what has none there, as
    pictures of a camera trap that belong to no event. where, split, within: select specimens, as for :meth:`Collection.scan`.
    Frames are in order of ``frame``, and where there is none in order of time and name of the picture.
    Raises BiocosmosError where no column says which sequence, and for a selection that cannot be.
    """
    stored = set(collection.stored_columns)
    names = [by] if by is not None else [name for name in BY if name in stored]
    if not names or names[0] not in stored:
        wanted = " or ".join(repr(name) for name in (BY if by is None else [by]))
        raise BiocosmosError(
            f"{collection.path} has no column {wanted} that says of which sequence a"
            " specimen is: ingest a format with frames (mot, coco with videos, camtrap-dp ...), or name the column"
        )
    columns = [name for name in READ if name in stored]
    dataset = collection.dataset
    for name, places in _places(collection, names, {"where": where, "split": split, "within": within}).items():
        with reading(collection.path):
            table = dataset.take(places.tolist(), columns=columns)
        yield boxes_of(name, table)


def _places(collection: Collection, names: list[str], selection: dict[str, Any]) -> dict[str, np.ndarray]:
    """Sequence -> where its specimens are stored, int64 ascending; sequences in order of their first specimen."""
    chosen = any(value is not None for value in selection.values())
    found: dict[str, list[np.ndarray]] = {}
    ids: list[pa.Array] = []
    position = 0
    for batch in collection.scan([*names, *(["id"] if chosen else [])], **selection, batch_size=ROWS_AT_ONCE):
        for key, rows in _rows_of_keys([batch.column(name) for name in names]).items():
            found.setdefault(key, []).append(rows + position)
        if chosen:
            ids.append(batch.column("id").cast(pa.string()))
        position += batch.num_rows
    places = {key: np.concatenate(parts) for key, parts in found.items()}
    if chosen and ids:
        stored = positions_of(collection.dataset, pa.chunked_array(ids).combine_chunks())
        places = {key: stored[rows] for key, rows in places.items()}
    return places


def _rows_of_keys(columns: Sequence[pa.Array]) -> dict[str, np.ndarray]:
    """The first filled cell of each row, as text -> its rows, int64 ascending; rows without any are left out."""
    texts = [column.cast(pa.string()) for column in columns]
    filled = [pc.if_else(pc.equal(text, ""), None, text) for text in texts]
    encoded = pc.coalesce(*filled).dictionary_encode()
    keys = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    order = np.argsort(keys, kind="stable").astype(np.int64)
    starts = np.searchsorted(keys[order], np.arange(len(encoded.dictionary) + 1))
    return {key: order[starts[i] : starts[i + 1]] for i, key in enumerate(encoded.dictionary.to_pylist())}


def boxes_by_sequence(batches: Iterator[pa.RecordBatch], name: str) -> Iterator[Boxes]:
    """Sequences out of the batches of a reader, which are held whole; rows that say no sequence are of one called ``name``."""
    held: dict[str, list[pa.Table]] = {}
    for batch in batches:
        table = pa.Table.from_batches([batch])
        table = table.select([column for column in READ if column in table.column_names])
        own = [batch.column(column) for column in BY if column in batch.schema.names]
        for key, rows in _rows_of_keys([*own, pa.array([name] * len(table), pa.string())]).items():
            held.setdefault(key, []).append(table.take(pa.array(rows, pa.int64())))
    for key in list(held):
        yield boxes_of(key, pa.concat_tables(held.pop(key)))


def boxes_of(name: str, table: pa.Table) -> Boxes:
    """The specimens of one sequence, with any of the columns READ, as its frames and boxes.

    A specimen without a crop is the whole frame; where the size of that is not known either it is no box.
    """
    columns: dict[str, list[Any]] = {column: table.column(column).to_pylist() for column in table.column_names}
    blank: list[Any] = [None] * len(table)

    def column(key: str) -> list[Any]:
        return columns.get(key, blank)

    frames, of_row = _frames(column, len(table))
    whole = [0.0, 0.0, float(frames.width), float(frames.height)] if frames.width and frames.height else None
    given = [crop or own or whole for crop, own in zip(column("crop"), column("frame_box"))]
    empty = [_is_empty(*cells) for cells in zip(column("empty"), column("detection"), column("observationType"))]
    chosen = np.array([i for i in range(len(table)) if not empty[i] and given[i] is not None], np.int64)
    chosen = chosen[np.argsort(of_row[chosen], kind="stable")]
    tracks = [column("track")[i] for i in chosen]
    confidence, visibility = (_numbers([column(key)[i] for i in chosen]) for key in ("detection_confidence", "visibility"))
    labels = [column("label")[i] for i in chosen]
    return Boxes(
        name,
        frames,
        of_row[chosen],
        np.array([given[i] for i in chosen], np.float64).reshape(len(chosen), 4),
        None if all(track is None for track in tracks) else _objects(tracks),
        None if np.isnan(confidence).all() else confidence,
        None if all(label is None for label in labels) else _objects(labels),
        None if np.isnan(visibility).all() else visibility,
        _objects([column("id")[i] for i in chosen]) if "id" in columns else None,
    )


def _is_empty(empty: bool | None, detection: str | None, observation: str | None) -> bool:
    """As readers of camera traps keep frames in which there is nothing."""
    return bool(empty) or detection == "empty" or (observation or "").strip().lower() == "blank"


def _frames(column: Callable[[str], list[Any]], count: int) -> tuple[Frames, np.ndarray]:
    """(the frames of some specimens, the place of each specimen's)."""
    pictures = [path or content or own for path, content, own in zip(column("image_path"), column("content_hash"), column("id"))]
    times = [seconds(date) for date in column("date")]
    numbers = column("frame")
    if count and all(number is not None for number in numbers):
        number, first, of_row = np.unique(np.array(numbers, np.int64), return_index=True, return_inverse=True)
        of_row = of_row.reshape(-1)
    else:
        known = {picture: (math.inf if time is None else time, _natural(picture)) for picture, time in zip(pictures, times)}
        order = {picture: i for i, picture in enumerate(sorted(known, key=lambda one: known[one]))}
        of_row = np.array([order[picture] for picture in pictures], np.int64)
        number, first = np.arange(1, len(order) + 1, dtype=np.int64), np.zeros(len(order), np.int64)
        first[of_row[::-1]] = np.arange(count - 1, -1, -1)
    at = np.array([math.nan if times[i] is None else times[i] for i in first], np.float64)
    start = None
    if np.isfinite(at).any():
        start = moment(column("date")[first[int(np.nanargmin(at))]])
        at -= np.nanmin(at)
    paths, boxes = column("image_path"), column("frame_box")
    files = tuple(paths[i] if boxes[i] is None else None for i in first)  # else it is a crop, or not there
    width, height = _size(column, files)
    rates = [rate for rate in column("frame_rate") if rate]
    return Frames(number, at, files, int(width), int(height), rates[0] if rates else None, start), of_row


def _size(column: Callable[[str], list[Any]], files: Sequence[str | None]) -> tuple[float, float]:
    """Width and height of the frames: as told, as the first picture has it, as the collection says; 0 where unknown."""
    told = [_most(column(name)) for name in ("frame_width", "frame_height")]
    if all(told):
        return told[0], told[1]
    first = next((file for file in files if file is not None), None)
    info = header(first) if first is not None else None
    if info is not None:
        return upright_size(info)
    if any(box is not None for box in column("frame_box")):
        return 0, 0
    return _most(column("width")) or 0, _most(column("height")) or 0


def _natural(name: str) -> tuple[Any, ...]:
    """A key by which file2 stands before file10."""
    path = PurePath(name)
    parts: list[str] = []
    for letter in path.name:
        if parts and parts[-1][-1].isdigit() == letter.isdigit():
            parts[-1] += letter
        else:
            parts.append(letter)
    numbered = [(0, int(part), "") if part.isdecimal() and part.isascii() else (1, 0, part) for part in parts]
    return (str(path.parent), *numbered, name)


def _most(values: Sequence[Any]) -> Any:
    """The largest of what is known; None where nothing is."""
    return max((value for value in values if value is not None), default=None)


def moment(text: str | None) -> datetime | None:
    """A moment in ISO 8601; None for a day alone and for what is none."""
    if text is None or len(text) <= len("2026-07-01"):
        return None
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def seconds(text: str | None) -> float | None:
    """Seconds since 1970 of a moment in ISO 8601, UTC where it names no zone; None as for :func:`moment`."""
    found = moment(text)
    try:
        return None if found is None else (found if found.tzinfo is not None else found.replace(tzinfo=timezone.utc)).timestamp()
    except OverflowError:
        return None


def _numbers(values: Sequence[Any]) -> np.ndarray:
    return np.array([math.nan if value is None else value for value in values], np.float64)


def _objects(values: Sequence[Any]) -> np.ndarray:
    array = np.full(len(values), None, object)
    array[:] = list(values)
    return array


__all__ = ["boxes_by_sequence", "boxes_of", "moment", "seconds", "sequences_of"]
