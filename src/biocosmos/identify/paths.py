"""From probabilities of candidate taxa to one consistent path down the taxonomy."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from biocosmos.identify.blocks import FloatArray, NodeArray
from biocosmos.taxonomy import Taxonomy

Probabilities = NDArray[np.float64]
KEPT_TREES = 8
_TREES: dict[tuple[str, bytes], CandidateTree] = {}


def probabilities(scores: FloatArray, temperature: float) -> Probabilities:
    """softmax(scores / temperature) over the candidates: (q, C) float64, rows sum to 1; -inf scores get 0."""
    logits = scores.astype(np.float64) / temperature
    logits -= logits.max(axis=1, keepdims=True)
    np.exp(logits, out=logits)
    logits /= logits.sum(axis=1, keepdims=True)
    return logits


def log_softmax(z: Probabilities) -> Probabilities:
    """Over the last axis of (q, k); a row of -inf stays as it is."""
    top = z.max(axis=1, keepdims=True)
    z = z - np.where(np.isfinite(top), top, 0.0)
    return np.asarray(
        z - np.log(np.maximum(np.exp(z).sum(axis=1, keepdims=True), 1.0))
    )  # the sum is 1 or more, or the row is -inf


class CandidateTree:
    """The part of a taxonomy that stands above a set of candidate taxa.

    p(node) = the sum of p over the candidates at or below it; candidates are in depth-first order, so that is a difference
    of two cumulative sums. Candidates may be inner nodes (specimens known to genus only): their own mass counts for
    themselves and for what is above.

    ``nodes``: (N,) int32 ascending taxonomy ids of the candidates and all their ancestors, the root first.
    """

    def __init__(self, taxonomy: Taxonomy, candidates: NodeArray) -> None:
        self.taxonomy, self.candidates = taxonomy, np.asarray(candidates, np.int32)
        above = taxonomy.lineage(self.candidates)
        self.nodes: NodeArray = np.unique(np.append(above[above >= 0], 0)).astype(np.int32)
        self.start = np.searchsorted(self.candidates, self.nodes)
        self.stop = np.searchsorted(self.candidates, taxonomy.end[self.nodes])
        self.own = np.isin(self.nodes, self.candidates)
        self.ranks = taxonomy.rank[self.nodes].astype(np.int64)
        parents = np.searchsorted(self.nodes, np.maximum(taxonomy.parent[self.nodes], 0))
        parents[0] = -1
        self._children = np.argsort(parents, kind="stable")[1:]
        self._first_child = np.searchsorted(parents[self._children], np.arange(len(self.nodes) + 1))

    def children(self, place: int) -> NDArray[np.int64]:
        """The places in ``nodes`` of what is right below the node at a place: ascending."""
        return self._children[self._first_child[place] : self._first_child[place + 1]]

    def choices(self, log_c: Probabilities, place: int) -> tuple[Probabilities, int]:
        """Log p of what can be chosen below a place that has children, from log p of the candidates (q, C): (q, own + children)
        float64, its own mass first if it is a candidate (own = 1)."""
        own, first = int(self.own[place]), int(self.start[place])
        starts = self.start[self.children(place)] - first
        inside = log_c[:, first : int(self.stop[place])]
        return np.logaddexp.reduceat(inside, np.append(np.zeros(own, np.int64), starts), axis=1), own

    def position(self, taxa: NodeArray) -> NDArray[np.int64]:
        """Index into ``nodes`` of each taxon, or of its nearest ancestor among them: (n,) int64."""
        taxa = np.asarray(taxa, np.int64)
        out = np.zeros(len(taxa), np.int64)
        todo = np.arange(len(taxa))
        while len(todo):
            at = np.searchsorted(self.nodes, taxa[todo])
            hit = (at < len(self.nodes)) & (self.nodes[np.minimum(at, len(self.nodes) - 1)] == taxa[todo])
            out[todo[hit]] = at[hit]
            todo = todo[~hit]
            taxa[todo] = np.maximum(self.taxonomy.parent[taxa[todo]], 0)
        return out

    def mass(self, p: Probabilities, position: NDArray[np.int64]) -> Probabilities:
        """p of one node per query: p (q, C), position (q,) into ``nodes``. Returns (q,) float64."""
        sums = _cumulative(p)
        at = np.arange(len(p))
        return sums[at, self.stop[position]] - sums[at, self.start[position]]

    def log_p(self, logits: FloatArray, nodes: NodeArray) -> Probabilities:
        """log p of some nodes of the taxonomy for each query, a row each: logits (q, C), nodes (q, m) -> (q, m) float64; -inf for
        a node without a candidate at or below it. Of -1 it is that of the root, 0."""
        nodes = np.maximum(nodes, 0)
        start, stop = np.searchsorted(self.candidates, nodes), np.searchsorted(self.candidates, self.taxonomy.end[nodes])
        scores = logits.astype(np.float64)
        scores -= scores.max(axis=1, keepdims=True)
        np.exp(scores, out=scores)
        out = np.empty(nodes.shape)
        for row, (first, last) in enumerate(zip(start, stop, strict=True)):
            out[row] = [scores[row, a:b].sum() for a, b in zip(first, last, strict=True)]
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(out / scores.sum(axis=1, keepdims=True)))

    def best_path(self, p: Probabilities) -> tuple[NDArray[np.int32], Probabilities]:
        """Walk from the root, each time to the most probable child, until none is as probable as stopping there.

        Every node with p > 1/2 lies on this path, which the path to the most probable leaf does not promise; so a roll-back
        with a threshold above 1/2 loses no answer. Ties go to the first child. The walk stops at an inner candidate whose own
        mass is larger than its best child's.

        p: (q, C) float64. Returns nodes (q, R) int32, -1 where the path has no node of that rank, and their p (q, R) float64,
        NaN there; R = number of ranks.
        """
        sums, ranks = _cumulative(p), len(self.taxonomy.ranks)
        nodes = np.full((len(p), ranks), -1, np.int32)
        masses = np.full((len(p), ranks), np.nan)
        here = np.zeros(len(p), np.int64)
        walking = np.arange(len(p))
        while len(walking):
            order = walking[np.argsort(here[walking], kind="stable")]
            places, firsts = np.unique(here[order], return_index=True)
            moved = []
            for place, queries in zip(places, np.split(order, firsts[1:])):
                children = self.children(place)
                if not len(children):
                    continue
                below = sums[queries[:, None], self.stop[children]] - sums[queries[:, None], self.start[children]]
                best = below.argmax(axis=1)
                mass = below[np.arange(len(queries)), best]
                if self.own[place]:
                    own = p[queries, self.start[place]]
                    go = mass >= own
                    queries, best, mass = queries[go], best[go], mass[go]
                here[queries] = children[best]
                nodes[queries, self.ranks[children[best]]] = self.nodes[children[best]]
                masses[queries, self.ranks[children[best]]] = mass
                moved.append(queries)
            walking = np.concatenate(moved) if moved else np.empty(0, np.int64)
        return nodes, np.clip(masses, 0, 1)


def candidate_tree(taxonomy: Taxonomy, candidates: NodeArray) -> CandidateTree:
    """The tree above the candidates, made once for every block of a stream."""
    key = (taxonomy.digest, np.asarray(candidates, np.int32).tobytes())
    if key not in _TREES:
        while len(_TREES) >= KEPT_TREES:
            _TREES.pop(next(iter(_TREES)), None)
        _TREES[key] = CandidateTree(taxonomy, candidates)
    return _TREES[key]


def _cumulative(p: Probabilities) -> Probabilities:
    sums = np.zeros((p.shape[0], p.shape[1] + 1))
    np.cumsum(p, axis=1, out=sums[:, 1:])
    return sums


def judge(taxonomy: Taxonomy, answers: NDArray[np.int32], truth: NDArray[np.int32]) -> NDArray[np.int8]:
    """Is each answer right? 1 the truth has this taxon at this rank; 0 it has another one here or above; -1 cannot be told.

    It cannot be told where there is no answer (-1), no truth (0 or -1), or the truth has no name at this rank and none above
    that speaks against the answer: truth "genus Calanus" and answer a species of Calanus, or a truth whose status is unknown
    and answer "living". A null rank is a name that nobody gave, not a mistake of the answer.

    answers: (q, R) int32, a path per row; truth: (q,) int32. Returns (q, R) int8.
    """
    true = taxonomy.lineage(np.maximum(truth, 0))
    both = (answers >= 0) & (true >= 0)
    against = np.logical_or.accumulate(both & (answers != true), axis=1)
    out = np.where(against, 0, np.where(both, 1, -1)).astype(np.int8)
    out[answers < 0] = -1
    return out
