"""What is said of the crops of a track, fused: one row of log p a track, for everything that stands on predictions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from biocosmos.errors import BiocosmosError
from biocosmos.identify.paths import log_softmax
from biocosmos.identify.predictions import Predictions

Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]
STRAY = 0.02
"""Probability that a crop shows another animal than its track, or nothing: then it says nothing. No single crop can veto."""
_CORRELATIONS = np.linspace(0, 1, 41)
_USUAL, _PULL = 0.5, 1.0
"""Correlation where no track tells, and how strongly others are pulled to it: in tracks, for a difference of one."""


@dataclass(frozen=True)
class Fusion:
    """The choices among siblings at every step down the tree, fused over the n crops of a track.

        log p(v | parent of v)  is proportional to  k / n * sum over the crops i of log p_i(v | parent of v)
        k = n / (1 + (n - 1) r)

    p_i is mixed with an even choice, :data:`STRAY` of it. With r = 0 crops are independent and the product of their
    probabilities is Bayes' rule for siblings that are equally common; with r = 1 a hundred crops say as much as one (their
    geometric mean). k is the effective number of equally correlated measurements (Kish: Survey Sampling, 1965). Crops of one
    track are far from independent: the animal sits in one pose before one background; how far, is fitted for each rank on
    held-out tracks, as temperatures are (:class:`biocosmos.identify.confidence.temperature.Temperatures`). Fused step by
    step, what all crops agree on at a coarse rank is not lost where they differ at a fine one.

    ranks: of the tree; correlation: r of the step to each rank; tracks: how many it was fitted on.
    """

    ranks: tuple[str, ...]
    correlation: tuple[float, ...]
    tracks: int = 0

    @classmethod
    def usual(cls, ranks: Sequence[str]) -> Fusion:
        """Where no held-out track tells: r = 1, a track is as sure as one of its crops."""
        return cls(tuple(ranks), (1.0,) * len(ranks))

    @classmethod
    def fit(cls, predictions: Predictions, track: Int64, kept: NDArray[np.bool_]) -> Fusion:
        """The r of each step with the least mean -log p of the true choice, on the tracks of a mask.

        predictions: of n crops; track (n,) int64, from 0 to t - 1, -1 for a crop of none; kept (t,).
        """
        tree, end = predictions.tree, predictions.taxonomy.end
        truth, counts = track_truth(predictions, track, len(kept)), _counts(track, len(kept))
        losses = np.zeros((len(predictions.ranks), len(_CORRELATIONS)))
        for place, children, means in _choices(predictions, track, len(kept)):
            step = tree.ranks[place] + 1
            inside = (children[None] <= truth[:, None]) & (truth[:, None] < end[children][None])
            if tree.own[place]:  # right where the truth is this very node
                inside = np.column_stack([(truth == tree.nodes[place]) & (truth > 0), inside])
            rows = np.flatnonzero(inside.any(axis=1) & kept & (counts > 1))
            for tried, r in enumerate(_CORRELATIONS):
                fused = log_softmax(_effective(counts[rows], float(r))[:, None] * means[rows])
                losses[step, tried] -= fused[np.arange(len(rows)), inside[rows].argmax(axis=1)].sum()
        losses += _PULL * (_CORRELATIONS - _USUAL) ** 2
        best = _CORRELATIONS[losses.argmin(axis=1)]
        return cls(predictions.ranks, tuple(map(float, best)), int((kept & (counts > 1)).sum()))

    def __call__(self, predictions: Predictions, track: Int64, names: Sequence[str]) -> Predictions:
        """One row a track: ids are ``names`` (t,); logits the fused log p of the classes; features the mean; truth: see
        :func:`track_truth`. A track without a crop is not known at all: every choice is even.

        Raises BiocosmosError for predictions over other ranks.
        """
        if predictions.ranks != self.ranks:
            raise BiocosmosError(
                f"a fusion over {', '.join(self.ranks)} cannot serve predictions of {', '.join(predictions.ranks)}"
            )
        count, tree = len(names), predictions.tree
        counts = _counts(track, count)
        log_p = np.zeros((count, len(predictions.taxonomy)))
        own = np.full((count, len(predictions.classes)), np.nan)
        for place, children, means in _choices(predictions, track, count):
            above = log_p[:, [tree.nodes[place]]]
            fused = above + log_softmax(_effective(counts, self.correlation[tree.ranks[place] + 1])[:, None] * means)
            if tree.own[place]:  # stopping there is one of the choices
                own[:, tree.start[place]], fused = fused[:, 0], fused[:, 1:]
            log_p[:, children] = fused
        logits = np.where(np.isnan(own), log_p[:, predictions.classes], own)
        digest = predictions.facts.get("digest")
        return Predictions(
            ids=np.array(list(names), object),
            taxonomy=predictions.taxonomy,
            classes=tree.candidates,
            logits=logits.astype(np.float32),
            features=_means(predictions.features.astype(np.float64), track, count).astype(np.float32),
            truth=track_truth(predictions, track, count),
            facts={**predictions.facts, "digest": None if digest is None else f"{digest} of tracks"},
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {"ranks": list(self.ranks), "correlation": list(self.correlation), "tracks": self.tracks}


def track_truth(predictions: Predictions, track: Int64, count: int) -> NDArray[np.int32]:
    """(t,) int32: the truth of most crops of each track, of two that are as many the later in the tree; 0 for none."""
    out = np.zeros(count, np.int32)
    told = (track >= 0) & (predictions.truth != 0)
    pairs, votes = np.unique(np.column_stack([track[told], predictions.truth[told]]), axis=0, return_counts=True)
    if len(pairs):
        order = np.lexsort((pairs[:, 1], votes))
        out[pairs[order, 0]] = pairs[order, 1]
    return out


def without_scores(predictions: Predictions) -> Predictions:
    """The same without what a fusion does not read, to be kept for many sequences."""
    return replace(predictions, rank_scores=None, rank_nodes=(), columns=None)


def _choices(predictions: Predictions, track: Int64, count: int) -> Iterator[tuple[int, NDArray[np.int32], Float64]]:
    """From the root down, for every node with something below: its place in the tree, the nodes below, and the mean log p over
    the crops of each track (t, k) of each choice among them, after that of the node itself if the namer has a class there."""
    tree, log_c = predictions.tree, log_softmax(predictions.logits.astype(np.float64))
    for place in range(len(tree.nodes)):
        children = tree.nodes[tree.children(place)]
        if not len(children):
            continue
        z, _ = tree.choices(log_c, place)
        p = np.exp(log_softmax(np.where(np.isfinite(z), z, -1e9)))
        yield place, children, _means(np.log((1 - STRAY) * p + STRAY / z.shape[1]), track, count)


def _effective(counts: Int64, correlation: float) -> Float64:
    """(t,) the number of independent crops that n correlated ones are worth."""
    return np.asarray(counts / (1 + np.maximum(counts - 1, 0) * correlation), np.float64)


def _counts(track: Int64, count: int) -> Int64:
    return np.bincount(track[track >= 0], minlength=count).astype(np.int64)


def _means(values: Float64, track: Int64, count: int) -> Float64:
    """(t, k) means of the rows (n, k) of each track, 0 for one without."""
    out = np.zeros((count, values.shape[1]))
    there = track >= 0
    np.add.at(out, track[there], values[there])
    return out / np.maximum(_counts(track, count), 1)[:, None]
