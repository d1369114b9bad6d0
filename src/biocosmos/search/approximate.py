"""Approximate nearest neighbours over a Lance column, for collections larger than memory: the same search call as a Gallery.

Lance's own vector index proposes (inverted lists of 8-bit vectors by default); the proposed rows' stored vectors are then
scored as in the exact search, so scores and their order are exact and only a neighbour may be missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa
import torch

from biocosmos.errors import BiocosmosError, first_line
from biocosmos.search.conditions import within_condition
from biocosmos.search.gallery import Gallery
from biocosmos.search.hits import Hits
from biocosmos.search.vectors import as_matrix, unit_rows

if TYPE_CHECKING:
    import lance

    from biocosmos.taxonomy import Taxonomy

Kind = Literal["IVF_SQ", "IVF_PQ", "IVF_HNSW_SQ", "IVF_FLAT"]
QUERY_BLOCK = 256
ROWS_IN_LIST = 4096  # rows of one inverted list
LISTS = 16  # searched for each query, of about rows / 4096
REFINE = 4  # times k rows whose stored vectors Lance compares
ROW_ID, QUERY = "_rowid", "query_index"


class ApproximateIndex:
    """Neighbours by Lance's vector index on ``column`` of ``dataset`` (a fixed-size list of float32).

    taxonomy: of the dataset's rank columns, to search within a taxon; lists: inverted lists searched for each query, the knob
    between speed and recall; id_column: holds the ids.
    """

    def __init__(
        self,
        dataset: lance.LanceDataset,
        column: str,
        *,
        taxonomy: Taxonomy | None = None,
        lists: int = LISTS,
        id_column: str = "id",
    ) -> None:
        for name in (column, id_column):
            if name not in dataset.schema.names:
                raise BiocosmosError(f"no column {name!r} in {dataset.uri}: its columns are {', '.join(dataset.schema.names)}")
        self.dataset, self.column, self.taxonomy, self.lists, self.id_column = dataset, column, taxonomy, lists, id_column
        kind = dataset.schema.field(column).type
        if not pa.types.is_fixed_size_list(kind):
            raise BiocosmosError(f"column {column!r} holds {kind}, not vectors: name an embedding column")
        self.dim = int(kind.list_size)
        if not any(list(index.field_names) == [column] for index in dataset.describe_indices()):
            raise BiocosmosError(
                f"column {column!r} has no vector index: make one with ApproximateIndex.build, or search exactly"
            )

    @classmethod
    def build(
        cls,
        dataset: lance.LanceDataset,
        column: str,
        *,
        kind: Kind = "IVF_SQ",
        rows_in_list: int = ROWS_IN_LIST,
        taxonomy: Taxonomy | None = None,
        lists: int = LISTS,
        **options: Any,
    ) -> ApproximateIndex:
        """Train and store the index in the dataset (a new version of it), replacing an older one of the column.

        kind: "IVF_SQ" (8-bit), "IVF_PQ" (smallest), "IVF_HNSW_SQ" (slow to build) or "IVF_FLAT"; options go to
        ``LanceDataset.create_index``.
        """
        if column not in dataset.schema.names:
            raise BiocosmosError(f"no column {column!r} in {dataset.uri}: its columns are {', '.join(dataset.schema.names)}")
        if not dataset.count_rows():
            raise BiocosmosError(f"{dataset.uri} has no rows: add specimens before building an index")
        dataset.create_index(column, kind, metric="cosine", replace=True, target_partition_size=rows_in_list, **options)
        return cls(dataset, column, taxonomy=taxonomy, lists=lists)

    def search(
        self,
        queries: Any,
        k: int = 10,
        *,
        within: str | int | None = None,
        where: str | None = None,
        exclude: Sequence[Any] | np.ndarray[Any, Any] | None = None,
        exclude_self: bool = False,
    ) -> Hits:
        """About the ``k`` nearest rows of each query by cosine; the arguments are those of ``Gallery.search``, and ``where``,
        an SQL condition on the dataset's columns, takes the place of the mask. The gallery of the hits holds the found rows."""
        if isinstance(queries, Gallery):
            exclude = queries.ids if exclude_self and exclude is None else exclude
            queries = queries.vectors
        elif exclude_self:
            raise BiocosmosError("exclude_self needs the queries' ids: pass a Gallery, or the ids as exclude")
        if k < 1:
            raise BiocosmosError(f"k must be at least 1, not {k}")
        q = unit_rows(as_matrix(queries, what="queries").cpu(), what="query")
        if len(q) and q.shape[1] != self.dim:
            raise BiocosmosError(
                f"queries have {q.shape[1]} dims and column {self.column!r} {self.dim}: use one encoder for both"
            )
        barred: list[str | None] = [None] * len(q) if exclude is None else [None if i is None else str(i) for i in exclude]
        if len(barred) != len(q):
            raise BiocosmosError(f"{len(barred)} ids to exclude for {len(q)} queries: pass one for each query")
        condition = self._condition(within, where)
        parts = [
            self._propose(q[i : i + QUERY_BLOCK], i, k + (exclude is not None), condition) for i in range(0, len(q), QUERY_BLOCK)
        ]
        return self._rescore(q, k, parts, barred)

    def _condition(self, within: str | int | None, where: str | None) -> str | None:
        """The SQL filter of a taxon and a condition."""
        terms = [f"({where})"] if where else []
        if within is not None:
            if self.taxonomy is None:
                raise BiocosmosError(f"cannot search within {within!r}: pass the collection's taxonomy to ApproximateIndex")
            terms.append(within_condition(self.taxonomy, within) or "true")
        return " AND ".join(terms) or None

    def _propose(self, q: torch.Tensor, first: int, k: int, condition: str | None) -> pa.Table:
        nearest = {"column": self.column, "q": q.numpy(), "k": k, "nprobes": self.lists, "refine_factor": REFINE}
        if len(q) == 1:
            nearest["q"] = q[0].numpy()
        ranks = [] if self.taxonomy is None else list(self.taxonomy.ranks)
        try:
            found = self.dataset.to_table(
                columns=list(dict.fromkeys([self.id_column, self.column, *ranks])),
                nearest=nearest,
                filter=condition,
                prefilter=condition is not None,
                with_row_id=True,
                disable_scoring_autoprojection=True,
            )
        except (OSError, ValueError) as error:
            raise BiocosmosError(f"Lance could not search {self.column!r} where {condition}: {first_line(error)}") from error
        if QUERY in found.column_names:
            number = found.column(QUERY).to_numpy().astype(np.int64) + first
            found = found.drop_columns([QUERY])
        else:
            number = np.full(len(found), first)
        return found.append_column(QUERY, pa.array(number))

    def _rescore(self, q: torch.Tensor, k: int, parts: list[pa.Table], barred: list[str | None]) -> Hits:
        rows = np.full((len(q), k), -1, np.int64)
        scores = np.full((len(q), k), -np.inf, np.float32)
        complete = np.zeros(len(q), np.bool_)
        if not parts:
            return Hits(Gallery(np.empty(0, object), np.empty((0, self.dim), np.float32)), rows, scores, complete)
        found = pa.concat_tables(parts)
        _, first, at = np.unique(found.column(ROW_ID).to_numpy(), return_index=True, return_inverse=True)
        unique = found.take(pa.array(first))
        ids = np.array(unique.column(self.id_column).to_pylist(), dtype=object)
        values = unique.column(self.column).combine_chunks().flatten().to_numpy(zero_copy_only=False)
        vectors = torch.from_numpy(values.astype(np.float32).reshape(len(unique), self.dim))
        taxa = np.zeros(len(ids), np.int32) if self.taxonomy is None else np.asarray(self.taxonomy.index(unique), np.int32)
        order = np.argsort(taxa, kind="stable")
        place = np.empty_like(order)
        place[order] = np.arange(len(order))
        unit = unit_rows(vectors, what="gallery", names=ids).numpy()[order]
        gallery = Gallery(ids[order], unit, None if self.taxonomy is None else taxa[order], self.taxonomy)
        row, query = place[at], found.column(QUERY).to_numpy()
        exact = (q.numpy()[query].astype(np.float64) * unit[row]).sum(1).astype(np.float32)
        keep = np.array([gallery.ids[r] != barred[i] for r, i in zip(row, query)], np.bool_)
        row, query, exact = row[keep], query[keep], exact[keep]
        best = np.lexsort((row, -exact, query))
        row, query, exact = row[best], query[best], exact[best]
        rank = np.arange(len(query)) - np.searchsorted(query, query)
        top = rank < k
        rows[query[top], rank[top]], scores[query[top], rank[top]] = row[top], exact[top]
        return Hits(gallery, rows, scores, complete)
