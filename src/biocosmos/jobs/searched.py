"""What is searched: the vectors of an embedding read whole, or Lance's index of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from biocosmos.barcodes.kmers import KmerCounts
from biocosmos.errors import BiocosmosError
from biocosmos.jobs.settings import SearchSettings
from biocosmos.search.approximate import ApproximateIndex
from biocosmos.search.hits import Hits
from biocosmos.specimens.collection import Collection
from biocosmos.specimens.stored_vectors import holds_kmers

Searcher = Callable[[Any, Sequence[str] | None], Hits]
"""(queries, an id for each that it must not find) -> the ``k`` nearest of each."""


def searcher(collection: Collection, encoder: str, settings: SearchSettings) -> Searcher | None:
    """The search among the specimens that ``settings`` selects; None where none of them has a vector.

    Raises BiocosmosError for an approximate search of k-mers, or in a part of a split.
    """
    if not settings.approximate:
        gallery = collection.gallery(encoder, columns=(), **settings.selected())
        return (lambda queries, exclude: gallery.search(queries, settings.k, exclude=exclude)) if len(gallery) else None
    if settings.split is not None:
        raise BiocosmosError("an approximate search cannot be limited to a part of a split: use --where, or search exactly")
    if holds_kmers(collection.encoders[encoder]):
        raise BiocosmosError(f"'{encoder}' counts k-mers, which are searched exactly: leave --approximate out")
    index = approximate_index(collection, encoder)
    chosen = settings.selected()["where"]
    where = None if chosen is None else collection.condition(chosen)[0]

    def search(queries: Any, exclude: Sequence[str] | None) -> Hits:
        queries = queries.dense() if isinstance(queries, KmerCounts) else queries
        return index.search(queries, settings.k, within=settings.within, where=where, exclude=exclude)

    return search


def approximate_index(collection: Collection, encoder: str) -> ApproximateIndex:
    """The vector index of an embedding, made now if it is not there: minutes for millions of specimens, once."""
    column = collection.embedding_column(encoder)
    if any(list(index.field_names) == [column] for index in collection.dataset.describe_indices()):
        return ApproximateIndex(collection.dataset, column, taxonomy=collection.taxonomy)
    return ApproximateIndex.build(collection.dataset, column, taxonomy=collection.taxonomy)


def nothing_to_search(collection: Collection) -> BiocosmosError:
    """What is said where no specimen with a vector was selected."""
    return BiocosmosError(f"nothing to search in {collection.path}: no specimen with a vector was selected")
