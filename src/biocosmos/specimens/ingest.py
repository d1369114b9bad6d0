"""From a reader's batches to rows that may be stored: images checked and hashed, duplicates told apart, columns aligned."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import lance
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from biocosmos.errors import BiocosmosError, Failures, ImageError, Severity
from biocosmos.images import check_image, file_bytes, inspect_image
from biocosmos.specimens.records import ADDED_BY_COLLECTION, EMBEDDING_PREFIX, STANDARD, Source

STAGE = "ingest"
CHECK_THREADS = 8


@dataclass
class AddSummary:
    """What :meth:`Collection.add` did.

    Attributes:
        added: specimens stored.
        known: specimens that were there already with the same image, left as they were (an interrupted add goes on so).
        refused: rows not stored, each with its reason in ``failures``.
        identical: stored specimens whose image is byte for byte that of an earlier one, each a warning in ``failures``.
        failures: every error and warning of reading and storing.
    """

    added: int = 0
    known: int = 0
    identical: int = 0
    failures: Failures = field(default_factory=Failures)

    @property
    def refused(self) -> int:
        """Rows not stored."""
        return self.failures.errors


@dataclass(frozen=True)
class _Checked:
    """What reading one row's image gave: ``problem`` is set when the row must be refused."""

    problem: str | None = None
    notes: tuple[str, ...] = ()
    content: bytes | None = None
    content_hash: str | None = None
    width: int | None = None
    height: int | None = None


def check_row(path: str | None, image: bytes | None) -> _Checked:
    """Read, hash and decode one image; a row without any image is fine, it may be a barcode or a text."""
    if image is None and path is None:
        return _Checked()
    try:
        image = file_bytes(str(path)) if image is None else image
        info = inspect_image(image)
        notes = check_image(image)
    except ImageError as error:
        return _Checked(problem=str(error))
    except OSError as error:
        return _Checked(problem=f"cannot read the file: {error.strerror or error}")
    content_hash = hashlib.blake2b(image, digest_size=16).hexdigest()
    return _Checked(None, tuple(notes), image, content_hash, info.width, info.height)


class KnownIds:
    """The ids a collection holds, in 8 bytes each; equal digests are told apart by asking the dataset."""

    def __init__(self, ids: Iterable[pa.Array], confirm: Any) -> None:
        digests = [self._digests(batch) for batch in ids]
        self._stored = np.sort(np.concatenate(digests)) if digests else np.empty(0, np.uint64)
        self._new: dict[str, str | None] = {}
        self._confirm = confirm

    @staticmethod
    def _digests(ids: pa.Array) -> np.ndarray[Any, np.dtype[np.uint64]]:
        texts = ids.to_pylist()
        raw = b"".join(hashlib.blake2b(text.encode(), digest_size=8).digest() for text in texts)
        return np.frombuffer(raw, np.uint64)

    def content_hashes(self, ids: pa.Array) -> dict[str, str | None]:
        """Of the ids given, those already known, with the content hash they are stored with."""
        digests = self._digests(ids)
        if len(self._stored):
            at = np.minimum(np.searchsorted(self._stored, digests), len(self._stored) - 1)
            suspects = [id_ for id_, hit in zip(ids.to_pylist(), self._stored[at] == digests) if hit]
        else:
            suspects = []
        found: dict[str, str | None] = self._confirm(suspects) if suspects else {}
        return found | {id_: self._new[id_] for id_ in ids.to_pylist() if id_ in self._new}

    def remember(self, id_: str, content_hash: str | None) -> None:
        """Count an id as known from now on."""
        self._new[id_] = content_hash


def storable(source: Source, known: KnownIds, summary: AddSummary, *, pack: bool) -> Iterator[pa.RecordBatch]:
    """Yield the rows of ``source`` that may be stored, with content hash and image size; say of all others why not."""
    with ThreadPoolExecutor(CHECK_THREADS, thread_name_prefix="check") as pool:
        for batch in source.batches:
            if batch.num_rows == 0:
                continue
            if "id" not in batch.schema.names:
                raise BiocosmosError(f"{source.name}: the reader '{source.format}' gave no column 'id'")
            yield from _storable_batch(batch, source, known, summary, pool, pack)


def _cells(batch: pa.RecordBatch, name: str) -> list[Any]:
    return batch.column(name).to_pylist() if name in batch.schema.names else [None] * batch.num_rows


