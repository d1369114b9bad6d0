"""Embed what is written of specimens, their barcodes, names, places or files of sounds: one more column, resumable, in memory
that does not grow.

    stored columns -> strings -> encoder -> part files of fixed blocks of specimens -> one commit that adds the column

A part is known again by the ids and strings it was made of, so that a run that was killed goes on whatever was added meanwhile.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import lance
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from biocosmos.embed.parts import Work
from biocosmos.embed.summary import EmbedSummary
from biocosmos.progress import progress
from biocosmos.specimens.collection import Collection
from biocosmos.specimens.stored_vectors import stored_type

PART_ROWS = 4096
"""Specimens of a part file, where encoding takes no time to speak of."""
_DIGEST = b"of"


class Strings(Protocol):
    """What is written of specimens, and what is made of it.

    name: of the encoder; metadata: of its column; unit: what they are, for people; lacking: what a specimen without a string is
    without; how: what computes; columns: stored columns that a string is made of; part_rows: specimens of a part file, at most
    so many are encoded again after a kill; None for :data:`PART_ROWS`.
    """

    name: str
    metadata: dict[str, Any]
    unit: str
    lacking: str
    how: str
    columns: Sequence[str]
    part_rows: int | None

    def of(self, batch: pa.RecordBatch) -> pa.Array:
        """(n,) text of each specimen, null where there is none."""

    def encode(self, strings: list[str]) -> pa.Array:
        """A row of the column for each; null where nothing can be computed."""

    def reason(self, string: str) -> str:
        """Why a string that was encoded just now has no row."""


def embed_strings(collection: Collection, strings: Strings, work: Work, *, overwrite: bool) -> EmbedSummary | None:
    """With the work's lock held: encode what has no vector yet, and store the column; None if specimens changed."""
    dataset = collection.dataset  # one version of it, whatever is added meanwhile
    name = collection.embedding_column(strings.name)
    exists = name in dataset.schema.names and not overwrite
    summary = EmbedSummary(strings.name, name, unit=strings.unit, lacking=strings.lacking)
    summary.computed_with = f"{strings.how} on {strings.metadata['device']}"
    start = time.monotonic()
    blocks = _Blocks(dataset, name if exists else None, strings, work)
    computed = blocks.compute(summary)
    with collection.writing("embed"):
        if collection.dataset.version != dataset.version:
            return None
        collection.record_failures(summary.failures, whole=False)  # what fails again is one row, not two
        if summary.images or not exists:
            collection.add_vectors(strings.name, strings.metadata, blocks.column())
    summary.seconds = time.monotonic() - start
    summary.images_per_second = computed / max(summary.seconds, 1e-9)
    work.clear()
    return summary


class _Block(NamedTuple):
    """rows: id and what is written and stored of specimens; kept: how many have something stored; wanted: which are encoded, for
    something is written and nothing stored; ids, said: theirs."""

    number: int
    rows: pa.RecordBatch
    kept: int
    wanted: pa.BooleanArray
    ids: pa.Array
    said: pa.Array

    def digest(self) -> bytes:
        """What tells the specimens and strings to encode from others."""
        found = hashlib.sha256()
        for values in (self.ids, self.said):
            for value in values.to_pylist():
                found.update(f"{len(value)}:{value}".encode())
        return found.hexdigest().encode()


