"""Scores of specimens one by one: how much a name for each would tell. Higher is sooner."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from biocosmos.identify.namer import FitOptions, Specimens
from biocosmos.identify.namers.linear import Linear
from biocosmos.identify.novelty.registry import make_detector
from biocosmos.identify.predictions import Predictions
from biocosmos.search.gallery import Gallery

Array = npt.NDArray[Any]
DECIDED = 0.8
"""A rank is decided from this probability of its likeliest taxon on."""
FOLDS = 5


def margin(found: Predictions) -> Array:
    """(n,) 1 - (p of the likeliest taxon - p of the second), in [0, 1] (Scheffer et al. 2001, "Active hidden Markov models")."""
    p = found.class_probabilities()
    if p.shape[1] < 2:
        return np.zeros(len(p))
    two = np.partition(p, -2, axis=1)[:, -2:]
    return np.asarray(1 - (two[:, 1] - two[:, 0]))


def undecided_entropy(found: Predictions) -> Array:
    """(n,) entropy in nats over the taxa of the coarsest rank whose likeliest taxon has less than 0.8, so that an animal of
    unknown class comes before one of unknown species; what is decided at every rank has that of its classes.

    What no taxon of the rank holds (paths that end above it, or skip it) counts as one more.
    """
    tree = found.taxonomy
    out = np.full(len(found), np.nan)
    for rank in tree.ranks:
        nodes = tree.at_rank(rank)
        p = np.exp(found.log_p[:, nodes].astype(np.float64))
        rest = np.clip(1 - p.sum(axis=1), 0, 1)
        if not p.shape[1]:
            continue
        undecided = np.isnan(out) & (np.maximum(p.max(axis=1), rest) < DECIDED)
        out[undecided] = _entropy(np.column_stack([p[undecided], rest[undecided]]))
    left = np.isnan(out)
    out[left] = _entropy(found.class_probabilities()[left])
    return out


def _entropy(p: Array) -> Array:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(-np.where(p > 0, p * np.log(p), 0.0).sum(axis=1))


def scored(
    candidates: Gallery, known: Gallery, score: Callable[[Predictions], Array]
) -> tuple[Array, npt.NDArray[np.int32], npt.NDArray[np.float32]]:
    """(scores (n,), likeliest taxon (n,) int32 nodes, its p (n,) float32) by a head fitted on ``known``; a block at a time."""
    head = Linear.fit(known, FitOptions())
    return _told(list(_parts(head, candidates, score)))


def novelty(candidates: Gallery, known: Gallery, detector: str) -> tuple[Array, Array, Array]:
    """The same with the score of a novelty detector fitted on the head's predictions of ``known``."""
    head = Linear.fit(known, FitOptions())
    learnt = Predictions.concatenate(head.stream([_specimens(known)]))
    fitted = make_detector(detector).fit(learnt)
    return _told(list(_parts(head, candidates, lambda found: np.nan_to_num(fitted.scores(found), nan=-np.inf))))


def distance(candidates: Gallery, known: Gallery) -> Array:
    """(n,) 1 - cosine to the nearest specimen of ``known``: novelty where names of fewer than two taxa are known."""
    found = known.search(candidates.vectors, 1)
    return np.asarray(1 - found.scores[:, 0], np.float64)


def disagreement(known: Gallery, seed: int) -> tuple[Array, Array, Array]:
    """Of labelled specimens: 1 - p of the label by a head fitted without the specimen's fold; NaN where nothing else of its
    taxon is left. Folds take turns within each taxon, in an order drawn by ``seed``."""
    assert known.taxa is not None
    n = len(known)
    drawn = np.random.default_rng(seed).permutation(n)
    order = drawn[np.argsort(known.taxa[drawn], kind="stable")]
    _, first, counts = np.unique(known.taxa[order], return_index=True, return_counts=True)
    fold = np.empty(n, np.int64)
    fold[order] = (np.arange(n) - np.repeat(first, counts)) % FOLDS
    out, taxa, p = np.full(n, np.nan), np.zeros(n, np.int32), np.full(n, np.nan, np.float32)
    for number in range(FOLDS):
        asked = np.flatnonzero(fold == number)
        rest = known.subset(fold != number)
        assert rest.taxa is not None
        if not len(asked) or len(np.unique(rest.taxa)) < 2:
            continue
        labels = known.taxa[asked]
        there = np.isin(labels, rest.taxa)
        found = scored(known.subset(fold == number), rest, _not_label)
        out[asked], taxa[asked], p[asked] = np.where(there, found[0], np.nan), found[1], found[2]
    return out, taxa, p


def _not_label(found: Predictions) -> Array:
    p = np.exp(found.log_p[np.arange(len(found)), found.truth])
    return np.asarray(1 - p, np.float64)


def _specimens(gallery: Gallery) -> Specimens:
    return Specimens(ids=gallery.ids, vectors=gallery.vectors, truth=gallery.taxa)


def _parts(head: Linear, candidates: Gallery, score: Callable[[Predictions], Array]) -> Iterator[tuple[Array, Array, Array]]:
    for found in head.stream([_specimens(candidates)]):
        p = found.class_probabilities()
        best = p.argmax(axis=1) if len(p) else np.empty(0, np.int64)
        likeliest = p.max(axis=1) if len(p) else np.empty(0)
        yield score(found), found.classes[best], likeliest.astype(np.float32)


def _told(parts: list[tuple[Array, Array, Array]]) -> tuple[Array, Array, Array]:
    scores, taxa, p = (np.concatenate(column) for column in zip(*parts))
    return np.asarray(scores, np.float64), np.asarray(taxa, np.int32), np.asarray(p, np.float32)
