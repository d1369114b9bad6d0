"""Retrieval across modalities by CLIBD's protocol (Gong et al., ICLR 2025, arXiv:2405.17537), as a pure function of arrays.

    keys = Side({"image": ..., "dna": ..., "text": ...}, key_taxa)
    rows = retrieval_scores(keys, {"seen": Side(...), "unseen": Side(...)})

A query of one kind meets keys of another by their cosine. It is right within k, at a rank, when one of its k nearest keys is of
its taxon. Micro: the share of queries; macro: the share within each true taxon, then the mean over true taxa.

Where this departs from the published code: two unknown names are no hit (there "not_classified" equals "not_classified"), and
a query without a name at a rank is left out of that rank and counted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from biocosmos.evaluate.cross_modal.sides import ALL, CONCATENATED, KEYS, QUERIES, SEEN, SUMS, TEXT, UNSEEN, Array, Side
from biocosmos.evaluate.numbers.bootstrap import Bootstrap
from biocosmos.evaluate.open_world.scores import harmonic_mean, share_within
from biocosmos.search.exact import ExactIndex

KS = (1, 3, 5)
AVERAGES = ("micro", "macro")
Row = dict[str, Any]


def pairs(keys: Side, queries: Mapping[str, Side]) -> Iterator[tuple[str, str]]:
    """(kind of the query, kind of the key) of all that can be asked: every modality of every other, averaged ones against all
    but concatenated ones, which stand alone, since they are of twice the dimension; sums of two against their like and texts."""
    there = keys.kinds()
    for query in QUERIES:
        if any(len(side.rows(query)) for side in queries.values()):
            yield from ((query, key) for key in there if _goes(query, key))


def _goes(query: str, key: str) -> bool:
    if query in SUMS or key in SUMS:
        return query == key or (query in SUMS and key == TEXT)
    return (query == CONCATENATED) == (key == CONCATENATED)


def nearest(keys: Side, queries: Side, query: str, key: str, k: int) -> tuple[Array, Array]:
    """The nearest keys of the queries that have this kind: (m, k) int64 specimens among the keys, best first, -1 for none, and
    (m, k) float32 cosines. Equal ones in the order of the keys, the lowest first; of "all" keys in that of image, DNA, text."""
    specimens = np.append(keys.rows(key), -1)
    found = ExactIndex(keys.matrix(key)).search(queries.matrix(query), k)
    return specimens[found.rows], found.scores


def retrieval_scores(
    keys: Side,
    queries: Mapping[str, Side],
    *,
    ks: Sequence[int] = KS,
    averages: Sequence[str] = AVERAGES,
    bootstrap: Bootstrap | None = None,
) -> list[Row]:
    """One row for each pair of kinds, rank, k and average.

    queries: part ("seen", "unseen") -> who asks. bootstrap: of intervals, by default 1,000 draws; ``Bootstrap(0)`` for none.

    A row has query, key, rank, k, average; for each part its share with ``_low`` and ``_high``, ``_answerable`` (the share of
    those that can be right), ``_chance`` (the share for k keys drawn at random with replacement), ``_specimens`` (with this
    modality and a name at the rank), ``_taxa`` of them, ``_unanswerable`` (no key of this kind is of their taxon: they count as
    wrong) and ``_unnamed`` (left out); harmonic_mean of seen and unseen. Where no query of a part can be right, and for a part
    left out, there is no share: NaN.
    """
    boot = Bootstrap() if bootstrap is None else bootstrap
    rows: list[Row] = []
    for query, key in pairs(keys, queries):
        key_rows = keys.rows(key)
        found = {part: nearest(keys, side, query, key, max(ks))[0] for part, side in queries.items() if len(side.rows(query))}
        for rank, codes in keys.taxa.items():
            for k in ks:
                for average in averages:
                    row: Row = {"query": query, "key": key, "rank": rank, "k": k, "average": average}
                    for part in (SEEN, UNSEEN):
                        if part in found and rank in queries[part].taxa:
                            side = queries[part]
                            true, near = side.taxa[rank][side.rows(query)], np.append(codes, -1)[found[part]]
                            row |= {
                                f"{part}{end}": of for end, of in _part(true, near, codes[key_rows], k, average, boot).items()
                            }
                        else:
                            row |= {f"{part}{end}": float("nan") for end in ("", "_low", "_high", "_answerable", "_chance")}
                            row |= {f"{part}_{end}": 0 for end in ("specimens", "taxa", "unanswerable", "unnamed")}
                    rows.append({**row, "harmonic_mean": harmonic_mean(row[SEEN], row[UNSEEN])})
    return rows


def _part(true: Array, near: Array, keys: Array, k: int, average: str, boot: Bootstrap) -> Row:
    """Of one part at one rank; true: (n,) codes of queries, near: (n, m) of their nearest keys, keys: of all keys of the kind."""
    named = true >= 0
    counts = np.bincount(keys[keys >= 0], minlength=int(max(true.max(initial=-1), keys.max(initial=-1))) + 1)
    answerable = named & (counts[np.maximum(true, 0)] > 0) if len(counts) else np.zeros(len(true), np.bool_)
    value = low = high = able = chance = float("nan")
    if answerable.any():
        value, low, high = share_within(true, near, k, average, boot)
        able = share_within(true[answerable], near[answerable], k, average, Bootstrap(0)).value
        chance = _by_chance(true[named], counts / len(keys), k, average)
    facts = {"_specimens": int(named.sum()), "_taxa": len(np.unique(true[named]))}
    facts |= {"_unanswerable": int((named & ~answerable).sum()), "_unnamed": int((~named).sum())}
    return {"": value, "_low": low, "_high": high, "_answerable": able, "_chance": chance, **facts}


def _by_chance(true: Array, shares: Array, k: int, average: str) -> float:
    each = 1 - (1 - shares) ** k
    return float(each[true if average == "micro" else np.unique(true)].mean())


__all__ = ["ALL", "AVERAGES", "KEYS", "KS", "nearest", "pairs", "retrieval_scores"]
