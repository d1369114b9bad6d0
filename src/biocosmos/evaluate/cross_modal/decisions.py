"""Open-world decisions: is an image of a species with image keys, or of one that is known by its barcode alone?

CLIBD (Gong et al., ICLR 2025, scripts method_nn and method_linear): a query gets the label of the seen side where that side's
score is above t, else that of the nearest DNA key of the unseen species. The score is the cosine of the nearest seen image key
("nearest"), or the largest softmax of a linear classifier on seen image vectors ("linear"). t has the best harmonic mean of
species micro top-1 on the validation parts, and is fixed before a test part is looked at. Published: the best of 1,000 values in
[0, 1]; here the exact best, from the scores themselves, which is never worse on validation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from biocosmos.errors import BiocosmosError
from biocosmos.evaluate.cross_modal.scores import Row, nearest
from biocosmos.evaluate.cross_modal.sides import DNA, IMAGE, SEEN, UNSEEN, Array, Side
from biocosmos.evaluate.numbers.bootstrap import Bootstrap
from biocosmos.evaluate.open_world.scores import harmonic_mean, share_within

NEAREST, LINEAR = "nearest", "linear"
SPECIES = "species"
CURVE_POINTS = 101
"""Thresholds at which the curve of a figure is drawn."""


@dataclass(frozen=True, eq=False)
class Choices:
    """What n queries would be called on either side.

    score: (n,) float64 of the seen side; true, by_seen, by_unseen: rank -> (n,) int64 codes, -1 for none.
    """

    score: Array
    true: Mapping[str, Array]
    by_seen: Mapping[str, Array]
    by_unseen: Mapping[str, Array]

    def said(self, rank: str, t: float) -> Array:
        """(n,) codes at a rank where the seen side decides above t."""
        return np.where(self.score > t, self.by_seen[rank], self.by_unseen[rank])

    def right(self, rank: str, thresholds: Array) -> Array:
        """(m,) float64: the share of queries with a name at the rank that is right, at each threshold; NaN where none has one."""
        named = self.true[rank] >= 0
        if not named.any():
            return np.full(len(thresholds), np.nan)
        true, order = self.true[rank][named], np.argsort(self.score[named], kind="stable")
        seen, unseen = ((side[rank][named] == true)[order] for side in (self.by_seen, self.by_unseen))
        below = np.append(0, np.cumsum(unseen)), seen.sum() - np.append(0, np.cumsum(seen))
        at = np.searchsorted(self.score[named][order], thresholds, side="right")
        shares: Array = (below[0][at] + below[1][at]) / len(true)
        return shares


class Chosen(NamedTuple):
    """A threshold and the harmonic mean that it has where it was chosen."""

    t: float
    harmonic_mean: float


def best_threshold(seen: Choices, unseen: Choices, rank: str = SPECIES) -> Chosen:
    """The threshold with the best harmonic mean of micro top-1 over both parts, exactly; of equal ones the lowest.

    It lies half way between two scores. Raises BiocosmosError where a part has no query with a name at the rank.
    """
    for part, choices in ((SEEN, seen), (UNSEEN, unseen)):
        if not (choices.true[rank] >= 0).any():
            raise BiocosmosError(f"no query of the {part} part that sets the threshold has a {rank}: name another part")
    scores = np.unique(np.concatenate([seen.score, unseen.score]))
    ends = np.concatenate([[min(-1.0, scores[0])], scores, [max(1.0, scores[-1])]])
    between = (ends[:-1] + ends[1:]) / 2
    means = harmonic_means(seen.right(rank, between), unseen.right(rank, between))
    best = int(np.argmax(means))
    return Chosen(float(between[best]), float(means[best]))


def harmonic_means(seen: Array, unseen: Array) -> Array:
    """:func:`harmonic_mean` of every pair: (m,) float64."""
    return np.array([harmonic_mean(float(a), float(b)) for a, b in zip(seen, unseen)])


def nearest_choices(seen_keys: Side, unseen_keys: Side, queries: Side) -> Choices:
    """By the nearest image key of seen species and the nearest DNA key of unseen ones, for every query with an image."""
    rows = queries.rows(IMAGE)
    near, scores = nearest(seen_keys, queries, IMAGE, IMAGE, 1)
    return _choices(seen_keys, near[:, 0], scores[:, 0], unseen_keys, queries.subset(rows))


def linear_choices(seen_keys: Side, unseen_keys: Side, queries: Mapping[str, Side]) -> dict[str, Choices]:
    """By a softmax regression on the image vectors of seen species, and the nearest DNA key of unseen ones; one fit for all.

    queries: part -> who asks. Other ranks of a species are those of its first key, as published. Raises BiocosmosError for fewer
    than two species.
    """
    from biocosmos.identify.namers.linear import LinearHead
    from biocosmos.identify.paths import probabilities

    rows = seen_keys.rows(IMAGE)
    rows = rows[seen_keys.taxa[SPECIES][rows] >= 0]
    head = LinearHead.fit(seen_keys.vectors[IMAGE][rows], seen_keys.taxa[SPECIES][rows])
    first = rows[np.unique(seen_keys.taxa[SPECIES][rows], return_index=True)[1]]
    made = {}
    for part, side in queries.items():
        asked = side.subset(side.rows(IMAGE))
        said = probabilities(head.scores(asked.vectors[IMAGE]), 1.0)
        made[part] = _choices(seen_keys, first[said.argmax(axis=1)], said.max(axis=1), unseen_keys, asked)
    return made


def _choices(seen_keys: Side, by_seen: Array, score: Array, unseen_keys: Side, queries: Side) -> Choices:
    by_unseen = nearest(unseen_keys, queries, IMAGE, DNA, 1)[0][:, 0]
    codes = [
        {rank: np.append(taxa, -1)[rows] for rank, taxa in side.taxa.items()}
        for side, rows in ((seen_keys, by_seen), (unseen_keys, by_unseen))
    ]
    return Choices(score.astype(np.float64), queries.taxa, *codes)


def decision_scores(
    scheme: str, chosen: Chosen, seen: Choices, unseen: Choices, *, bootstrap: Bootstrap | None = None
) -> list[Row]:
    """Rows of scheme, rank, average, t, and seen, unseen and harmonic mean at t; how many of each part the seen side named; the
    harmonic mean that t had on validation; and the best t for these very queries ("oracle"), which nobody can know beforehand."""
    boot = Bootstrap() if bootstrap is None else bootstrap
    oracle = best_threshold(seen, unseen)
    shared = {"scheme": scheme, "t": chosen.t, "validation": chosen.harmonic_mean, "oracle_t": oracle.t}
    shared |= {f"{part}_by_seen": float((side.score > chosen.t).mean()) for part, side in ((SEEN, seen), (UNSEEN, unseen))}
    rows = []
    for rank in seen.true:
        if not any((side.true[rank] >= 0).any() for side in (seen, unseen)):
            continue
        for average in ("micro", "macro"):
            row: Row = {**shared, "rank": rank, "average": average}
            best = {}
            for part, side in ((SEEN, seen), (UNSEEN, unseen)):
                found = share_within(side.true[rank], side.said(rank, chosen.t)[:, None], 1, average, boot)
                row |= {f"{part}{end}": of for end, of in zip(("", "_low", "_high"), found)}
                best[part] = share_within(side.true[rank], side.said(rank, oracle.t)[:, None], 1, average, Bootstrap(0)).value
            row["harmonic_mean"] = harmonic_mean(row[SEEN], row[UNSEEN])
            rows.append({**row, "oracle_harmonic_mean": harmonic_mean(best[SEEN], best[UNSEEN])})
    return rows


def decision_curve(scheme: str, seen: Choices, unseen: Choices, points: int = CURVE_POINTS) -> list[Row]:
    """Rows of scheme, t in [0, 1], and the micro shares of species at it with their harmonic mean; t at steps of [0, 1] and of
    the scores, which are small where there are many species."""
    steps = np.linspace(0, 1, points)
    scores = np.quantile(np.concatenate([seen.score, unseen.score]), steps)
    at = np.unique(np.concatenate([steps, np.clip(scores, 0, 1)]))
    a, b = seen.right(SPECIES, at), unseen.right(SPECIES, at)
    columns = zip(at.tolist(), a.tolist(), b.tolist(), harmonic_means(a, b).tolist())
    return [{"scheme": scheme, "t": t, SEEN: x, UNSEEN: y, "harmonic_mean": mean} for t, x, y, mean in columns]