class _Blocks:
    """The specimens of one version of a dataset, in blocks of ``part_rows`` in the order stored."""

    def __init__(self, dataset: lance.LanceDataset, column: str | None, strings: Strings, work: Work) -> None:
        self._dataset, self._column, self._strings, self._work = dataset, column, strings, work
        self._type = stored_type(strings.metadata)

    def compute(self, summary: EmbedSummary) -> int:
        """Make the part file of every block in which something is missing; returns how many strings were encoded."""
        computed = 0
        with progress(f"embed with {self._strings.name}", total=self._dataset.count_rows(), unit="specimens") as bar:
            for block in self._read():
                count = len(block.said)
                summary.kept += block.kept
                summary.without_image += block.rows.num_rows - count - block.kept
                if count:
                    part = self._load(block)
                    if part is None:
                        part = self._encode(block)
                        self._save(block, part)
                        computed += count
                    else:
                        summary.resumed += count - part.column("part").null_count
                    failed = part.column("part").null_count
                    summary.images += count - failed
                    summary.failed += failed
                    nothing = pc.is_null(part.column("part"))
                    whys = part.column("why").filter(nothing).to_pylist()
                    for id_, why in zip(block.ids.filter(nothing).to_pylist(), whys):
                        summary.failures.add(why, stage="embed", id=id_)
                bar.advance(block.rows.num_rows)
        return computed

    def column(self) -> Iterator[pa.Array]:
        """The whole column in row order, old and new."""
        for block in self._read():
            size = block.rows.num_rows
            old = pa.nulls(size, self._type) if self._column is None else block.rows.column(self._column)
            if not len(block.said):
                yield old
                continue
            part = self._load(block) or self._encode(block)  # a part may be damaged since it was written
            wanted = block.wanted.to_numpy(zero_copy_only=False)
            rows = np.where(wanted, np.cumsum(wanted) - 1 + size, np.arange(size))
            yield pa.concat_arrays([old.cast(self._type), part.column("part")]).take(pa.array(rows))

    def _read(self) -> Iterator[_Block]:
        size = self._strings.part_rows or PART_ROWS
        columns = ["id", *self._strings.columns, *([] if self._column is None else [self._column])]
        columns = [name for name in columns if name in self._dataset.schema.names]
        table = None
        number = 0
        for batch in self._dataset.to_batches(columns=columns, batch_size=size):
            table = pa.Table.from_batches([batch]) if table is None else pa.concat_tables([table, pa.Table.from_batches([batch])])
            while len(table) >= size:
                yield self._block(number, table.slice(0, size))
                table, number = table.slice(size), number + 1
        if table is not None and len(table):
            yield self._block(number, table)

    def _block(self, number: int, table: pa.Table) -> _Block:
        for name in self._strings.columns:
            if name not in table.column_names:
                table = table.append_column(name, pa.nulls(len(table), pa.string()))
        batch = table.combine_chunks().to_batches()[0]
        there = pa.array(np.zeros(len(table), np.bool_)) if self._column is None else pc.is_valid(batch.column(self._column))
        said = self._strings.of(batch)
        wanted = pc.and_(pc.invert(there), pc.is_valid(said))
        return _Block(number, batch, pc.sum(there).as_py() or 0, wanted, batch.column("id").filter(wanted), said.filter(wanted))

    def _encode(self, block: _Block) -> pa.RecordBatch:
        """One row of the column for each string, ``part``, and ``why`` where it is null."""
        strings = block.said.to_pylist()
        part = self._strings.encode(strings).cast(self._type)
        valid = part.is_valid().to_pylist()
        why = [None if there else self._strings.reason(string) for string, there in zip(strings, valid)]
        return pa.RecordBatch.from_arrays([part, pa.array(why, pa.string())], ["part", "why"])

    def _load(self, block: _Block) -> pa.RecordBatch | None:
        """What a part file holds, if it is whole and was made of these strings."""
        path = self._work.part(block.number)
        try:
            with pa.ipc.open_file(path.open("rb")) as reader:
                if (reader.schema.metadata or {}).get(_DIGEST) != block.digest():
                    return None
                (part,) = reader.read_all().combine_chunks().select(["part", "why"]).to_batches()
                return part
        except (OSError, ValueError, KeyError, pa.ArrowException):
            return None

    def _save(self, block: _Block, part: pa.RecordBatch) -> None:
        """Whole or not at all, on the disk and not only on its way there."""
        table = pa.Table.from_batches([part]).replace_schema_metadata({_DIGEST: block.digest()})
        path = self._work.part(block.number)
        temporary: Path = path.with_suffix(".tmp")
        with temporary.open("wb") as file:
            with pa.ipc.new_file(file, table.schema) as writer:
                writer.write_table(table)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)


def rows_of(vectors: np.ndarray[Any, np.dtype[np.float32]]) -> pa.Array:
    """(n, dim) float32 as a column; a row of zeros is null."""
    flat = pa.array(np.ascontiguousarray(vectors, np.float32).reshape(-1))
    return pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1], mask=pa.array(~vectors.any(axis=1)))
