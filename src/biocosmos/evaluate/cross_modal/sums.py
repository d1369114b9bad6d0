"""How much of a second modality helps: the sum of two unit vectors with a weight that validation specimens choose.

TaxaBind (arXiv:2411.00683) adds unit vectors as they are, where a weak modality spoils a strong one. Here v = a + w b, w of
:data:`WEIGHTS`, of those that ask and of those that answer alike; w is what names most validation specimens right at a rank, the
smallest of equal ones, so that w = 0, the first modality alone, stays where nothing is gained.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from biocosmos.evaluate.cross_modal.sides import Array, Side, unit
from biocosmos.evaluate.numbers.bootstrap import Bootstrap
from biocosmos.evaluate.open_world.scores import share_within
from biocosmos.search.exact import ExactIndex

WEIGHTS = (0.0, 0.1, 0.2, 0.35, 0.5, 0.7, 1.0, 1.4, 2.0)
PLAIN = 1.0
Row = dict[str, Any]


def sum_scores(
    keys: Side,
    validation: Side,
    asked: Side,
    pairs: Sequence[tuple[str, str]],
    names: Mapping[str, tuple[Array, Array]] | None = None,
    *,
    bootstrap: Bootstrap | None = None,
) -> list[Row]:
    """One row for each pair of modalities, whom it asks and rank; top-1, every query the same, of specimens that have both.

    pairs: (the first, the second); keys: answer by their own sum; names: rank -> (vectors (t, d) float32 of its taxa, their codes
    (t,)), which answer too. validation chooses, asked is asked once.

    A row has query ("image+place"), key ("sum" or "name"), rank, weight, validation (the share at it), value with low and high at
    it, plain (w = 1), alone (w = 0), specimens. A rank at which no validation specimen has a name is left out.
    """
    boot = Bootstrap() if bootstrap is None else bootstrap
    rows: list[Row] = []
    for first, second in pairs:
        parts = [_both(side, first, second) for side in (keys, validation, asked)]
        if not all(len(part) for part in parts):
            continue
        answering, choosing, asking = parts
        found = {
            weight: [_nearest(_sum(answering, first, second, weight), part, first, second, weight) for part in (choosing, asking)]
            for weight in WEIGHTS
        }
        for rank in (rank for rank in keys.taxa if rank in validation.taxa and rank in asked.taxa):
            near = {weight: [answering.taxa[rank][each] for each in both] for weight, both in found.items()}
            rows += _row(f"{first}+{second}", "sum", rank, near, choosing, asking, boot)
            if names and rank in names:
                vectors, codes = names[rank]
                near = {
                    weight: [codes[_nearest(vectors, part, first, second, weight)] for part in (choosing, asking)]
                    for weight in WEIGHTS
                }
                rows += _row(f"{first}+{second}", "name", rank, near, choosing, asking, boot)
    return rows


def _both(side: Side, first: str, second: str) -> Side:
    return side.subset(side.has(first) & side.has(second))


def _sum(side: Side, first: str, second: str, weight: float) -> Array:
    return unit(unit(side.vectors[first]) + np.float32(weight) * unit(side.vectors[second]))


def _nearest(keys: Array, side: Side, first: str, second: str, weight: float) -> Array:
    """(n,) int64 rows of keys."""
    return np.asarray(ExactIndex(keys).search(_sum(side, first, second, weight), 1).rows[:, 0], np.int64)


def _row(
    query: str, key: str, rank: str, near: Mapping[float, Sequence[Array]], choosing: Side, asking: Side, boot: Bootstrap
) -> list[Row]:
    """near: weight -> the codes of the nearest of validation specimens, and of those that are asked about."""
    chosen_on, true = choosing.taxa[rank], asking.taxa[rank]
    if not (chosen_on >= 0).any() or not (true >= 0).any():
        return []
    none = Bootstrap(0)
    shares = {weight: share_within(chosen_on, both[0][:, None], 1, "micro", none).value for weight, both in near.items()}
    weight = max(shares, key=lambda each: (shares[each], -each))
    at = {each: share_within(true, near[each][1][:, None], 1, "micro", none).value for each in (0.0, PLAIN)}
    value, low, high = share_within(true, near[weight][1][:, None], 1, "micro", boot)
    row = {"query": query, "key": key, "rank": rank, "weight": weight, "validation": shares[weight]}
    row |= {"value": value, "low": low, "high": high, "plain": at[PLAIN], "alone": at[0.0]}
    return [{**row, "specimens": int((true >= 0).sum())}]
