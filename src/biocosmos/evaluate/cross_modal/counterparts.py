"""A specimen's vector of one modality asked for the same specimen's vector of another: R@k, as TaxaBind's tables have it.

    rows = counterpart_scores(side, cells)

Sastry et al., TaxaBind, WACV 2025 (arXiv:2411.00683); its retrieval is in no public file, so that what counts is said here. All
that ask also answer. Many specimens may share one answer: those of one cell have one place, those with equal vectors cannot be
told apart. So *answers* are put in order, each by its nearest specimen, and a query is right within k when its own is one of the
first k. An answer as near as the own one stands before it: what tells nothing apart finds nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from biocosmos.encoders.modality import MODALITIES
from biocosmos.evaluate.cross_modal.sides import Array, Side
from biocosmos.evaluate.numbers.bootstrap import Bootstrap, Interval

KS = (1, 5, 10)
PLACED = ("place", "satellite")
"""Modalities of which a cell of the map is one answer; an environment is one by its vector, since rasters have cells already."""
Row = dict[str, Any]
_AT_ONCE = 1 << 24


def counterpart_scores(
    side: Side, cells: Array | None = None, *, ks: Sequence[int] = KS, bootstrap: Bootstrap | None = None
) -> list[Row]:
    """One row for each ordered pair of modalities, k and average.

    cells: (n,) int64, of the place of each specimen, negative where not known; None for none. bootstrap: of intervals, by default
    1,000 draws of whole answers, since specimens of one place are no independent ones.

    A row has query, key, k, average (micro: every specimen counts the same; macro: every answer), value with low and high;
    chance: answers drawn at random; commonest: always the k answers that most specimens share, which only these very specimens
    tell; specimens, answers; median_rank of the own answer, 1 for the first.
    """
    boot = replace(Bootstrap() if bootstrap is None else bootstrap, resample="taxa")
    rows: list[Row] = []
    there = [modality for modality in MODALITIES if side.has(modality).any()]
    for query in there:
        for key in there:
            both = np.flatnonzero(side.has(query) & side.has(key))
            if query == key or len(both) < 2:
                continue
            codes = answers(side.vectors[key][both], None if cells is None or key not in PLACED else cells[both])
            places = ranks_of_own(side.vectors[query][both], side.vectors[key][both], codes)
            counts = np.bincount(codes)
            common = np.sort(counts)[::-1]
            facts = {"specimens": len(both), "answers": len(counts), "median_rank": float(np.median(places))}
            for k in ks:
                hits = np.bincount(codes, places <= k, len(counts)).astype(np.int64)
                chance = min(k, len(counts)) / len(counts)
                most = {"micro": float(common[:k].sum() / len(both)), "macro": chance}
                for average, found in (("micro", boot.micro(hits, counts)), ("macro", boot.macro(hits, counts))):
                    row = {"query": query, "key": key, "k": k, "average": average, **_told(found)}
                    rows.append({**row, "chance": chance, "commonest": most[average], **facts})
    return rows


def answers(vectors: Array, cells: Array | None) -> Array:
    """(n,) int64 codes from 0: specimens of one code are one answer, those of a known cell, else those with equal vectors."""
    codes = np.unique(vectors, axis=0, return_inverse=True)[1].reshape(-1).astype(np.int64)
    if cells is not None:
        known = cells >= 0
        codes = np.where(known, np.unique(cells, return_inverse=True)[1].reshape(-1) + len(codes), codes)
    return np.asarray(np.unique(codes, return_inverse=True)[1].reshape(-1), np.int64)


def ranks_of_own(queries: Array, keys: Array, codes: Array) -> Array:
    """(n,) int64 places, from 1, of each query's own answer among all answers, an answer as near as its nearest key.

    queries, keys: (n, d) float32 unit rows of the same specimens; codes: (n,) of the answers, from 0 without a gap.
    """
    order = np.argsort(codes, kind="stable")
    starts = np.searchsorted(codes[order], np.arange(int(codes.max()) + 1))
    sorted_keys = np.ascontiguousarray(keys[order]).T
    out = np.empty(len(queries), np.int64)
    step = max(1, _AT_ONCE // len(keys))
    for start in range(0, len(queries), step):
        mine = slice(start, min(start + step, len(queries)))
        nearest = np.maximum.reduceat(queries[mine] @ sorted_keys, starts, axis=1)
        own = nearest[np.arange(len(nearest)), codes[mine]]
        out[mine] = (nearest >= own[:, None]).sum(1)
    return out


def _told(found: Interval) -> Row:
    return {"value": found.value, "low": found.low, "high": found.high}
