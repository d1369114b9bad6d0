"""The deepest taxon that a group certainly belongs to.

A linear head on the known specimens says of each member how probable every known taxon is; the mean over the members of a group
is surer than any of them. The answer is the deepest taxon above the species whose mean probability reaches a threshold. The
threshold is the least at which groups whose own taxon was left out of the head are placed wrongly in at most the promised share:
known taxa are left out in turn, fold by fold, and placed as unknown ones are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from biocosmos.discover.clusters import cluster
from biocosmos.identify.namers.linear import LinearHead
from biocosmos.progress import progress
from biocosmos.taxonomy import Taxonomy

Array = npt.NDArray[Any]
FOLDS = 5
MOST = 8000
"""Known specimens that the heads are fitted on, a seeded sample of more."""
LEAST_MEMBERS = 5
GROUP, OF_A_TAXON = 25, 8
"""Specimens of a group that calibrates, as of those that are answered, and groups of one taxon at most."""
LEAST_PLACED = 5
NOWHERE = 2.0
"""A threshold that nothing reaches."""
THRESHOLDS = np.round(np.arange(0.30, 1.0, 0.05), 2)


@dataclass(frozen=True, eq=False)
class Placing:
    """nodes: (g,) the taxon of each group, 0 (the root) where none is sure enough; probability: (g,) its mean probability;
    threshold: that was calibrated; wrong: the share of left-out taxa that it placed wrongly, of those it placed; placed: how
    many of ``tried`` it placed."""

    nodes: Array
    probability: Array
    threshold: float
    wrong: float
    placed: int
    tried: int


def place_groups(
    tree: Taxonomy, known: Array, taxa: Array, vectors: Array, labels: Array, *, promise: float = 0.2, seed: int = 0
) -> Placing:
    """Where the groups ``labels`` (n,) of ``vectors`` (n, d) belong, by the known specimens (m, d) of ``taxa`` (m,).

    promise: the share of placed groups that may be placed wrongly.
    """
    rng = np.random.default_rng(seed)
    if len(known) > MOST:
        rows = np.sort(rng.choice(len(known), MOST, replace=False))
        known, taxa = known[rows], taxa[rows]
    means, truths = _left_out(known, taxa, rng)
    threshold, wrong, placed = _threshold(tree, means, truths, promise)
    head = LinearHead.fit(known, taxa.astype(np.int32))
    groups = [_node_means(tree, head, vectors[labels == group]) for group in range(int(labels.max(initial=-1)) + 1)]
    inner = _inner(tree, taxa)
    found = [_deepest(tree, mean, inner, threshold) for mean in groups]
    probability = np.array([mean[node] for mean, node in zip(groups, found)])
    return Placing(np.array(found, np.int64), probability, threshold, wrong, placed, len(set(truths)))


def _left_out(known: Array, taxa: Array, rng: np.random.Generator) -> tuple[list[tuple[LinearHead, Array]], list[int]]:
    """Groups of every known taxon, as large as those that are answered: (a head that never saw the taxon, vectors), and its
    node."""
    classes = np.unique(taxa)
    fold = rng.permutation(len(classes)) % FOLDS
    found, truths = [], []
    with progress("leave out", total=FOLDS, unit="folds") as bar:
        for number in range(FOLDS):
            out = np.isin(taxa, classes[fold == number])
            if out.any() and len(np.unique(taxa[~out])) > 1:
                head = LinearHead.fit(known[~out], taxa[~out].astype(np.int32))
                for taxon in classes[fold == number]:
                    mine = known[taxa == taxon]
                    if len(mine) < LEAST_MEMBERS:
                        continue
                    count = max(round(len(mine) / GROUP), 1)
                    parts = cluster(mine, reducer="none", method="ward", clusters=count).labels
                    kept = [part for part in range(count) if (parts == part).sum() >= LEAST_MEMBERS][:OF_A_TAXON]
                    found += [(head, mine[parts == part]) for part in kept]
                    truths += [int(taxon)] * len(kept)
            bar.advance()
    return found, truths


def _threshold(
    tree: Taxonomy, asked: list[tuple[LinearHead, Array]], truths: list[int], promise: float
) -> tuple[float, float, int]:
    """(the least threshold that keeps the promise, the share placed wrongly, how many are placed).

    Every taxon counts as one, however many groups it has. Where fewer than :data:`LEAST_PLACED` taxa are placed, or no threshold
    keeps the promise, it is above 1: nothing is placed on a calibration of nothing.
    """
    means = [_node_means(tree, head, x) for head, x in asked]
    inner = [_inner(tree, head.candidates.astype(np.int64)) for head, _ in asked]
    weight = 1 / np.array([truths.count(truth) for truth in truths], np.float64) if truths else np.empty(0)
    for threshold in THRESHOLDS:
        nodes = np.array([_deepest(tree, mean, able, float(threshold)) for mean, able in zip(means, inner)], np.int64)
        placed = nodes > 0
        truth = np.array(truths, np.int64)
        right = (nodes <= truth) & (truth < tree.end[nodes])
        share, amount = float(weight[placed & ~right].sum()), float(weight[placed].sum())
        if amount >= LEAST_PLACED and (share + 1) / (amount + 1) <= promise:  # one more taxon, wrong, would still do
            return float(threshold), share / amount, len(set(truth[placed].tolist()))
    return NOWHERE, 0.0, 0


def _node_means(tree: Taxonomy, head: LinearHead, x: Array) -> Array:
    """(nodes,) mean probability of every node over the rows of x."""
    scores = head.scores(x).astype(np.float64)
    scores -= scores.max(axis=1, keepdims=True)
    p = np.exp(scores)
    leaves = np.zeros(len(tree) + 1)
    leaves[1:][head.candidates] = (p / p.sum(axis=1, keepdims=True)).mean(axis=0)
    below = np.cumsum(leaves)
    return np.asarray(below[tree.end] - below[np.arange(len(tree))])


def _inner(tree: Taxonomy, taxa: Array) -> Array:
    """(nodes,) bool: above a known taxon, not one itself: an unknown taxon is none of them."""
    inner = np.zeros(len(tree), bool)
    for taxon in np.unique(taxa):
        node = int(tree.parent[taxon])
        while node > 0:
            inner[node] = True
            node = int(tree.parent[node])
    inner[np.unique(taxa)] = False
    return inner


def _deepest(tree: Taxonomy, mean: Array, inner: Array, threshold: float) -> int:
    """The deepest inner node that reaches the threshold, of equals the most probable; 0 for none."""
    able = np.flatnonzero(inner & (mean >= threshold))
    if not len(able):
        return 0
    return int(able[np.lexsort((-mean[able], -tree.depth[able].astype(np.int64)))[0]])
