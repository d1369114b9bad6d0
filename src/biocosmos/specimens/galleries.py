"""The vectors of a collection, ready to be searched, or bare."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from biocosmos.barcodes.kmers import KmerCounts
from biocosmos.errors import BiocosmosError
from biocosmos.search.gallery import Gallery
from biocosmos.specimens.given_vectors import Vectors
from biocosmos.specimens.stored_vectors import holds_kmers, read_dense, read_stored

if TYPE_CHECKING:
    from biocosmos.specimens.collection import Collection


def build_gallery(
    collection: Collection,
    name: str,
    *,
    split: str | None,
    within: str | None,
    where: str | None,
    columns: Sequence[str] | None,
    also: str | None = None,
) -> Gallery:
    """See :meth:`Collection.gallery`; ``name`` is that of an embedding."""
    column = collection.embedding_column(name)
    if also is not None and holds_kmers(collection.encoders[name]):
        raise BiocosmosError(f"'{name}' is an embedding of barcodes: name one of images, beside which their column is read")
    more = [] if also is None else [also]
    carried = None if columns is None else list(dict.fromkeys(["id", *collection.ranks, *columns, *more]))
    scalars = collection.chosen_columns(carried)
    facts = collection.encoders[name]
    counts: list[KmerCounts] = []
    size = 0 if holds_kmers(facts) else len(collection)
    vectors = np.empty((size, int(facts["dim"])), np.float32)  # untouched pages cost nothing when less is selected
    row = 0
    kept = []
    for batch in collection.scan([*scalars, column], split=split, within=within, where=where):
        there = pc.is_valid(batch.column(column))
        if also is not None:
            batch = batch.filter(pc.or_(there, pc.is_valid(batch.column(also))))
            there = pc.is_valid(batch.column(column))
            vectors[row : row + batch.num_rows] = 0
            rows = row + np.flatnonzero(there.to_numpy(zero_copy_only=False))
            vectors[rows] = read_dense(batch.column(column).filter(there), facts)
            row += batch.num_rows
            kept.append(batch.drop_columns([column]))
            continue
        batch = batch.filter(there)
        stored = read_stored(batch.column(column), facts)
        if isinstance(stored, KmerCounts):
            counts.append(stored)
        else:
            vectors[row : row + batch.num_rows] = stored
        row += batch.num_rows
        kept.append(batch.drop_columns([column]))
    if holds_kmers(facts):
        counts = counts or [KmerCounts.of([], int(facts["preprocessing"]["k"]))]
    fields = collection.dataset.schema
    schema = pa.schema([fields.field(scalar) for scalar in scalars])
    rest = pa.Table.from_batches(kept, schema=schema)
    provenance: dict[str, Any] = {
        **{key: value for key, value in facts.items() if key != "name"},
        "encoder": name,
        "collection": str(collection.path),
        "selection": {"split": split, "within": within, "where": where},
    }
    if split is not None:
        provenance["split"] = collection.split_of(split).identity()
    taxonomy = collection.taxonomy if collection.ranks else None
    return Gallery.build(
        ids=rest["id"].to_pylist(),
        vectors=KmerCounts.concatenate(counts) if counts else vectors[:row],
        taxa=None if taxonomy is None else taxonomy.index(rest),
        taxonomy=taxonomy,
        provenance=provenance,
        columns=rest,
        bare=also is not None,
    )


def vectors_of(collection: Collection, name: str, **selection: Any) -> Vectors:
    """See :meth:`Collection.vectors`; ``name`` is that of an embedding."""
    column, facts = collection.embedding_column(name), collection.encoders[name]
    ids: list[str] = []
    parts = [np.empty((0, int(facts["dim"])), np.float32)]
    for batch in collection.scan(["id", column], **selection):
        batch = batch.filter(pc.is_valid(batch.column(column)))
        ids += batch.column("id").to_pylist()
        parts.append(read_dense(batch.column(column), facts))
    return Vectors(np.array(ids, object), np.concatenate(parts))
