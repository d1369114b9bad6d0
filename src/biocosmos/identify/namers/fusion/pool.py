"""A pool of opinions over one tree: what several namers say of a specimen, weighed by rank, as one distribution."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

from biocosmos.identify.blocks import NodeArray
from biocosmos.taxonomy import Taxonomy

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]

DOUBT = 1e-3
"""Share of a namer's opinion that is that of the prior: how often one is to be expected that says nothing about the specimen."""
PULL = 2.0
"""Strength of the pull of the weights to those of independent opinions."""
ITERATIONS = 200
LIKELY, SAMPLED = 40, 150
"""Classes without children that an opinion brings into the fit of the weights, and how many of the others stand for these."""
PRIOR = "prior"


@dataclass(frozen=True, eq=False)
class Nodes:
    """The tree that opinions are about: m taxa, ascending, the root first, every taxon above one of them among them.

    nodes: (m,) int32 of the taxonomy; each is a class: what is below it and none of its children. parent: (m,) int64 place of
    the parent, -1 of the root; stop: (m,) int64, what is below place i are the places i <= j < stop[i]; step: (m,) int64, 1 + the
    rank of the taxon, 0 the root; inner: (m,) whether it has a child.
    """

    taxonomy: Taxonomy
    nodes: NodeArray

    @classmethod
    def over(cls, taxonomy: Taxonomy, taxa: NodeArray) -> Self:
        """Of some taxa and all above them."""
        above = taxonomy.lineage(np.unique(np.asarray(taxa, np.int32)))
        return cls(taxonomy, np.unique(np.append(above[above >= 0], 0)).astype(np.int32))

    def __len__(self) -> int:
        return len(self.nodes)

    @cached_property
    def parent(self) -> Int64:
        """See the class."""
        found = np.searchsorted(self.nodes, np.maximum(self.taxonomy.parent[self.nodes], 0)).astype(np.int64)
        found[0] = -1
        return found

    @cached_property
    def stop(self) -> Int64:
        """See the class."""
        return np.searchsorted(self.nodes, self.taxonomy.end[self.nodes]).astype(np.int64)

    @cached_property
    def step(self) -> Int64:
        """See the class."""
        return self.taxonomy.rank[self.nodes].astype(np.int64) + 1

    @cached_property
    def inner(self) -> npt.NDArray[np.bool_]:
        """See the class."""
        return np.asarray(self.stop - np.arange(len(self)) > 1)

    @cached_property
    def levels(self) -> list[Int64]:
        """Places by how many taxa are above them, the root's children first."""
        depth = self.taxonomy.depth[self.nodes]
        return [np.flatnonzero(depth == level) for level in range(1, int(depth.max(initial=0)) + 1)]

    def place(self, taxa: npt.NDArray[Any]) -> Int64:
        """Of taxa among them, -1 for others."""
        at = np.minimum(np.searchsorted(self.nodes, taxa), len(self) - 1)
        return np.where(self.nodes[at] == taxa, at, -1).astype(np.int64)

    def mass(self, p: Float64) -> Float64:
        """Of p (n, m) of the classes, that at or below every place: (n, m)."""
        sums = np.zeros((len(p), len(self) + 1))
        np.cumsum(p, axis=1, out=sums[:, 1:])
        return np.asarray(sums[:, self.stop] - sums[:, :-1])

    def down(self, steps: Float64) -> Float64:
        """Sums of (n, m) along the way from the root to every place, in its place."""
        for places in self.levels:
            steps[:, places] += steps[:, self.parent[places]]
        return steps


@dataclass(frozen=True, eq=False)
class Opinion:
    """What one namer says of n specimens, as choices down the tree.

    taken: (n, m) float32, log of the share of its parent's mass that is at or below a place, 0 of the root; kept: (n, m) float32,
    log of the share of the mass at or below a place that is the place's own; 0 of a taxon without children.
    """

    taken: Float32
    kept: Float32

    @classmethod
    def of(cls, tree: Nodes, p: Float64) -> Self:
        """Of probabilities (n, m) above 0 of the classes."""
        mass = np.maximum(tree.mass(p), np.finfo(np.float32).tiny)
        with np.errstate(divide="ignore"):
            log_mass = np.log(mass)
            kept = np.where(tree.inner, np.log(p) - log_mass, 0.0)
        taken = log_mass - log_mass[:, np.maximum(tree.parent, 0)]
        return cls(taken.astype(np.float32), np.asarray(kept, np.float32))

    def best_child(self, tree: Nodes) -> Float32:
        """Log of the largest share of a place's mass that one of its children has, (n, m); 0 of a taxon without children."""
        out = np.full(self.taken.shape, -np.inf, np.float32)
        for places in reversed(tree.levels):
            order = places[np.argsort(tree.parent[places], kind="stable")]
            parents, starts = np.unique(tree.parent[order], return_index=True)
            best = np.maximum.reduceat(self.taken[:, order], starts, axis=1)
            out[:, parents] = np.maximum(out[:, parents], best)
        out[:, ~tree.inner] = 0.0
        return out


