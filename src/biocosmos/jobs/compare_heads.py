"""The table of heads: their answers about one part of a collection, beside those of the nearest neighbour."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from biocosmos.errors import BiocosmosError
from biocosmos.evaluate.numbers.bootstrap import DRAWS
from biocosmos.evaluate.report import Report
from biocosmos.evaluate.side_by_side.report import side_by_side
from biocosmos.identify.encoding import encoder_of
from biocosmos.identify.predictions import Predictions
from biocosmos.specimens import guard
from biocosmos.specimens.collection import Collection

TRAIN = "train"
NEAREST = "nearest neighbour"


def compare_heads(
    collection: Collection,
    found: Mapping[str, Predictions],
    *,
    gallery: str | None = TRAIN,
    branch: str | None = None,
    seed: int = 0,
    bootstrap: int = DRAWS,
) -> Report:
    """The heads side by side, and below them what the nearest specimen of the part ``gallery`` says with each base encoder that
    the collection has vectors of.

    found: name -> predictions of the same specimens, the first of which the others are measured against; gallery: None for no
    nearest neighbours; other arguments as in :func:`side_by_side`. Base encoders without vectors are named in the caveats.
    """
    if not found:
        raise BiocosmosError("no head to compare: name at least one with --head")
    first = next(iter(found.values()))
    encoders = (
        list(dict.fromkeys(str(encoder_of(predictions.facts).get("name") or "not recorded") for predictions in found.values()))
        if gallery
        else []
    )
    there = [name for name in encoders if name in collection.encoders]
    named = {
        NEAREST if len(encoders) == 1 else f"{NEAREST}, {name}": nearest_names(collection, name, first, str(gallery))
        for name in there
    }
    report = side_by_side(found, named=named, branch=branch, seed=seed, bootstrap=bootstrap)
    if there:
        report.caveats.append(
            f"The nearest neighbour is the specimen of part '{gallery}' with the highest cosine by {' or '.join(there)} as "
            "stored in the collection; it names what that specimen is, at every rank, and has no probabilities."
        )
    for name in encoders:
        if name not in there:
            report.caveats.append(f"No nearest neighbours by {name}: {collection.path} has no vectors of it.")
    return report


def nearest_names(collection: Collection, encoder: str, asked: Predictions, gallery: str = TRAIN) -> npt.NDArray[np.int64]:
    """The deepest node, in the tree of ``asked``, of the specimen of part ``gallery`` most like each specimen of ``asked``.

    Returns (n,) int64; 0 where the specimen has no vector. Specimens of which the tree knows nothing are no neighbours. Raises
    BiocosmosError without a vector of ``encoder`` in the part, and when a specimen asked about is in it.
    """
    ranks = [rank for rank in asked.ranks if rank in collection.stored_columns]
    known = collection.gallery(encoder, split=gallery, columns=ranks)
    taxa = _nodes(asked, known.columns)
    if not (taxa > 0).any():
        raise BiocosmosError(f"part '{gallery}' of {collection.path} has no labelled specimen with a vector of {encoder}")
    ids = [str(id_) for id_ in asked.ids]
    guard.refuse_shared(
        ids,
        known.ids,
        f"of the specimens asked about are in part '{gallery}'",
        "ask about another part",
    )
    column = collection.embedding_column(encoder)
    table = collection.take(ids, columns=["id", column])
    place = {id_: row for row, id_ in enumerate(table["id"].to_pylist())}
    rows = np.array([place.get(id_, -1) for id_ in ids])
    out = np.zeros(len(ids), np.int64)
    has = rows >= 0
    has[has] = np.asarray(table[column].is_valid())[rows[has]]
    if has.any():
        vectors = _vectors(table[column].take(pa.array(rows[has])))
        hits = known.search(vectors, k=1, mask=taxa > 0)
        out[has] = taxa[hits.rows[:, 0]]
    return out


def _nodes(asked: Predictions, columns: pa.Table | None) -> npt.NDArray[np.int64]:
    if columns is None:
        raise BiocosmosError("the gallery carries no columns: it cannot say what its specimens are")
    return np.maximum(asked.taxonomy.index(columns), 0).astype(np.int64)


def _vectors(column: Any) -> npt.NDArray[np.float32]:
    whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    return np.asarray(whole.flatten().to_numpy(zero_copy_only=False), np.float32).reshape(len(whole), -1)
