"""An embedding of a collection that stays searchable in little memory: compact copies resident, exact rows in a file."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lance
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import torch

from biocosmos.barcodes.kmers import KmerCounts
from biocosmos.errors import BiocosmosError
from biocosmos.search.exact import PREPARE_ROWS, ExactIndex, Found
from biocosmos.search.kernel.plan import kernel_here
from biocosmos.search.row_file import CAN_BE, RowFile
from biocosmos.search.sparse.index import SparseIndex
from biocosmos.search.vectors import as_matrix, unit_rows
from biocosmos.specimens.damage import reading
from biocosmos.specimens.resident_barcodes import ResidentBarcodes
from biocosmos.specimens.stored_vectors import holds_kmers, read_stored

if TYPE_CHECKING:
    from biocosmos.specimens.collection import Collection

IN_MEMORY_BYTES = 128 << 20
"""Vectors of more bytes lie in a file while their 8-bit copies are searched."""
FOLDER = "galleries"
"""Of a collection, in which such a file is; it has no name there."""
LITTLE: dict[str, Any] = {"batch_size": 4096, "batch_readahead": 2, "fragment_readahead": 1, "io_buffer_size": 64 << 20}
"""How the store is read beside everything else that is in memory: it would read gigabytes ahead."""

Float32 = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class ResidentGallery:
    """The specimens of a collection that have a vector of ``encoder``, ready to be searched one query at a time.

    Rows are in depth-first taxonomy order, as in :meth:`Collection.gallery`, so that equal scores stand in the same order.

    Attributes:
        ids: (n,) of the specimens. facts: what made the vectors. stored: what tells these vectors from changed ones.
        index: the search over them.
    """

    encoder: str
    ids: pa.StringArray
    facts: dict[str, Any]
    stored: str
    index: ExactIndex

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def dim(self) -> int:
        """Length of the vectors."""
        return int(self.facts["dim"])

    @property
    def numbers(self) -> int:
        """Of all vectors together."""
        return len(self) * self.dim

    @staticmethod
    def together(queries: Sequence[Any]) -> Float32:
        """(q, dim) of q queries (dim,) or (1, dim)."""
        return np.stack([query.reshape(-1) for query in queries])

    def vectors(self, rows: Sequence[int] | npt.NDArray[np.int64]) -> Float32:
        """(k, dim) float32 unit vectors of rows."""
        asked: Float32 = self.index.vectors[torch.as_tensor(np.asarray(rows, np.int64))].numpy()
        return asked

    def search(
        self, queries: Float32, k: int, *, mask: Mask | None = None, exclude: npt.NDArray[np.int64] | None = None
    ) -> Found:
        """The ``k`` nearest rows of each query (q, dim) where ``mask`` (n,) is True, exactly; exclude: (q,) a row that is not
        returned, -1 for none."""
        start, stop = 0, len(self)
        if mask is not None:
            allowed = np.flatnonzero(mask)
            start, stop = (int(allowed[0]), int(allowed[-1]) + 1) if len(allowed) else (0, 0)
            mask = None if len(allowed) == stop - start else mask
        rows = np.full((len(queries), k), -1, np.int64)
        scores = np.full((len(queries), k), -np.inf, np.float32)
        certified = np.ones(len(queries), np.bool_)
        for i, query in enumerate(queries):  # one at a time: many together would need a second compact copy
            barred = -1 if exclude is None else int(exclude[i])
            found = self.index.search(query[None], k + (barred >= 0), start=start, stop=stop, mask=mask)
            kept = np.flatnonzero((found.rows[0] != barred) & (found.rows[0] >= 0))[:k]
            rows[i, : len(kept)], scores[i, : len(kept)] = found.rows[0, kept], found.scores[0, kept]
            certified[i] = found.certified[0]
        return Found(rows, scores, certified)

    def likeness(self, query: Float32, exact: int) -> Float32:
        """(n,) float32 cosines of all rows with a query (dim,) or (1, dim): exact for the ``exact`` nearest, and after 8-bit
        rounding for the others, which never stand before those."""
        query = query.reshape(-1)
        estimates = self.index.estimates(query)
        found = self.index.search(query[None], min(exact, len(self)))
        scores: Float32 = np.minimum(estimates, found.scores[0, -1])
        scores[found.rows[0]] = found.scores[0]
        return scores

    def close(self) -> None:
        """Let go of the file, if there is one."""
        if isinstance(self.index.vectors, RowFile):
            self.index.vectors.close()


Resident = ResidentGallery | ResidentBarcodes
"""Both are asked alike; a query is what ``vectors`` gives of a row."""


def stored_vectors(collection: Collection, encoder: str) -> str:
    """What changes when vectors of an embedding are added, removed or replaced, and not when labels are corrected."""
    return _stored(collection.dataset, collection.embedding_column(encoder))


def _stored(dataset: lance.LanceDataset, column: str) -> str:
    """The files of the column in every fragment, and what of them is deleted."""
    field = next(field.id() for field in dataset.lance_schema.fields() if field.name() == column)
    parts = []
    for fragment in dataset.get_fragments():
        facts = fragment.metadata
        files = [file.path for file in facts.files if field in file.fields]
        parts.append(f"{fragment.fragment_id}:{','.join(files)}:{facts.deletion_file}")
    return ";".join(parts)


def resident_gallery(
    collection: Collection,
    encoder: str,
    *,
    in_memory: int = IN_MEMORY_BYTES,
    before: Callable[[], None] = lambda: None,
) -> Resident:
    """Read an embedding and make its compact copies: some seconds for a hundred thousand specimens.

    Vectors of more than ``in_memory`` bytes go into a file without a name in the collection's folder (or, where it may not be
    written to, that of temporary files). before: is called between pieces of the work, and may raise to end it. Raises
    BiocosmosError where there is no such embedding or none has a vector.
    """
    encoder = collection.encoder_name(encoder)
    column, facts = collection.embedding_column(encoder), collection.encoders[encoder]
    collection.check_vectors(encoder)
    dataset = collection.dataset  # this version of it, whatever is added meanwhile
    before()
    ids, place = _in_order(collection, dataset, column, before)
    if not len(ids):
        raise BiocosmosError(f"no specimen of {collection.path} has a vector of '{encoder}': run 'biocosmos embed'")
    if holds_kmers(facts):
        return _barcodes(collection, dataset, encoder, ids, place, before)
    n, dim = len(ids), int(facts["dim"])
    rows = _row_file(collection.path, n, dim, before) if 4 * n * dim > in_memory and CAN_BE else None
    memory = np.empty((0 if rows is not None else n, dim), np.float32)
    at = 0
    with reading(collection.path):
        for batch in dataset.to_batches(columns=[column], **LITTLE):
            before()
            stored = batch.column(column)
            there = stored.filter(pc.is_valid(stored)).flatten().to_numpy().reshape(-1, dim)
            wanted = place[at : at + len(there)]
            vectors = unit_rows(as_matrix(there, what="gallery"), what="gallery").numpy()
            at += len(there)
            if rows is not None:
                rows.put(wanted, vectors)
            else:
                memory[wanted] = vectors
    # the smallest copy, whatever is fastest: it is what lies in memory
    precision = "int4" if rows is not None and kernel_here() is not None else "auto"
    index = ExactIndex(memory if rows is None else rows, precision=precision)
    if n >= PREPARE_ROWS:
        index.prepare("one")
    _give_back()
    return ResidentGallery(encoder, ids, facts, _stored(dataset, column), index)


def _barcodes(
    collection: Collection,
    dataset: lance.LanceDataset,
    encoder: str,
    ids: pa.StringArray,
    place: npt.NDArray[np.int64],
    before: Callable[[], None],
) -> ResidentBarcodes:
    column, facts, parts = collection.embedding_column(encoder), collection.encoders[encoder], list[KmerCounts]()
    with reading(collection.path):
        for batch in dataset.to_batches(columns=[column], **LITTLE):
            before()
            found = read_stored(batch.column(column), facts)
            assert isinstance(found, KmerCounts)
            parts.append(found)
    counts = KmerCounts.concatenate(parts).take(np.argsort(place))
    before()
    index = SparseIndex(counts)
    _give_back()
    return ResidentBarcodes(encoder, ids, facts, _stored(dataset, column), counts, index)


def _in_order(
    collection: Collection, dataset: lance.LanceDataset, column: str, before: Callable[[], None]
) -> tuple[pa.StringArray, npt.NDArray[np.int64]]:
    """Ids of the specimens with a vector in taxonomy order, and the row that each of them gets, in the order stored."""
    ranks = list(collection.ranks)
    taxonomy = collection.taxonomy if ranks else None
    ids, nodes = [pa.array([], pa.string())], [np.empty(0, np.int32)]
    with reading(collection.path):
        for batch in dataset.to_batches(columns=["id", *ranks], filter=f"`{column}` IS NOT NULL", **LITTLE):
            before()
            ids.append(batch.column("id").cast(pa.string()))
            nodes.append(np.zeros(batch.num_rows, np.int32) if taxonomy is None else taxonomy.index(batch))
    order = np.argsort(np.concatenate(nodes), kind="stable")
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    return pa.concat_arrays(ids).take(pa.array(order)), place


def _give_back() -> None:
    """Let the system have what was used on the way: the allocators of Arrow and of the C library (glibc) keep it for later."""
    pa.default_memory_pool().release_unused()
    with suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)


def _row_file(path: Path, n: int, dim: int, before: Callable[[], None]) -> RowFile | None:
    """In the collection's folder, or among temporary files; None where neither has room."""
    folder = path / FOLDER
    with suppress(OSError):
        folder.mkdir(exist_ok=True)
        return RowFile(n, dim, folder, before)
    with suppress(OSError):
        return RowFile(n, dim, None, before)
    return None