def _storable_batch(
    batch: pa.RecordBatch, source: Source, known: KnownIds, summary: AddSummary, pool: ThreadPoolExecutor, pack: bool
) -> Iterator[pa.RecordBatch]:
    ids = [None if id_ is None else str(id_).strip() for id_ in _cells(batch, "id")]
    paths, images = _cells(batch, "image_path"), _cells(batch, "image")
    stored = known.content_hashes(pa.array([id_ for id_ in ids if id_], pa.string()))
    kept: list[int] = []
    results: list[_Checked] = []
    for row, checked in enumerate(pool.map(check_row, paths, images)):
        id_ = ids[row]

        def tell(reason: str, severity: Severity = "error", id_: str | None = id_, row: int = row) -> None:
            summary.failures.add(reason, stage=STAGE, source=paths[row] or source.name, id=id_ or None, severity=severity)

        if not id_:
            tell("blank id")
            continue
        if id_ in stored:
            if checked.problem is None and stored[id_] == checked.content_hash:
                summary.known += 1
            else:
                tell("duplicate id: the collection has another specimen with this id")
            continue
        if checked.problem is not None:
            tell(checked.problem)
            continue
        for note in checked.notes:
            tell(note, "warning")
        stored[id_] = checked.content_hash
        known.remember(id_, checked.content_hash)
        kept.append(row)
        results.append(checked)
    if not kept:
        return
    out = batch.take(pa.array(kept))
    columns = {name: out.column(name) for name in out.schema.names}
    columns["id"] = pa.array([ids[row] for row in kept], pa.string())
    columns["content_hash"] = pa.array([checked.content_hash for checked in results], pa.string())
    columns["width"] = pa.array([checked.width for checked in results], pa.int32())
    columns["height"] = pa.array([checked.height for checked in results], pa.int32())
    if pack:
        columns["image"] = pa.array([checked.content for checked in results], pa.large_binary())
    yield pa.RecordBatch.from_arrays(list(columns.values()), list(columns))


def aligned(batch: pa.RecordBatch, schema: pa.Schema, summary: AddSummary) -> pa.RecordBatch:
    """The batch with the columns and types of ``schema``; a value that cannot take the type becomes null, with a warning."""
    columns = []
    for column in schema:
        if column.name not in batch.schema.names:
            columns.append(pa.nulls(batch.num_rows, column.type))
            continue
        values = batch.column(column.name)
        if values.type == column.type:
            columns.append(values)
            continue
        try:
            columns.append(pc.cast(values, column.type))
        except pa.ArrowInvalid:
            columns.append(_cast_each(values, column, batch.column("id"), summary))
        except pa.ArrowNotImplementedError:
            text = [None if cell is None else json.dumps(cell, default=str) for cell in values.to_pylist()]
            columns.append(_cast_each(pa.array(text, pa.string()), column, batch.column("id"), summary))
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _cast_each(values: pa.Array, column: pa.Field, ids: pa.Array, summary: AddSummary) -> pa.Array:
    cells = []
    for value, id_ in zip(values, ids.to_pylist()):
        try:
            cells.append(value.cast(column.type).as_py())
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            cells.append(None)
            reason = f"column '{column.name}' holds {column.type}: the value {str(value)[:60]!r} was left out"
            summary.failures.add(reason, stage=STAGE, id=id_, severity="warning")
    return pa.array(cells, column.type)


def column_type(name: str, given: pa.DataType) -> pa.DataType:
    """The type a new column is stored with: its own for the columns of a specimen, the reader's otherwise."""
    if name in STANDARD:
        return STANDARD[name]
    if name in ADDED_BY_COLLECTION:
        return ADDED_BY_COLLECTION[name]
    return pa.string() if pa.types.is_null(given) or pa.types.is_dictionary(given) else given


def append(path: str, batches: list[pa.RecordBatch], summary: AddSummary) -> int:
    """Append batches to the Lance dataset at ``path`` in one commit, with the columns they bring; returns the rows stored."""
    if not batches:
        return 0
    dataset = lance.dataset(path)
    # Lance column names cannot hold a dot
    batches = [batch.rename_columns([name.replace(".", "_") for name in batch.schema.names]) for batch in batches]
    new: dict[str, pa.DataType] = {}
    for column in (column for batch in batches for column in batch.schema if column.name not in dataset.schema.names):
        if pa.types.is_null(new.get(column.name, pa.null())):  # a column may be all null at first and typed later
            new[column.name] = column.type
    if new:
        dataset.add_columns(pa.schema([pa.field(name, column_type(name, kind)) for name, kind in new.items()]))
        dataset = lance.dataset(path)
    schema = pa.schema([column for column in dataset.schema if not column.name.startswith(EMBEDDING_PREFIX)])
    rows = [aligned(batch, schema, summary) for batch in batches]
    lance.write_dataset(pa.RecordBatchReader.from_batches(schema, rows), path, mode="append", schema=schema)
    return sum(batch.num_rows for batch in rows)
