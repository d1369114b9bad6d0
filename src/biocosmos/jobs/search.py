"""Search a collection by images, words or its own specimens."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from biocosmos.errors import BiocosmosError, Failures
from biocosmos.jobs.queries import encode_queries
from biocosmos.provenance import software
from biocosmos.search.approximate import ApproximateIndex
from biocosmos.specimens.collection import Collection


def search_collection(
    collection: Collection,
    *,
    images: Sequence[Path] = (),
    texts: Sequence[str] = (),
    ids: Sequence[str] = (),
    k: int = 10,
    encoder: str | None = None,
    split: str | None = None,
    within: str | None = None,
    where: str | None = None,
    approximate: bool = False,
    **how: Any,
) -> tuple[pa.Table, Failures, dict[str, Any]]:
    """The ``k`` nearest specimens of every query.

    Returns:
        the neighbours, one row each (query, position from 1, id, score = cosine, label and rank names, image_path); the images
        that failed; and the provenance of the table.
    """
    name = collection.encoder_name(encoder)
    queries = encode_queries(collection, name, images=images, texts=texts, ids=ids, **how)
    exclude = queries.ids if queries.specimens else None
    shown = ["label", *[rank for rank in collection.ranks if rank != "label"], "image_path"]
    if approximate:
        if split is not None:
            raise BiocosmosError("an approximate search cannot be limited to a part of a split: use --where, or search exactly")
        index = approximate_index(collection, name)
        hits = index.search(queries.vectors, k, within=within, where=where, exclude=exclude)
        selection: dict[str, Any] = {"split": split, "within": within, "where": where, "approximate": True}
    else:
        gallery = collection.gallery(name, split=split, within=within, where=where, columns=())
        if not len(gallery):
            raise BiocosmosError(f"nothing to search in {collection.path}: no specimen with a vector was selected")
        hits = gallery.search(queries.vectors, k, exclude=exclude)
        selection = {"split": split, "within": within, "where": where, "approximate": False}
    table = hits.table(queries.ids).select(["query", "position", "id", "score"])
    named = collection.take(sorted(set(table["id"].to_pylist())), columns=shown)
    row_of = {id_: row for row, id_ in enumerate(named["id"].to_pylist())}
    rows = pa.array([row_of[id_] for id_ in table["id"].to_pylist()], pa.int64())
    for column in shown:
        table = table.append_column(column, named[column].take(rows))
    provenance = {
        **software(),
        "collection": str(collection.path),
        "encoder": collection.encoders[name],
        "selection": selection,
    }
    return table, queries.failures, provenance


def approximate_index(collection: Collection, encoder: str) -> ApproximateIndex:
    """The vector index of an embedding, made now if it is not there: minutes for millions of specimens, once."""
    column = collection.embedding_column(encoder)
    if any(list(index.field_names) == [column] for index in collection.dataset.describe_indices()):
        return ApproximateIndex(collection.dataset, column, taxonomy=collection.taxonomy)
    return ApproximateIndex.build(collection.dataset, column, taxonomy=collection.taxonomy)
