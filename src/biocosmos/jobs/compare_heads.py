"""The table of heads: their answers about one part of a collection, beside those of the nearest neighbour."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from biocosmos import evaluate
from biocosmos.errors import BiocosmosError
from biocosmos.evaluate.numbers.bootstrap import DRAWS
from biocosmos.evaluate.report import Report
from biocosmos.identify.encoding import encoder_of
from biocosmos.identify.predictions import Predictions
from biocosmos.specimens import guard
from biocosmos.specimens.collection import Collection
from biocosmos.specimens.stored_vectors import read_stored

TRAIN = "train"
NEAREST = "nearest neighbour"
Said = tuple[Iterable[Predictions], Callable[[], pa.Table] | pa.Table | None]


def compare_heads(
    collection: Collection,
    found: Mapping[str, Predictions] | Mapping[str, tuple[Predictions, Said]],
    *,
    gallery: str | None = TRAIN,
    branch: str | None = None,
    seed: int = 0,
    bootstrap: int = DRAWS,
) -> Report:
    """The heads side by side, and below them what the nearest specimen of the part ``gallery`` says with each base encoder that
    the collection has vectors of.

    found: name -> predictions of the same specimens, or these and how to read them with their answers; the first is what the
    others are measured against; gallery: None for no nearest neighbours; other arguments as in :func:`evaluate.side_by_side`.
    Base encoders without vectors are named in the caveats.
    """
    if not found:
        raise BiocosmosError("no head to compare: name at least one with --head")
    heads = {name: said[0] if isinstance(said, tuple) else said for name, said in found.items()}
    first = next(iter(heads.values()))
    names = (str(encoder_of(predictions.facts).get("name") or "not recorded") for predictions in heads.values())
    encoders = list(dict.fromkeys(names)) if gallery else []
    there = [name for name in encoders if name in collection.encoders]
    named = {
        NEAREST if len(encoders) == 1 else f"{NEAREST}, {name}": nearest_names(collection, name, first, str(gallery))
        for name in there
    }
    namers: dict[str, Any] = {name: said[1] if isinstance(said, tuple) else said for name, said in found.items()}
    report = evaluate.side_by_side(namers, named=named, branch=branch, seed=seed, bootstrap=bootstrap)
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
    if known.columns is None:
        raise BiocosmosError("the gallery carries no columns: it cannot say what its specimens are")
    taxa = np.maximum(asked.taxonomy.index(known.columns), 0).astype(np.int64)
    if not (taxa > 0).any():
        raise BiocosmosError(f"part '{gallery}' of {collection.path} has no labelled specimen with a vector of {encoder}")
    ids = [str(id_) for id_ in asked.ids]
    guard.refuse_shared(ids, known.ids, f"of the specimens asked about are in part '{gallery}'", "ask about another part")
    column = collection.embedding_column(encoder)
    table = collection.take(ids, columns=["id", column])
    place = {id_: row for row, id_ in enumerate(table["id"].to_pylist())}
    rows = np.array([place.get(id_, -1) for id_ in ids])
    out = np.zeros(len(ids), np.int64)
    has = rows >= 0
    has[has] = np.asarray(table[column].is_valid())[rows[has]]
    if has.any():
        found = read_stored(table[column].take(pa.array(rows[has])), collection.encoders[encoder])
        hits = known.search(found, k=1, mask=taxa > 0)
        out[has] = taxa[hits.rows[:, 0]]
    return out
