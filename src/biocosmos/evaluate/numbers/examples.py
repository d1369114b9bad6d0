"""Example queries and confused pairs: which specimens a reader should look at. Chosen by a seed, never by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from biocosmos.evaluate.numbers.tallies import Tally
from biocosmos.evaluate.numbers.targets import Target
from biocosmos.search.gallery import Gallery
from biocosmos.search.graph import Neighbours

if TYPE_CHECKING:
    from biocosmos.taxonomy import Taxonomy

Array = npt.NDArray[Any]
SHOWN_NEIGHBOURS = 5

EXAMPLES = pa.schema(
    [
        ("kind", pa.string()),
        ("target", pa.string()),
        ("id", pa.string()),
        ("taxon", pa.string()),
        ("first_right", pa.int32()),
        (
            "neighbours",
            pa.list_(pa.struct([("id", pa.string()), ("taxon", pa.string()), ("score", pa.float32()), ("right", pa.bool_())])),
        ),
    ]
)

CONFUSION = pa.schema(
    [
        ("target", pa.string()),
        ("true", pa.string()),
        ("found", pa.string()),
        ("true_path", pa.string()),
        ("found_path", pa.string()),
        ("siblings", pa.bool_()),
        ("parent", pa.string()),
        ("count", pa.int64()),
        ("queries", pa.int64()),
        ("share", pa.float64()),
        ("example_id", pa.string()),
        ("example_found_id", pa.string()),
    ]
)


def finest(tallies: Sequence[Tally]) -> Tally:
    """The tally of the finest rank at which at least half of the queries have a name; the first tally if none has."""
    named = [t for t in tallies if t.target.kind == "rank" and t.asked.mean() >= 0.5] if len(tallies[0].first) else []
    return named[-1] if named else tallies[0]


def example_table(
    gallery: Gallery, queries: Gallery, tallies: Sequence[Tally], found: Neighbours, each: int, seed: int
) -> pa.Table:
    """Up to ``each`` queries that were right at once, right later, wrong, and unanswerable, with their neighbours.

    Drawn at random (``seed``) at the finest rank that most queries have, from different taxa as far as there are enough.
    """
    tally = finest(tallies)
    target, first, k = tally.target, tally.first, found.rows.shape[1]
    kinds = {
        "right": tally.answerable & (first == 0),
        "right later": tally.answerable & (first > 0) & (first < k),
        "wrong": tally.answerable & (first >= k),
        "unanswerable": tally.asked & ~tally.answerable,
    }
    rng = np.random.default_rng(seed)
    rows = []
    for kind, mask in kinds.items():
        for query in _spread(np.flatnonzero(mask), target.query, each, rng):
            near = found.rows[query, :SHOWN_NEIGHBOURS]
            near = near[near >= 0]
            code = target.query[query]
            rows.append(
                {
                    "kind": kind,
                    "target": target.name,
                    "id": queries.ids[query],
                    "taxon": target.names_of(target.query[[query]])[0],
                    "first_right": int(first[query]) + 1 if first[query] < k else None,
                    "neighbours": [
                        {
                            "id": gallery.ids[row],
                            "taxon": name,
                            "score": float(score),
                            "right": bool(target.gallery[row] == code),
                        }
                        for row, score, name in zip(near, found.scores[query], target.names_of(target.gallery[near]))
                    ],
                }
            )
    return pa.Table.from_pylist(rows, schema=EXAMPLES)


def _spread(rows: Array, codes: Array, count: int, rng: np.random.Generator) -> Array:
    """``count`` of ``rows`` at random, taking a second one of a taxon only when every taxon has had its first."""
    rows = rng.permutation(rows)
    taxa = codes[rows]
    order = np.argsort(taxa, kind="stable")
    starts = np.flatnonzero(np.diff(taxa[order], prepend=-2))
    turn = np.empty(len(rows), dtype=np.int64)
    turn[order] = np.arange(len(rows)) - np.repeat(starts, np.diff(np.append(starts, len(rows))))
    chosen: Array = rows[np.argsort(turn, kind="stable")[:count]]
    return chosen


def confusion_table(
    taxonomy: Taxonomy | None, targets: Sequence[Target], nearest_row: Array, query_ids: Array, gallery_ids: Array
) -> pa.Table:
    """Per rank, how often queries of one taxon had a nearest neighbour of another.

    nearest_row: (queries,) gallery row of the nearest neighbour, -1 for none. See :func:`confused_pairs` for the columns.
    """
    parts = [CONFUSION.empty_table()]
    for target in targets:
        found = np.append(target.gallery, -1)[nearest_row]
        rows = confused_pairs(taxonomy, target, found, query_ids, gallery_ids[nearest_row])
        parts.append(pa.Table.from_pylist(rows, schema=CONFUSION))
    return pa.concat_tables(parts)


def confused_pairs(
    taxonomy: Taxonomy | None, target: Target, found: Array, query_ids: Array, found_ids: Array | None
) -> list[dict[str, Any]]:
    """Ordered pairs (true, found) with their count, most frequent first; ``siblings`` when both hang from one parent.

    found: (queries,) codes of the taxa answered, -1 for none. ``share`` is of the queries of the true taxon; the example is
    the first query in order with that confusion and what it was confused with (``found_ids``, None for a name without a
    specimen).
    """
    wrong = np.flatnonzero((target.query >= 0) & (found >= 0) & (found != target.query))
    if not len(wrong):
        return []
    key = target.query[wrong] * len(target) + found[wrong]
    pairs, first, counts = np.unique(key, return_index=True, return_counts=True)
    asked = target.query_counts()
    rows = []
    for i in np.argsort(-counts, kind="stable"):
        true, said = divmod(int(pairs[i]), len(target))
        parents = [-1, -2]
        if taxonomy is not None and target.kind == "rank":
            parents = [int(taxonomy.parent[target.nodes[code]]) for code in (true, said)]
        siblings = parents[0] == parents[1]
        query = wrong[first[i]]
        rows.append(
            {
                "target": target.name,
                "true": target.names[true],
                "found": target.names[said],
                "true_path": target.paths[true],
                "found_path": target.paths[said],
                "siblings": siblings,
                "parent": str(taxonomy.names[parents[0]]) if siblings and taxonomy is not None else None,
                "count": int(counts[i]),
                "queries": int(asked[true]),
                "share": counts[i] / asked[true],
                "example_id": query_ids[query],
                "example_found_id": None if found_ids is None else found_ids[query],
            }
        )
    return rows
