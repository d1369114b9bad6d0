"""A change carried out on the collection. Every step may be done twice, so that one that was killed is simply done again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lance
import pyarrow as pa

from biocosmos.errors import BiocosmosError, first_line
from biocosmos.search.conditions import quoted
from biocosmos.specimens.appending import whole
from biocosmos.specimens.care.entry import ADDED, CELLS, NEW, REMOVED, Entry, Piece
from biocosmos.specimens.care.log import FOLDER, PENDING, Log
from biocosmos.specimens.embedding_columns import facts_of_field
from biocosmos.specimens.records import EMBEDDING_PREFIX

if TYPE_CHECKING:
    from biocosmos.specimens.collection import Collection

ROWS_AT_ONCE = 256
"""Whole rows, with their images and vectors, that are held at a time."""
ROWS_OF_NARROW_PIECES = 64 * 1024


def carry_out(collection: Collection, entry: Entry, *, first: bool = False) -> None:
    """Do what ``entry`` says, and count it as done.

    first: nobody has tried it before, so that it can be taken back where it cannot be done.
    Raises BiocosmosError where it cannot be done, which says how things are now.
    """
    log = Log(collection.path)
    version = collection.dataset.version
    try:
        _make_columns(collection, log, entry)
        if entry.ranks is not None:
            collection.save_facts(ranks=list(entry.ranks[1]))
        for piece in entry.pieces:
            _STEPS[piece.kind](collection, log, piece)
        have = collection.dataset.schema.names
        if gone := [name for name in entry.dropped_columns if name in have]:
            collection.dataset.drop_columns(gone)
    except (OSError, ValueError, pa.ArrowException, BiocosmosError) as error:
        if first and _taken_back(collection, entry, log, version):
            raise BiocosmosError(f"nothing was changed in {collection.path}: {first_line(error)}") from error
        raise BiocosmosError(
            f"change {entry.number} of {collection.path} was not finished ({first_line(error)}): mend that and run any "
            f"command that changes it, or remove {log.folder / PENDING} to give the change up"
        ) from error
    log.finish(entry)


def _taken_back(collection: Collection, entry: Entry, log: Log, version: int) -> bool:
    """Put everything back as it was, as far as that can be done where the change could not."""
    try:
        if collection.dataset.version != version:
            lance.dataset(collection.dataset.uri, version=version).restore()
        if entry.ranks is not None:
            collection.save_facts(ranks=list(entry.ranks[0]))
        (log.folder / PENDING).unlink(missing_ok=True)
    except (OSError, ValueError):
        return False
    return True


def _make_columns(collection: Collection, log: Log, entry: Entry) -> None:
    types: dict[str, pa.Field] = {}
    for piece in entry.pieces:
        for field in log.schema(piece.rows_from or piece.file):
            types[field.name.removeprefix(NEW) if piece.kind == CELLS else field.name] = field
    dataset = collection.dataset
    for rank in () if entry.ranks is None else entry.ranks[1]:
        types.setdefault(rank, pa.field(rank, pa.string()))
    missing = [name for name in entry.new_columns if name not in dataset.schema.names and name in types]
    if missing:
        dataset.add_columns(pa.schema([types[name].with_name(name) for name in missing]))


def _set_cells(collection: Collection, log: Log, piece: Piece) -> None:
    dataset = collection.dataset
    names = [name for name in piece.columns if name in dataset.schema.names]
    if not names:
        return
    schema = pa.schema([dataset.schema.field(name) for name in ("id", *names)])

    def rows() -> Iterator[pa.RecordBatch]:
        for batch in log.batches(piece, ["id", *(NEW + name for name in names)], rows=ROWS_AT_ONCE):
            columns = [batch.column("id"), *(batch.column(NEW + name) for name in names)]
            yield pa.RecordBatch.from_arrays([c.cast(f.type) for c, f in zip(columns, schema)], schema=schema)

    # in place: the rows keep their order, and the columns that are not touched their files
    # no retries: with the lock held nobody else commits, and for them Lance spools the rows into a temporary folder
    writer = dataset.merge_insert("id").when_matched_update_all().write_mode("rewrite_columns").conflict_retries(0)
    writer.execute(pa.RecordBatchReader.from_batches(schema, rows()))


def _remove(collection: Collection, log: Log, piece: Piece) -> None:
    ids = pa.Table.from_batches(log.batches(piece, ["id"], rows=ROWS_OF_NARROW_PIECES), pa.schema([("id", pa.string())]))
    if len(ids):
        collection.dataset.merge_insert("id").when_matched_delete().conflict_retries(0).execute(ids)


def _add(collection: Collection, log: Log, piece: Piece) -> None:
    """One commit, so that the first row tells whether it was done before."""
    first = next(log.batches(piece, ["id"], rows=1), None)
    dataset = collection.dataset
    if first is None or dataset.count_rows(filter=f"id = {quoted(first.column(0)[0].as_py())}"):
        return
    if piece.fragments:
        fragments = [lance.fragment.FragmentMetadata.from_json(text) for text in piece.fragments]
        lance.LanceDataset.commit(dataset.uri, lance.LanceOperation.Append(fragments), read_version=dataset.version)
        return
    assert piece.rows_from is not None
    batches = (fitted(batch, dataset.schema) for batch in log.rows_of(piece.rows_from, rows=ROWS_AT_ONCE))
    reader = pa.RecordBatchReader.from_batches(dataset.schema, batches)
    lance.write_dataset(reader, dataset.uri, mode="append", schema=dataset.schema)


def fitted(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """Rows in the columns of ``schema``, null where they have no such column. Vectors of other weights than those of the column
    are left out."""
    there = [field for field in schema if field.name in batch.schema.names]
    others = [field.name for field in there if not same_weights(batch.schema.field(field.name), field)]
    return whole(batch.drop_columns(others), schema)


def same_weights(stored: pa.Field, now: pa.Field) -> bool:
    """Whether what a column of vectors held before may stand in it now; of any other column, yes."""
    if not now.name.startswith(EMBEDDING_PREFIX):
        return True
    before, after = facts_of_field(stored), facts_of_field(now)
    return stored.type == now.type and before.get("digest") == after.get("digest")


_STEPS: dict[str, Any] = {CELLS: _set_cells, REMOVED: _remove, ADDED: _add}


def finish_pending(collection: Collection) -> Entry | None:
    """Finish the change that an earlier process began, and sweep up what it left. Only with the collection's lock held."""
    log = Log(collection.path)
    pending = log.pending
    if pending is not None:
        carry_out(collection, pending)
    log.sweep()
    return pending


def is_pending(path: Path) -> bool:
    """Whether the collection in ``path`` has a change that was begun and not finished."""
    return (path / FOLDER / PENDING).exists()
