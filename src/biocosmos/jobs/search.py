"""Search a collection by images, words, DNA barcodes or its own specimens, among their own kind or across a space."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from biocosmos.errors import Failures
from biocosmos.jobs.across import crossing_of, provenance_of, search_across
from biocosmos.jobs.around_queries import asked_around, own_kind_queries
from biocosmos.jobs.barcode_search import asks_barcodes, search_barcodes
from biocosmos.jobs.queries import Queries, encode_queries, encoder_for
from biocosmos.jobs.search_near import asked_place, asks_alike, nearest_found, with_distances
from biocosmos.jobs.searched import nothing_to_search, searcher
from biocosmos.jobs.settings import SearchSettings
from biocosmos.provenance import software
from biocosmos.search.hits import Hits
from biocosmos.specimens.collection import Collection


def search_collection(collection: Collection, settings: SearchSettings) -> tuple[pa.Table, Failures, dict[str, Any]]:
    """The ``settings.k`` nearest specimens of every image, text and specimen that is asked about.

    Returns:
        the neighbours, one row each (query, position from 1, id, score = cosine, label and rank names, image_path; of barcodes
        that are aligned also identity in percent, alignment_length and gaps; across a space also among and asked_with, the
        modalities of the vector that was found and of the one that asked; where a place, a day or a depth is asked about,
        kilometres, days and metres from there, and with nothing else asked about the nearest specimens by these alone, without
        a score); what failed; and the provenance of the table.
    """
    asked = asked_place(settings)
    if asked is None:
        return _alike(collection, settings)
    if not asks_alike(settings):
        table, failures, made = nearest_found(collection, asked, settings)
        return _named(collection, table), failures, _provenance(collection, settings, made)
    table, failures, provenance = _alike(collection, settings)
    return with_distances(collection, table, asked), failures, provenance


def _alike(collection: Collection, settings: SearchSettings) -> tuple[pa.Table, Failures, dict[str, Any]]:
    """The most alike of what has a vector."""
    if (crossing := crossing_of(collection, settings)) is not None:
        table, failures, how = search_across(collection, crossing, settings)
        return _named(collection, table), failures, _provenance(collection, settings, provenance_of(collection, crossing) | how)
    if asked_around(settings):
        name, queries = own_kind_queries(collection, settings)
        return _found(collection, name, queries, settings)
    if settings.dna or settings.fasta:
        name = encoder_for(collection, settings.encoder, "sequences")
    else:
        name = collection.encoder_name(settings.encoder)
    made = {"encoder": collection.encoders[name]}
    if not settings.approximate and asks_barcodes(collection, name, settings):
        table, failures, searched = search_barcodes(collection, name, settings)
        return _named(collection, table), failures, _provenance(collection, settings, made | {"search": searched})
    how = {"typed": settings.encoder is not None, **settings.how()}
    queries = encode_queries(
        collection, name, images=settings.images, texts=settings.text, ids=settings.id, barcodes=settings.dna, **how
    )
    return _found(collection, name, queries, settings)


def _found(
    collection: Collection, name: str, queries: Queries, settings: SearchSettings
) -> tuple[pa.Table, Failures, dict[str, Any]]:
    """What is nearest to the queries among the vectors ``name``."""
    search = searcher(collection, name, settings)
    if search is None:
        raise nothing_to_search(collection)
    hits = search(queries.vectors, queries.ids if queries.specimens else None)
    table = hits.table(queries.ids).select(["query", "position", "id", "score"])
    made = {"encoder": collection.encoders[name], **_searched(hits)}
    return _named(collection, table), queries.failures, _provenance(collection, settings, made)


def _searched(hits: Hits) -> dict[str, Any]:
    how = hits.provenance.get("search")
    return {"search": how} if how else {}


def _named(collection: Collection, table: pa.Table) -> pa.Table:
    """Neighbours with label, ranks and image of each."""
    shown = ["label", *[rank for rank in collection.ranks if rank != "label"], "image_path"]
    named = collection.take(sorted(set(table["id"].to_pylist())), columns=shown)
    row_of = {id_: row for row, id_ in enumerate(named["id"].to_pylist())}
    rows = pa.array([row_of[id_] for id_ in table["id"].to_pylist()], pa.int64())
    for column in shown:
        table = table.append_column(column, named[column].take(rows))
    return table


def _provenance(collection: Collection, settings: SearchSettings, made: dict[str, Any]) -> dict[str, Any]:
    return {
        **software(),
        "collection": str(collection.path),
        **made,
        "selection": {**settings.selected(), "approximate": settings.approximate},
    }
