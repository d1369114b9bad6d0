"""Evaluate one embedding of a collection, or compare several, on one split."""

from __future__ import annotations

from collections.abc import Sequence

from biocosmos import evaluate
from biocosmos.errors import BiocosmosError
from biocosmos.evaluate import Report
from biocosmos.jobs.identifying import Identified
from biocosmos.search.gallery import Gallery
from biocosmos.specimens.collection import Collection

PROTOCOLS = ("query-gallery", "all-vs-all")
RULES = ("nearest", "class-mean", "nearest-euclidean", "class-mean-euclidean", "centroid")


def evaluate_collection(
    collection: Collection,
    *,
    encoders: Sequence[str],
    protocol: str = "query-gallery",
    queries: str = "test",
    gallery: str = "train",
    groups: Sequence[str] = (),
    identified: Identified | None = None,
    where: str | None = None,
    seed: int = 0,
) -> Report:
    """A report on the embeddings named, with the parts ``queries`` and ``gallery`` of the collection's splits.

    One encoder: retrieval, with the neighbour rules in the protocol "query-gallery", and the quality of the names in
    ``identified`` when given. Two or more: what each taxon gains and loses from the first to the others.

    Raises BiocosmosError for an unknown protocol, embedding, part or column.
    """
    if protocol not in PROTOCOLS:
        raise BiocosmosError(f"no protocol '{protocol}': choose {' or '.join(PROTOCOLS)}")
    if not encoders:
        raise BiocosmosError(f"nothing to evaluate: name an embedding of {collection.path}")
    for group in groups:
        if group not in collection.dataset.schema.names:
            raise BiocosmosError(f"the collection has no column '{group}' to group by")
    asked: dict[str, Gallery] = {}
    answering: dict[str, Gallery] = {}
    for encoder in encoders:
        asked[encoder] = collection.gallery(encoder, split=queries, where=where, columns=groups)
        if protocol == "query-gallery":
            answering[encoder] = collection.gallery(encoder, split=gallery, where=where, columns=groups)
    if len(encoders) > 1:
        if protocol == "all-vs-all":
            return evaluate.compare(asked, groups=groups, seed=seed)
        return evaluate.compare(answering, queries=asked, groups=groups, seed=seed)
    encoder = encoders[0]
    if protocol == "all-vs-all":
        return evaluate.retrieval(asked[encoder], groups=groups, seed=seed)
    report = evaluate.retrieval(answering[encoder], asked[encoder], rules=RULES, groups=groups, seed=seed)
    if identified is None:
        return report
    names = evaluate.identification(identified.table, asked[encoder], gallery=answering[encoder], seed=seed)
    return evaluate.combine(names, report, title=f"{collection.path.stem}: names and neighbours with {encoder}")
