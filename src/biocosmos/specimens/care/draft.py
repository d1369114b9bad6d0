"""A change while it is made: its pieces are written first, then what is meant, then the collection."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from biocosmos.specimens.care.apply import ROWS_AT_ONCE, carry_out
from biocosmos.specimens.care.cells import columns_of
from biocosmos.specimens.care.entry import ADDED, CELLS, REMOVED, Entry, Piece, who
from biocosmos.specimens.care.log import Log, piece_file
from biocosmos.specimens.positions import Positions, positions_of
from biocosmos.tables import replacing
from biocosmos.unfinished import ScratchFolder

if TYPE_CHECKING:
    from biocosmos.specimens.collection import Collection


class Draft:
    """A change of ``collection`` by ``verb``. Only with the collection's lock held, from the first look at it on.

    aside: the pieces are only looked at: they are written to a temporary folder, which goes with ``self.aside``.
    """

    def __init__(self, collection: Collection, verb: str, *, by: str | None = None, aside: bool = False, **facts: Any) -> None:
        self.collection = collection
        self.log = Log(collection.path)
        self.number = self.log.next_number()
        self.aside = ScratchFolder() if aside else None
        self.folder = self.log.folder if self.aside is None else self.aside.path
        self._facts: dict[str, Any] = {"verb": verb, "by": who(by), **facts}

    def cells(self, name: str, batches: Iterable[pa.RecordBatch]) -> Piece | None:
        """Values that change: ``id``, ``old/NAME`` and ``new/NAME``. Without a row nothing is written."""
        piece = self._piece(CELLS, name, batches)
        return None if piece is None else replace(piece, columns=tuple(columns_of(pq.read_schema(self.folder / piece.file))))

    def removed(self, ids: Sequence[str] | pa.Array) -> Piece | None:
        """Specimens that go; all they are is kept in the piece, their images and vectors too."""
        dataset = self.collection.dataset
        places = positions_of(dataset, ids)
        return self._piece(REMOVED, "removed", rows_at(dataset, places[places >= 0]))

    def added(self, ids: Iterable[pa.Array], *, rows_from: str | None = None, fragments: Sequence[str] = ()) -> Piece | None:
        """Specimens that come, from rows that lie in the history already or from what Lance has written."""
        schema = pa.schema([("id", pa.string())])
        batches = (pa.RecordBatch.from_arrays([part], schema=schema) for part in ids)
        return self._piece(ADDED, "added", batches, rows_from=rows_from, fragments=tuple(fragments))

    def _piece(self, kind: str, name: str, batches: Iterable[pa.RecordBatch], **more: Any) -> Piece | None:
        found = iter(batches)
        first = next((batch for batch in found if batch.num_rows), None)
        if first is None:
            return None
        path, rows = self.folder / piece_file(self.number, name), 0
        with (
            replacing(path) as temporary,
            pq.ParquetWriter(temporary, first.schema, compression="zstd", write_page_checksum=True) as writer,
        ):
            for batch in _chain(first, found):
                writer.write_batch(batch)
                rows += batch.num_rows
        return Piece(kind, path.name, rows, **more)

    def carry_out(self, pieces: Iterable[Piece | None], *, counts: Mapping[str, int], **facts: Any) -> Entry:
        """Do it, piece by piece. From here on it is done, now or by whoever opens the collection next."""
        there = tuple(piece for piece in pieces if piece is not None)
        entry = Entry(self.number, counts=dict(counts), pieces=there, **self._facts, **facts)
        self.collection.interrupted = None  # from now on another change is the last one
        self.log.intend(entry)
        carry_out(self.collection, entry, first=True)
        return entry


def rows_at(dataset: Any, places: Positions, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
    """Rows in the order of ``places``, a few at a time, whole or of some columns, with the metadata of these."""
    names = dataset.schema.names if columns is None else list(columns)
    schema = pa.schema([dataset.schema.field(name) for name in names])
    for start in range(0, len(places), ROWS_AT_ONCE):
        part = dataset.take(places[start : start + ROWS_AT_ONCE].tolist(), columns=names).combine_chunks().to_batches()
        yield from (pa.RecordBatch.from_arrays(batch.columns, schema=schema) for batch in part)


def _chain(first: pa.RecordBatch, rest: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    yield first
    yield from (batch for batch in rest if batch.num_rows)
