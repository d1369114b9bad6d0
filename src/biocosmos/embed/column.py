"""The vectors that an encoder's column gets: those that were there, those of a base encoder projected, and the new ones."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import lance
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from biocosmos.embed import run
from biocosmos.embed.parts import Part, Work
from biocosmos.embed.reader import Rows
from biocosmos.encoders.encoder import Encoder
from biocosmos.errors import BiocosmosError
from biocosmos.specimens.collection import Collection


class Column:
    """The column of ``encoder`` in one version of a collection's dataset.

    Attributes:
        name: of the column; base: the encoder whose stored vectors this one projects, if there is one.
        exists: whether there are vectors that are kept.
    """

    def __init__(self, collection: Collection, dataset: lance.LanceDataset, encoder: Encoder, *, overwrite: bool) -> None:
        self._dataset, self._encoder = dataset, encoder
        self.name = collection.embedding_column(encoder.name)
        self.exists = self.name in dataset.schema.names and not overwrite
        self.base = base_of(collection, encoder)
        self._base_column = None if self.base is None else collection.embedding_column(self.base)
        self.rows = dataset.count_rows()
        collection.check_vectors(*([encoder.name] if self.exists else []), *([] if self.base is None else [self.base]))

    @property
    def kept(self) -> int:
        """Rows that have a vector."""
        return int(self._dataset.count_rows(filter=f"`{self.name}` IS NOT NULL")) if self.exists else 0

    @property
    def _stored(self) -> list[str]:
        """The columns that vectors can be had from: the encoder's own, and its base's."""
        return [self.name] * self.exists + ([] if self._base_column is None else [self._base_column])

    def pending(self) -> Rows:
        """(n,) int64 positions of the rows whose image must be read, ascending. Images that failed before are tried again."""
        if not self._stored:
            return np.arange(self.rows, dtype=np.int64)
        lacking = " AND ".join(f"`{column}` IS NULL" for column in self._stored)
        missing = self._dataset.to_batches(columns=[], filter=lacking, with_row_id=True)
        absent = np.concatenate([np.empty(0, np.uint64), *(batch.column("_rowid").to_numpy() for batch in missing)])
        position, found = 0, [np.empty(0, np.int64)]
        for batch in self._dataset.to_batches(columns=[], with_row_id=True):
            row_ids = batch.column("_rowid").to_numpy()
            found.append(np.flatnonzero(np.isin(row_ids, absent)) + position)
            position += len(row_ids)
        return np.concatenate(found)

    def is_of(self, now: lance.LanceDataset, work: Work) -> bool:
        """Whether the specimens are still those of the column's version of the dataset, with the same images and vectors.

        Parts of images that changed are removed.
        """
        if now.version == self._dataset.version:
            return True
        if not _equal(self._dataset, now, ["id"]):
            return False
        if not _equal(self._dataset, now, ["content_hash", "crop"]):
            work.clear_parts()
            return False
        own = [name for name in self._stored if name in now.schema.names]
        return own == self._stored and all(
            self._dataset.count_rows(f"`{c}` IS NULL") == now.count_rows(f"`{c}` IS NULL") for c in own
        )

    def vectors(self, blocks: run.Blocks) -> Iterator[pa.FixedSizeListArray]:
        """The whole column in row order, old vectors and new, a part's worth at a time."""
        pending = blocks.pending
        if not self._stored:
            for block in range(-(-len(pending) // run.PART_ROWS)):
                whole = _part(blocks, block)
                yield _arrow(whole.vectors, whole.valid)
            return
        block, position = -1, 0
        part: Part | None = None
        for batch in self._dataset.to_batches(columns=self._stored, batch_size=run.PART_ROWS):
            vectors = np.zeros((batch.num_rows, self._encoder.dim), np.float32)
            valid = np.zeros(batch.num_rows, np.bool_)
            if self._base_column is not None:
                valid, found = _numpy(batch.column(self._base_column))
                vectors[valid] = self._encoder.project(found)
            if self.exists:
                here, found = _numpy(batch.column(self.name))
                vectors[here], valid = found, valid | here
            first, last = np.searchsorted(pending, (position, position + batch.num_rows))
            for i in range(first, last):
                if i // run.PART_ROWS != block:
                    block = i // run.PART_ROWS
                    part = _part(blocks, block)
                assert part is not None
                at = pending[i] - position
                vectors[at], valid[at] = part.vectors[i % run.PART_ROWS], part.valid[i % run.PART_ROWS]
            position += batch.num_rows
            yield _arrow(vectors, valid)


def _equal(one: lance.LanceDataset, other: lance.LanceDataset, columns: list[str]) -> bool:
    """Whether two versions hold the same in these columns, row by row."""
    if one.count_rows() != other.count_rows():
        return False
    # small against the vectors: 32 bytes of a hash and an id
    first, second = one.to_table(columns=columns), other.to_table(columns=columns)
    return all(first[name].combine_chunks().equals(second[name].combine_chunks()) for name in columns)


def base_of(collection: Collection, encoder: Encoder) -> str | None:
    """Whose column holds the vectors that the encoder projects: same weights and preprocessing, under whatever name."""
    if encoder.base is None:
        return None
    wanted = (encoder.base.digest, encoder.preprocessing.as_dict())
    have: dict[str, dict[str, Any]] = collection.encoders
    return next((name for name, facts in have.items() if (facts.get("digest"), facts.get("preprocessing")) == wanted), None)


def _part(blocks: run.Blocks, block: int) -> Part:
    part = blocks.load(block)
    if part is None:
        raise BiocosmosError(f"the part file of block {block} was damaged after it was written: embed again to make it anew")
    return part


def _numpy(column: pa.FixedSizeListArray) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.float32]]:
    """(rows,) bool where there is a vector, and the (n, dim) float32 vectors there are."""
    return np.array(column.is_valid()), column.drop_null().flatten().to_numpy().reshape(-1, column.type.list_size)


def _arrow(vectors: npt.NDArray[np.float32], valid: npt.NDArray[np.bool_]) -> pa.FixedSizeListArray:
    return pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), vectors.shape[1], mask=pa.array(~valid))