def with_doubt(log_p: npt.NDArray[Any], prior: Float64) -> Float64:
    """(n, m) probabilities of log p (n, m), -inf where nothing is said, mixed with the prior (m,) by :data:`DOUBT`."""
    scores = log_p.astype(np.float64)
    top = scores.max(axis=1, keepdims=True)
    p = np.exp(scores - np.where(np.isfinite(top), top, 0.0))
    total = p.sum(axis=1, keepdims=True)
    p = np.where(total > 0, p / np.where(total > 0, total, 1.0), prior)
    return np.asarray((1 - DOUBT) * p + DOUBT * prior)


def prior_of(tree: Nodes, taxa: NodeArray) -> Float64:
    """(m,) how often each class is to be expected: by the known specimens with nodes ``taxa``, one more for every class."""
    place = tree.place(taxa)
    counts = 1.0 + np.bincount(place[place >= 0], minlength=len(tree)).astype(np.float64)
    return np.asarray(counts / counts.sum())


@dataclass(frozen=True, eq=False)
class Asked:
    """Specimens that weights are fitted on: right (n,) int64 places of the classes that are right; gone: (n, 2) int64, places
    first <= j < last that the namers do not know; weight: (n,) float64."""

    right: Int64
    gone: Int64
    weight: Float64


@dataclass(frozen=True, eq=False)
class Pool:
    """One distribution from the opinions of e namers: a logarithmic opinion pool whose weights depend on the rank.

        log p(c) = const + sum over the taxa v from the root's child to c, and the namers i, of
                       a_i[kind c, rank v] * log q_i(v | parent of v)
                   + sum over i of  b_i[rank c] * log q_i(c itself | c)  +  b_0[rank c]    where c has children

    q_i are the namers' probabilities. A class c is of one of two kinds: a taxon without known children, or what nobody knows
    below a taxon, "c itself". The last of the opinions is that of the prior, how often a taxon was seen: with weights 1, 1 and -1
    two namers are pooled as if they were independent, given the taxon. Weights are fitted by likelihood, a conditional logit.
    Where a namer says nothing of "c itself", as one that knows no unknown, it is asked for the largest share of a child instead:
    the surer it is of one child, the less the specimen is of a new one.

    Genest, Zidek: Combining Probability Distributions: A Critique and an Annotated Bibliography, Statistical Science 1986
    (logarithmic pools); McFadden 1974 (the logit).

    names: of the opinions; steps: (2, e, ranks + 1) float64 weights a, of classes without children first; stops: (e + 1,
    ranks + 1) float64 weights b, the last row b_0; knows_unknown: of the opinions.
    """

    tree: Nodes
    names: tuple[str, ...]
    steps: Float64
    stops: Float64
    knows_unknown: tuple[bool, ...]

    @classmethod
    def independent(cls, tree: Nodes, names: Sequence[str], knows_unknown: Sequence[bool]) -> Self:
        """With the weights of independent opinions, the last of which is the prior."""
        ranks = len(tree.taxonomy.ranks) + 1
        steps, stops = np.ones((2, len(names), ranks)), np.zeros((len(names) + 1, ranks))
        informed = len(names) - 1
        steps[:, -1] = 1.0 - informed
        stops[:informed] = np.array(knows_unknown[:-1], np.float64)[:, None]
        stops[informed] = 1.0 - sum(knows_unknown[:-1])
        return cls(tree, tuple(names), steps, stops, tuple(knows_unknown))

    def scores(self, opinions: Sequence[Opinion], gone: Int64 | None = None) -> Float64:
        """(n, m) float64, the log of what is not yet a probability; gone: (n, 2) places that are not known, -inf."""
        step, inner = self.tree.step, self.tree.inner
        ways = []
        for weights in self.steps:
            way = np.zeros(opinions[0].taken.shape)
            for opinion, by_rank in zip(opinions, weights, strict=True):
                way += opinion.taken * by_rank[step]
            way[:, 0] = 0.0
            ways.append(self.tree.down(way))
        out = np.where(inner, ways[1], ways[0])
        for log_q, by_rank in zip(self._stopped(opinions), self.stops[:-1], strict=True):
            out += log_q * np.where(inner, by_rank[step], 0.0)
        out += np.where(inner, self.stops[-1][step], 0.0)
        if gone is not None:
            places = np.arange(len(self.tree))
            out[(places >= gone[:, :1]) & (places < gone[:, 1:])] = -np.inf
        return out

    def fit(self, opinions: Sequence[Opinion], asked: Asked) -> Self:
        """The pool with the likeliest weights, pulled to its own; its own where nothing was asked.

        Of each specimen the classes are compared that some opinion holds likely, all above them, and a sample of the others that
        stands for all of these.
        """
        if not len(asked.right):
            return self
        choices = self._choices(opinions, asked)
        start = np.concatenate([self.steps.ravel(), self.stops.ravel()])
        first, weight = choices.starts[:-1], asked.weight
        of = np.repeat(np.arange(len(first)), np.diff(choices.starts))

        def loss(flat: Float64) -> tuple[float, Float64]:
            score = choices.numbers @ flat.astype(np.float32) + choices.offset
            top = np.maximum.reduceat(score, first)
            p = np.exp(score - top[of])
            total = np.add.reduceat(p, first)
            value = -float((weight * (score[choices.right] - top - np.log(total))).sum())
            p *= (weight / total)[of]
            np.subtract.at(p, choices.right, weight)
            moved = flat - start
            return value + PULL / 2 * float(moved @ moved), choices.numbers.T @ p.astype(np.float32) + PULL * moved

        found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": ITERATIONS})
        count = self.steps.size
        return replace(self, steps=found.x[:count].reshape(self.steps.shape), stops=found.x[count:].reshape(self.stops.shape))

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """The weights."""
        return {"steps": self.steps, "stops": self.stops}

    def restored(self, arrays: Mapping[str, npt.NDArray[Any]]) -> Self:
        """With the weights that :meth:`arrays` gave."""
        return replace(self, steps=np.asarray(arrays["steps"], np.float64), stops=np.asarray(arrays["stops"], np.float64))

    def _stopped(self, opinions: Sequence[Opinion]) -> list[Float32]:
        both = zip(opinions, self.knows_unknown, strict=True)
        return [opinion.kept if knows else opinion.best_child(self.tree) for opinion, knows in both]

    def _choices(self, opinions: Sequence[Opinion], asked: Asked) -> _Choices:
        """Per specimen the classes that are compared, each with a number for every weight, in the order of the weights."""
        tree, ranks = self.tree, self.steps.shape[2]
        stopped = self._stopped(opinions)
        likely = [_likeliest(tree.down(opinion.taken.astype(np.float64)), ~tree.inner) for opinion in opinions[:-1]]
        parts, offsets, starts, right = [], [], [0], []
        random = np.random.default_rng(0)
        for i in range(len(asked.right)):
            places = _with_all_above(tree, np.concatenate([asked.right[[i]], *(each[i] for each in likely)]))
            others = np.ones(len(tree), np.bool_)
            others[places] = False
            others[asked.gone[i, 0] : asked.gone[i, 1]] = False
            count = int(others.sum())
            drawn = random.permutation(np.flatnonzero(others))[:SAMPLED]
            places = np.concatenate([places[(places < asked.gone[i, 0]) | (places >= asked.gone[i, 1])], drawn])
            offset = np.zeros(len(places))
            if len(drawn):
                offset[-len(drawn) :] = np.log(count / len(drawn))
            numbers = np.zeros((len(places), 2, len(opinions), ranks), np.float32)
            kind = tree.inner[places].astype(np.int64)
            here, mine = places.copy(), np.arange(len(places))
            while len(here):
                here, mine = here[here > 0], mine[here > 0]
                for e, opinion in enumerate(opinions):
                    numbers[mine, kind[mine], e, tree.step[here]] = opinion.taken[i, here]
                here = tree.parent[here]
            ends = np.zeros((len(places), len(opinions) + 1, ranks), np.float32)
            inner = np.flatnonzero(kind)
            for e, log_q in enumerate(stopped):
                ends[inner, e, tree.step[places[inner]]] = log_q[i, places[inner]]
            ends[inner, -1, tree.step[places[inner]]] = 1.0
            parts.append(np.concatenate([numbers.reshape(len(places), -1), ends.reshape(len(places), -1)], axis=1))
            offsets.append(offset)
            right.append(starts[-1] + int(np.flatnonzero(places == asked.right[i])[0]))
            starts.append(starts[-1] + len(places))
        joined = np.concatenate(parts), np.concatenate(offsets)
        return _Choices(*joined, np.array(starts, np.int64), np.array(right, np.int64))


@dataclass(frozen=True, eq=False)
class _Choices:
    """numbers: (r, weights) float32, a row a class of a specimen; offset: (r,) what it counts for more than itself, a logarithm;
    starts: (n + 1,); right: (n,) rows."""

    numbers: Float32
    offset: Float64
    starts: Int64
    right: Int64


def _likeliest(log_mass: Float64, leaf: npt.NDArray[np.bool_]) -> Int64:
    """(n, LIKELY) places of the classes without children that are the likeliest."""
    places = np.flatnonzero(leaf)
    most = min(LIKELY, len(places))
    return np.asarray(places[np.argpartition(-log_mass[:, places], most - 1, axis=1)[:, :most]])


def _with_all_above(tree: Nodes, places: Int64) -> Int64:
    found = [places]
    while (places := np.unique(tree.parent[places[places > 0]])).size:
        found.append(places)
    return np.unique(np.concatenate(found))
