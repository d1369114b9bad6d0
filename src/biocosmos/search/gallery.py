"""A gallery: labelled unit vectors in taxonomy order, and the search over them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from biocosmos.barcodes.kmers import KmerCounts
from biocosmos.errors import BiocosmosError
from biocosmos.search.exact import ExactIndex, Found
from biocosmos.search.hits import Hits
from biocosmos.search.sparse.index import SparseIndex
from biocosmos.search.vectors import as_matrix, unit_rows

if TYPE_CHECKING:
    from biocosmos.taxonomy import Taxonomy

Array = np.ndarray[Any, np.dtype[Any]]
MOST_DENSE = 4 << 30
"""Bytes of vectors that are made of counts at the most: 65,000 barcodes in the 16,384 numbers of k = 7."""


@dataclass(eq=False)
class Gallery:
    """Unit vectors with their ids and taxa, sorted in depth-first taxonomy order so that every taxon is one slice.

    ids: (n,) object array of str; vectors: (n, d) float32 unit rows, C-contiguous, never copied; taxa: (n,) int32 node ids of
    ``taxonomy``, ascending, or None; columns: one row per vector (label, group, ...), or None; provenance: encoder and so on.
    counts: of barcodes, the same rows as counts of k-mers, or None; they are searched as they are, and ``vectors`` are made of
    them when somebody asks. Use :meth:`build`, which checks, normalises and sorts.
    """

    ids: Array
    vectors: Array
    taxa: Array | None = None
    taxonomy: Taxonomy | None = None
    provenance: dict[str, Any] = field(default_factory=dict)
    columns: pa.Table | None = None
    counts: KmerCounts | None = None

    def __post_init__(self) -> None:
        self.ids = _id_array(self.ids)
        if self.counts is not None:
            del self.vectors  # until they are asked for
        else:
            self.vectors = np.ascontiguousarray(self.vectors, dtype=np.float32)
            if self.vectors.ndim != 2:
                raise BiocosmosError(f"a gallery's vectors must be a matrix (rows, dim), but their shape is {self.vectors.shape}")
        rows = len(self.vectors if self.counts is None else self.counts)
        if self.taxa is not None:
            self.taxa = np.ascontiguousarray(self.taxa, dtype=np.int32)
            if len(self.taxa) > 1 and bool((self.taxa[1:] < self.taxa[:-1]).any()):
                raise BiocosmosError("a gallery's taxa must ascend, in depth-first order: make it with Gallery.build")
        for name, part in (("ids", self.ids), ("taxa", self.taxa), ("columns", self.columns)):
            if part is not None and len(part) != rows:
                raise BiocosmosError(f"a gallery of {rows} vectors cannot have {len(part)} {name}: one for each row")
        self._indexes: dict[tuple[str, str], ExactIndex | SparseIndex] = {}

    def __getattr__(self, name: str) -> Any:
        """``vectors``, where they are not there yet: dense rows of the counts. Raises BiocosmosError where they are too many."""
        if name != "vectors" or self.__dict__.get("counts") is None:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        counts: KmerCounts = self.__dict__["counts"]
        size = 4 * len(counts) * counts.dim
        if size > MOST_DENSE:
            raise BiocosmosError(
                f"{len(counts):,} barcodes as dense vectors of {counts.dim:,} numbers are {size / 2**30:.0f} GB: select fewer, "
                "or embed with kmer:5 or a trained barcode model"
            )
        self.vectors = counts.dense()
        return self.vectors

    @classmethod
    def build(
        cls,
        ids: Sequence[Any] | Array | pa.Array,
        vectors: Any,
        *,
        table: Any = None,
        taxa: Any = None,
        taxonomy: Taxonomy | None = None,
        provenance: Mapping[str, Any] | None = None,
        columns: pa.Table | None = None,
        bare: bool = False,
    ) -> Gallery:
        """A gallery of ``vectors`` (n, d) of any float type, or of counts of k-mers, in any order.

        Rows get their taxon from ``taxa`` (n,) node ids, or from the rank columns of ``table``; without ``taxonomy`` one is
        made from ``table``. bare: rows of zeros are no mistake, but specimens without a vector. Rows are sorted stably by taxon,
        unlabelled ones (taxon 0) first; without taxa they keep their order.
        Raises BiocosmosError naming the ids whose vectors are zero or not finite.
        """
        names = _id_array(ids)
        counts = vectors if isinstance(vectors, KmerCounts) else None
        x = as_matrix(vectors, what="gallery") if counts is None else None
        if len(names) != len(vectors):
            raise BiocosmosError(f"{len(names)} ids for {len(vectors)} vectors: pass one id for each vector")
        if counts is not None and len(bad := names[counts.empty]):
            raise BiocosmosError(f"{len(bad)} of {len(names)} barcodes have no k-mer of A, C, G, T (id {bad[0]}): leave them out")
        x = None if x is None else _unit(x, names, bare)
        if taxa is None and table is not None:
            if taxonomy is None:
                from biocosmos.taxonomy import Taxonomy as Tree

                taxonomy = Tree.from_table(table)
            taxa = taxonomy.index(table)
        matrix = None if x is None else x.cpu().numpy()
        if taxa is not None:
            taxa = np.asarray(taxa, dtype=np.int32)
            if len(taxa) == len(names) and bool((taxa[1:] < taxa[:-1]).any()):
                order = np.argsort(taxa, kind="stable")
                names, taxa = names[order], taxa[order]
                matrix, counts = None if matrix is None else matrix[order], None if counts is None else counts.take(order)
                columns = None if columns is None else columns.take(pa.array(order))
        return cls(names, matrix, taxa, taxonomy, dict(provenance or {}), columns, counts)  # type: ignore[arg-type]

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        taxa = "no taxa" if self.taxa is None else f"{len(np.unique(self.taxa[self.taxa > 0])):,} taxa"
        encoder = self.provenance.get("encoder")
        by = f" by {encoder}" if isinstance(encoder, str) else ""
        return f"<Gallery: {len(self):,} vectors of {self.dim:,} numbers{by}, {taxa}>"

    @property
    def labels(self) -> Array:
        """(n,) object array, the name of each row's taxon, at whatever rank that is; None without one."""
        out = np.full(len(self), None, object)
        if self.taxa is not None and self.taxonomy is not None:
            known = self.taxa > 0
            out[known] = self.taxonomy.names[self.taxa[known]]
        return out

    @property
    def dim(self) -> int:
        """Number of dimensions of the vectors."""
        return int(self.vectors.shape[1]) if self.counts is None else self.counts.dim

    def slice(self, taxon: str | int) -> slice:
        """The rows of ``taxon`` (a name the taxonomy finds, or a node id) and everything below it: one contiguous slice."""
        if self.taxa is None or self.taxonomy is None:
            raise BiocosmosError(f"cannot search within {taxon!r}: this gallery has no taxonomy; build it with rank columns")
        node = self.taxonomy.find(taxon) if isinstance(taxon, str) else int(taxon)
        if not 0 <= node < len(self.taxonomy):
            raise BiocosmosError(f"there is no taxon {taxon}: the taxonomy has nodes 0 to {len(self.taxonomy) - 1}")
        start, stop = np.searchsorted(self.taxa, [node, int(self.taxonomy.end[node])])
        return slice(int(start), int(stop))

    def subset(self, rows: Any) -> Gallery:
        """The gallery of some ``rows``: a slice, a boolean mask (n,) or row numbers, which are put in ascending order."""
        if not isinstance(rows, slice):
            rows = np.asarray(rows)
            rows = self._mask(rows) if rows.dtype == np.bool_ else np.sort(rows.astype(np.int64))
        columns = self.columns
        if columns is not None:
            columns = columns.take(pa.array(np.arange(len(self))[rows]))
        taxa = None if self.taxa is None else self.taxa[rows]
        counts = None if self.counts is None else self.counts.take(rows)
        vectors = self.vectors[rows] if counts is None else np.empty((0, 0), np.float32)
        return Gallery(self.ids[rows], vectors, taxa, self.taxonomy, dict(self.provenance), columns, counts)

    def search(
        self,
        queries: Any,
        k: int = 10,
        *,
        within: str | int | None = None,
        mask: Any = None,
        exclude: Sequence[Any] | Array | None = None,
        exclude_self: bool = False,
        fold: bool = False,
        precision: str = "auto",
        device: str | None = None,
    ) -> Hits:
        """The ``k`` nearest rows of each query by cosine, exactly; equal scores in row order.

        queries: (q, d) array or tensor of any float type, a Gallery, or counts of k-mers; within: a taxon, whose rows alone are
        searched; mask: (n,) bool, True where a row may be returned; exclude: (q,) one id for each query that is never returned
        to it, None for none; exclude_self: exclude the ids of the query Gallery; fold: of rows with the same k-mers the first
        alone, so that duplicates do not use up the hits.
        Raises BiocosmosError for zero or non-finite queries, another dimension, an unknown taxon, and for fold without counts.
        """
        if isinstance(queries, Gallery):
            if exclude_self and exclude is None:
                exclude = queries.ids
            queries = queries.vectors if self.counts is None or queries.counts is None else queries.counts
        elif exclude_self:
            raise BiocosmosError("exclude_self needs the queries' ids: pass a Gallery, or the ids as exclude")
        if self.counts is None and isinstance(queries, KmerCounts):
            queries = queries.dense()
        part = slice(0, len(self)) if within is None else self.slice(within)
        allowed = None if mask is None else self._mask(mask)
        index: Any = self.index(precision=precision, device=device)
        if self.counts is not None and not isinstance(queries, KmerCounts):
            index = self.index(precision=precision, device=device, dense=True)
        barred = None if exclude is None else self._rows_of(exclude)
        extra = 0 if barred is None else barred.shape[1]
        if fold and not isinstance(index, SparseIndex):
            raise BiocosmosError("only counts of k-mers are folded: search with an encoder such as kmer:7, or without fold")
        more: dict[str, Any] = {"fold": True} if fold else {}
        found = index.search(queries, k + extra, start=part.start, stop=part.stop, mask=allowed, **more)
        if barred is not None:
            if len(barred) != len(found.rows):
                raise BiocosmosError(f"{len(barred)} ids to exclude for {len(found.rows)} queries: pass one for each query")
            if fold:
                found = index.instead(found, barred, start=part.start, stop=part.stop, mask=allowed)
            found = _without(found, barred, k)
        return Hits(self, found.rows, found.scores, found.certified, {**self.provenance, "search": index.provenance})

    def index(self, *, precision: str = "auto", device: str | None = None, dense: bool = False) -> ExactIndex | SparseIndex:
        """The search index of this gallery, made at the first search and kept; dense: of vectors, also where there are counts."""
        sparse = self.counts is not None and not dense
        key = ("sparse", "cpu") if sparse else (precision, str(device))
        if key not in self._indexes:
            if sparse:
                assert self.counts is not None
                self._indexes[key] = SparseIndex(self.counts)
            else:
                self._indexes[key] = ExactIndex(self.vectors, precision=precision, device=device)
        return self._indexes[key]

    def _mask(self, mask: Any) -> Array:
        allowed: Array = np.asarray(mask)
        if allowed.shape != (len(self),) or allowed.dtype != np.bool_:
            raise BiocosmosError(f"a mask over {len(self)} rows must be that many booleans, not {allowed.dtype} {allowed.shape}")
        return allowed

    def _rows_of(self, ids: Sequence[Any] | Array) -> Array:
        """(q, e) int64 rows that carry each id, -1 where there are no more; e is the most rows any id has."""
        wanted = pa.array([None if i is None else str(i) for i in ids], pa.string())
        first = pc.index_in(wanted, value_set=self._arrow_ids, skip_nulls=True)
        rows: Array = first.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)[:, None]
        if self._ids_unique:
            return rows
        where: dict[str, list[int]] = {}
        for row, name in enumerate(self.ids.tolist()):
            where.setdefault(name, []).append(row)
        lists = [where.get(i, []) for i in wanted.to_pylist()]
        out = np.full((len(lists), max([1, *map(len, lists)])), -1, np.int64)
        for i, found in enumerate(lists):
            out[i, : len(found)] = found
        return out

    @cached_property
    def _arrow_ids(self) -> pa.Array:
        return pa.array(self.ids.tolist(), pa.string())

    @cached_property
    def _ids_unique(self) -> bool:
        return bool(pc.count_distinct(self._arrow_ids).as_py() == len(self))


def _unit(x: Any, names: Array, bare: bool) -> Any:
    if not bare:
        return unit_rows(x, what="gallery", names=names)
    there = x.abs().sum(dim=1) > 0
    x = x.clone()
    if bool(there.any()):
        x[there] = unit_rows(x[there], what="gallery", names=names[there.cpu().numpy()])
    return x


def _id_array(ids: Any) -> Array:
    if isinstance(ids, (pa.Array, pa.ChunkedArray)):
        ids = ids.to_pylist()
    names = np.empty(len(ids), dtype=object)
    names[:] = [str(i) for i in ids]
    return names


def _without(found: Found, barred: Array, k: int) -> Found:
    """Drop each query's barred rows and close the gaps; of k + e found rows at least k stay where there are that many."""
    drop = (found.rows[:, :, None] == barred[:, None, :]).any(2) & (found.rows >= 0)
    order = np.argsort(drop, axis=1, kind="stable")
    rows = np.take_along_axis(np.where(drop, -1, found.rows), order, 1)[:, :k]
    scores = np.take_along_axis(np.where(drop, np.float32(-np.inf), found.scores), order, 1)[:, :k]
    return Found(rows, scores, found.certified)
