"""How many specimens each taxon of a collection has."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from biocosmos.specimens.collection import Collection


def count_taxa(collection: Collection, *, rank: str | None = None, within: str | None = None) -> pa.Table:
    """One row per taxon in depth-first order: taxon, rank, specimens (at it or below), and the name at every rank.

    A label that repeats the name of the taxon right above it is no second row, unless ``rank`` asks for labels.

    Args:
        rank: only taxa of this rank; default all.
        within: only this taxon and those below it.

    Raises:
        BiocosmosError: unknown rank or taxon, or a collection without names.
    """
    taxonomy = collection.taxonomy
    totals = np.zeros(len(taxonomy), np.int64)
    for batch in collection.scan(list(collection.ranks)):
        totals += taxonomy.count(taxonomy.index(batch))
    nodes = np.flatnonzero(~taxonomy.repeats)[1:] if rank is None else taxonomy.at_rank(rank)
    if within is not None:
        top = taxonomy.find(within)
        nodes = nodes[(nodes >= top) & (nodes < taxonomy.end[top])]
    columns = {
        "taxon": pa.array(taxonomy.name(nodes), pa.string()),
        "rank": pa.array([taxonomy.ranks[r] for r in taxonomy.rank[nodes]], pa.string()),
        "specimens": pa.array(totals[nodes]),
    }
    names = taxonomy.rank_table(nodes)
    return pa.table({**columns, **{name: names[name] for name in taxonomy.ranks}})
