"""Search a collection by images, words, DNA barcodes or its own specimens."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from biocosmos.barcodes.kmers import KmerCounts
from biocosmos.errors import BiocosmosError, Failures
from biocosmos.jobs.barcode_search import asks_barcodes, search_barcodes
from biocosmos.jobs.queries import encode_queries, encoder_for
from biocosmos.jobs.settings import SearchSettings
from biocosmos.provenance import software
from biocosmos.search.approximate import ApproximateIndex
from biocosmos.specimens.collection import Collection


def search_collection(collection: Collection, settings: SearchSettings) -> tuple[pa.Table, Failures, dict[str, Any]]:
    """The ``settings.k`` nearest specimens of every image, text and specimen that is asked about.

    Returns:
        the neighbours, one row each (query, position from 1, id, score = cosine, label and rank names, image_path; of barcodes
        that are aligned also identity in percent, alignment_length and gaps); what failed; and the provenance of the table.
    """
    if settings.dna or settings.fasta:
        name = encoder_for(collection, settings.encoder, "sequences")
    else:
        name = collection.encoder_name(settings.encoder)
    if not settings.approximate and asks_barcodes(collection, name, settings):
        found, failures, searched = search_barcodes(collection, name, settings)
        return _named(collection, found), failures, _provenance(collection, name, settings, searched)
    how = {"typed": settings.encoder is not None, **settings.how()}
    queries = encode_queries(
        collection, name, images=settings.images, texts=settings.text, ids=settings.id, barcodes=settings.dna, **how
    )
    exclude = queries.ids if queries.specimens else None
    if settings.approximate:
        if settings.split is not None:
            raise BiocosmosError("an approximate search cannot be limited to a part of a split: use --where, or search exactly")
        if isinstance(queries.vectors, KmerCounts):
            raise BiocosmosError(f"'{name}' counts k-mers, which are searched exactly: leave --approximate out")
        index = approximate_index(collection, name)
        hits = index.search(queries.vectors, settings.k, within=settings.within, where=settings.where, exclude=exclude)
    else:
        gallery = collection.gallery(name, columns=(), **settings.selected())
        if not len(gallery):
            raise BiocosmosError(f"nothing to search in {collection.path}: no specimen with a vector was selected")
        hits = gallery.search(queries.vectors, settings.k, exclude=exclude)
    table = hits.table(queries.ids).select(["query", "position", "id", "score"])
    return _named(collection, table), queries.failures, _provenance(collection, name, settings, hits.provenance.get("search"))


def _named(collection: Collection, table: pa.Table) -> pa.Table:
    """Neighbours with label, ranks and image of each."""
    shown = ["label", *[rank for rank in collection.ranks if rank != "label"], "image_path"]
    named = collection.take(sorted(set(table["id"].to_pylist())), columns=shown)
    row_of = {id_: row for row, id_ in enumerate(named["id"].to_pylist())}
    rows = pa.array([row_of[id_] for id_ in table["id"].to_pylist()], pa.int64())
    for column in shown:
        table = table.append_column(column, named[column].take(rows))
    return table


def _provenance(collection: Collection, name: str, settings: SearchSettings, searched: Any) -> dict[str, Any]:
    return {
        **software(),
        "collection": str(collection.path),
        "encoder": collection.encoders[name],
        "selection": {**settings.selected(), "approximate": settings.approximate},
        **({"search": searched} if searched else {}),
    }


def approximate_index(collection: Collection, encoder: str) -> ApproximateIndex:
    """The vector index of an embedding, made now if it is not there: minutes for millions of specimens, once."""
    column = collection.embedding_column(encoder)
    if any(list(index.field_names) == [column] for index in collection.dataset.describe_indices()):
        return ApproximateIndex(collection.dataset, column, taxonomy=collection.taxonomy)
    return ApproximateIndex.build(collection.dataset, column, taxonomy=collection.taxonomy)
