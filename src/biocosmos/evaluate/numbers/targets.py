"""What a neighbour must share with the query to be right: a taxon at a rank, or a value of a column."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from biocosmos.errors import BiocosmosError

if TYPE_CHECKING:
    from biocosmos.search.gallery import Gallery
    from biocosmos.taxonomy import Taxonomy

Array = npt.NDArray[Any]
Kind = Literal["rank", "group"]


@dataclass(frozen=True)
class Target:
    """One thing to be right about, with the queries and the gallery coded by it.

    name: rank or column; kind: "rank" or "group".
    query: (queries,) int64 and gallery: (n,) int64 codes in [0, len(nodes)), -1 where the rank is null or the cell blank.
    nodes: (taxa,) int64 taxonomy nodes of the codes (all -1 for a group); names: (taxa,) object; paths: (taxa,) object,
        the full path of names "Animalia / Chordata / ...", which keeps homonyms apart.
    """

    name: str
    kind: Kind
    query: Array
    gallery: Array
    nodes: Array
    names: Array
    paths: Array

    def __len__(self) -> int:
        return len(self.nodes)

    def names_of(self, codes: Array) -> list[str | None]:
        """The names of codes (n,), None for -1."""
        return [None if code < 0 else str(self.names[code]) for code in codes]

    def gallery_counts(self) -> Array:
        """(taxa,) int64 gallery rows of each code."""
        return np.bincount(self.gallery[self.gallery >= 0], minlength=len(self))

    def query_counts(self) -> Array:
        """(taxa,) int64 queries of each code."""
        return np.bincount(self.query[self.query >= 0], minlength=len(self))

    def answerable(self, *, all_vs_all: bool) -> Array:
        """(queries,) bool: the gallery holds another member of the query's taxon; False where the code is -1.

        In all-vs-all the query is itself a gallery row, so its taxon needs two.
        """
        enough = self.gallery_counts() >= (2 if all_vs_all else 1)
        return (self.query >= 0) & enough[np.maximum(self.query, 0)] if len(self) else np.zeros(len(self.query), dtype=bool)


def rank_targets(gallery: Gallery, queries: Gallery, ranks: Sequence[str] | None) -> list[Target]:
    """One target per rank of the taxonomy (or per name in ``ranks``), coarsest first; ranks null everywhere are left out.

    Both galleries must carry the same taxonomy. Raises BiocosmosError on an unknown rank or differing taxonomies.
    """
    taxonomy = gallery.taxonomy
    if taxonomy is None or gallery.taxa is None or queries.taxa is None:
        if ranks:
            raise BiocosmosError(
                f"cannot evaluate rank {ranks[0]!r}: the gallery has no taxonomy; give rank columns at ingest, or use groups="
            )
        return []
    if queries.taxonomy is not None and queries.taxonomy is not taxonomy and queries.taxonomy.digest != taxonomy.digest:
        raise BiocosmosError("queries and gallery have different taxonomies: make both from one collection")
    unknown = [rank for rank in ranks or () if rank not in taxonomy.ranks]
    if unknown:
        raise BiocosmosError(f"unknown rank {unknown[0]!r}: this taxonomy has {', '.join(taxonomy.ranks)}")
    chosen = [rank for rank in taxonomy.ranks if ranks is None or rank in ranks]
    targets = []
    for rank in chosen:
        found = taxonomy.ancestor(_known(gallery.taxa), rank)
        asked = found if queries is gallery else taxonomy.ancestor(_known(queries.taxa), rank)
        nodes, codes = np.unique(np.concatenate([found, asked]), return_inverse=True)
        null = int(len(nodes) > 0 and nodes[0] < 0)
        nodes, codes = nodes[null:].astype(np.int64), codes.reshape(-1).astype(np.int64) - null
        if not len(nodes):
            continue
        names, paths = taxonomy.names[nodes], node_paths(taxonomy, nodes)
        targets.append(Target(rank, "rank", codes[len(found) :], codes[: len(found)], nodes, names, paths))
    return targets


def finest_common(gallery: Gallery, rank: str | None, protocol: str) -> Target:
    """The finest rank at which at least half of the labelled specimens have a name, or ``rank``, with ``gallery`` on both sides.

    Raises BiocosmosError in the name of ``protocol`` when no specimen has a name at any rank.
    """
    targets = rank_targets(gallery, gallery, None if rank is None else [rank])
    labelled = np.any([target.query >= 0 for target in targets], axis=0) if targets else np.zeros(0, bool)
    named = [target for target in targets if rank is not None or (target.query >= 0).sum() >= max(0.5 * labelled.sum(), 1)]
    if not named:
        raise BiocosmosError(f"{protocol} needs labelled specimens: no specimen of this part has a name")
    return named[-1]


def group_targets(gallery: Gallery, queries: Gallery, groups: Sequence[str]) -> list[Target]:
    """One target per column named in ``groups``; blanks are null. Raises BiocosmosError on a column that is missing."""
    targets = []
    for name in groups:
        found = group_values(gallery, name)
        asked = found if queries is gallery else group_values(queries, name)
        both = pa.chunked_array([found, asked]).combine_chunks().dictionary_encode()
        codes = both.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
        names = np.array(both.dictionary.to_pylist(), dtype=object)
        # Codes by name, so that tables do not depend on the order of rows.
        order = np.argsort(names.astype(str), kind="stable")
        place = np.empty(len(order) + 1, dtype=np.int64)
        place[order], place[-1] = np.arange(len(order)), -1
        codes = place[codes]
        nodes = np.full(len(names), -1, dtype=np.int64)
        targets.append(Target(name, "group", codes[len(found) :], codes[: len(found)], nodes, names[order], names[order]))
    return targets


def strata(gallery: Gallery, queries: Gallery, groups: Sequence[str], taxa: Sequence[Target]) -> list[Target]:
    """What ``groups`` name: a rank of the taxonomy (taken from ``taxa`` where it is there), or else a column."""
    known = {target.name: target for target in taxa}
    found: list[Target] = []
    for name in groups:
        if name in known:
            found.append(known[name])
        elif gallery.taxonomy is not None and name in gallery.taxonomy.ranks:
            found += rank_targets(gallery, queries, [name])
        else:
            found += group_targets(gallery, queries, [name])
    return found


def group_values(gallery: Gallery, name: str) -> pa.Array:
    """Column ``name`` as trimmed strings, blank as null: string (n,)."""
    columns = gallery.columns
    if columns is None or name not in columns.column_names:
        there = "no columns" if columns is None else ", ".join(columns.column_names)
        raise BiocosmosError(f"cannot group by {name!r}: the gallery has {there}")
    values = pc.utf8_trim_whitespace(columns.column(name).combine_chunks().cast(pa.string()))
    return pc.if_else(pc.equal(values, ""), pa.scalar(None, pa.string()), values)


def node_paths(taxonomy: Taxonomy, nodes: Array) -> Array:
    """(n,) object array of str: "Animalia / Chordata / ..." down to each node, null ranks skipped."""
    names, lines = taxonomy.names, taxonomy.lineage(np.asarray(nodes))
    paths = np.empty(len(lines), dtype=object)
    paths[:] = [" / ".join(names[line[line >= 0]]) for line in lines]
    return paths


def _known(taxa: Array) -> Array:
    """Taxa with "not in the taxonomy" (-1) taken as "no taxon" (the root, 0)."""
    known: Array = np.maximum(np.asarray(taxa), 0)
    return known
