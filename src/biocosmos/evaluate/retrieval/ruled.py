"""Names by the neighbour rules of identify, ranked per target: the second protocol's "best individual" and "class mean".

The rules are those of :mod:`biocosmos.identify.namers.rules`, where their formulas stand. Here the cosines of queries and
gallery are computed once for all rules and targets.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from biocosmos.errors import BiocosmosError
from biocosmos.evaluate.numbers.tallies import Tally
from biocosmos.evaluate.numbers.targets import Target
from biocosmos.identify.blocks import block_rows
from biocosmos.identify.namers.rules import RULES
from biocosmos.progress import progress
from biocosmos.search.gallery import Gallery

Array = npt.NDArray[Any]
# Cosines held at once: 4,096 gallery rows x 512 queries, 8 MiB.
ROWS, QUERIES = 4096, 512


def ruled_tallies(gallery: Gallery, queries: Gallery, rules: Sequence[str], targets: Sequence[Target], k: int) -> list[Tally]:
    """One tally per target and rule: the place of the right class among the classes that the rule ranks, from 0 (k: not among
    k).

    Classes are the target's taxa, or values of its column, made of the gallery rows that have one; equal scores in the order of
    the target's codes. Raises BiocosmosError on an unknown rule.
    """
    unknown = [rule for rule in rules if rule not in RULES]
    if unknown:
        raise BiocosmosError(f"unknown rule {unknown[0]!r}: use {', '.join(RULES)}")
    atoms = _Atoms(targets)
    members = [_Members(atoms.codes[:, t], atoms.sizes) for t in range(len(targets))]
    sums = atoms.sums(gallery.vectors) if {"class-mean", "centroid"} & set(rules) else None
    means = [{} if sums is None else _means(m.gather(np.add, sums), m.counts, rules) for m in members]
    first = {(t, rule): np.full(len(queries), k, dtype=np.int64) for t in range(len(targets)) for rule in rules}
    step = min(QUERIES, block_rows(len(atoms.sizes) + sum(len(m.codes) for m in members)))
    with progress("rules", total=len(queries), unit="queries") as bar:
        for start in range(0, len(queries), step):
            part = slice(start, min(start + step, len(queries)))
            asked = queries.vectors[part]
            near, far = atoms.scan(gallery.vectors, asked, rules)
            for t, m in enumerate(members):
                for rule in rules:
                    scores = means[t][rule] @ asked.T if rule in means[t] else m.scores(rule, near, far)
                    first[t, rule][part] = _places(scores, m.codes, targets[t].query[part], k)
            bar.advance(part.stop - part.start)
    return [
        Tally(target, first[t, rule], target.answerable(all_vs_all=False), rule)
        for t, target in enumerate(targets)
        for rule in rules
    ]


class _Atoms:
    """Gallery rows alike in every target: what holds for a taxon or group is put together from what holds for its atoms.

    codes: (a, targets) int64; sizes: (a,) rows of each; blocks: for each block of the gallery its rows put together by atom
    (None where they are so already), where each atom begins, and which atoms those are.
    """

    def __init__(self, targets: Sequence[Target]) -> None:
        self.codes, atom, self.sizes = np.unique(
            np.stack([target.gallery for target in targets], axis=1), axis=0, return_inverse=True, return_counts=True
        )
        atom = atom.reshape(-1)
        self.blocks: list[tuple[Array | None, Array, Array]] = []
        for a in range(0, len(atom), ROWS):
            here = atom[a : a + ROWS]
            order = np.argsort(here, kind="stable")
            found, firsts = np.unique(here[order], return_index=True)
            self.blocks.append((None if bool((np.diff(order) == 1).all()) else order, firsts, found))

    def sums(self, vectors: Array) -> Array:
        """(a, d) float64 sums of the vectors of each atom."""
        out = np.zeros((len(self.sizes), vectors.shape[1]))
        for a, (order, firsts, found) in zip(range(0, len(vectors), ROWS), self.blocks):
            rows = vectors[a : a + ROWS]
            out[found] += np.add.reduceat(rows if order is None else rows[order], firsts, axis=0, dtype=np.float64)
        return out

    def scan(self, vectors: Array, asked: Array, rules: Sequence[str]) -> tuple[Array, Array]:
        """(a, q) highest cosine and (a, q) sum of distances of each atom's rows to the queries asked (q, d); -inf and 0 where no
        rule needs them."""
        near = np.full((len(self.sizes), len(asked)), -np.inf, np.float32)
        far = np.zeros(near.shape)
        single, mean = any(rule.startswith("nearest") for rule in rules), "class-mean-euclidean" in rules
        for a, (order, firsts, found) in zip(range(0, len(vectors), ROWS) if single or mean else (), self.blocks):
            cosines = vectors[a : a + ROWS] @ asked.T
            cosines = cosines if order is None else cosines[order]
            ends = np.append(firsts[1:], len(cosines))
            if single:  # slice by slice: numpy's reduceat does not use the vector units
                for i, start, stop in zip(found, firsts, ends):
                    np.maximum(near[i], cosines[start:stop].max(axis=0), out=near[i])
            if mean:
                np.multiply(cosines, -2, out=cosines)
                np.add(cosines, 2, out=cosines)
                np.sqrt(np.maximum(cosines, 0, out=cosines), out=cosines)
                for i, start, stop in zip(found, firsts, ends):
                    far[i] += cosines[start:stop].sum(axis=0)
        return near, far


class _Members:
    """The classes of one target: their codes (c,) ascending, their sizes, and the atoms they are made of."""

    def __init__(self, atom_codes: Array, sizes: Array) -> None:
        self.order = np.argsort(atom_codes, kind="stable")
        self.order = self.order[np.searchsorted(atom_codes[self.order], 0) :]
        self.codes, self.firsts = np.unique(atom_codes[self.order], return_index=True)
        self.counts = self.gather(np.add, sizes)

    def gather(self, how: np.ufunc, of_atoms: Array) -> Array:
        """(c, ...) from (a, ...): the atoms of each class put together by ``how``."""
        if not len(self.codes):
            return of_atoms[:0]
        out: Array = how.reduceat(of_atoms[self.order], self.firsts, axis=0)
        return out

    def scores(self, rule: str, near: Array, far: Array) -> Array:
        """(c, q) scores by a rule of single distances, higher is nearer."""
        if rule == "class-mean-euclidean":
            return -self.gather(np.add, far) / self.counts[:, None]
        best = self.gather(np.maximum, near)
        return best if rule == "nearest" else -np.sqrt(np.maximum(2 - 2 * best, 0))


def _means(sums: Array, counts: Array, rules: Sequence[str]) -> dict[str, Array]:
    """(c, d) float32 class means, and means made unit, of (c, d) sums of (c,) rows, for the rules that need them."""
    size = {"class-mean": counts, "centroid": np.linalg.norm(sums, axis=1)}
    # Members that cancel out leave a centroid of zero.
    return {rule: (sums / np.where(size[rule] > 0, size[rule], 1)[:, None]).astype(np.float32) for rule in size if rule in rules}


def _places(scores: Array, codes: Array, truth: Array, k: int) -> Array:
    """(q,) place of the right class: how many score above it, or the same and stand before it; k where that is k or more.

    scores: (classes, q); codes: (classes,) ascending; truth: (q,) code, -1 for none.
    """
    out = np.full(len(truth), k, dtype=np.int64)
    if not len(codes):
        return out
    row = np.minimum(np.searchsorted(codes, truth), len(codes) - 1)
    there = codes[row] == truth
    own = scores[row, np.arange(len(truth))]
    before = (scores > own).sum(axis=0) + ((scores == own) & (np.arange(len(codes))[:, None] < row)).sum(axis=0)
    out[there] = np.minimum(before[there], k)
    return out
