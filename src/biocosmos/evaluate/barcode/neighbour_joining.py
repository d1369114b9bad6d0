"""Neighbour-joining: a tree from a matrix of distances, and its root at the middle of the longest way."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from biocosmos.errors import BiocosmosError

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Tree:
    """A rooted tree of n leaves, nodes 0 to n - 1, and inner nodes above.

    parent: (nodes,) int64, -1 of the root; length: (nodes,) float64 of the branch above each node, 0 of the root; as joined,
    so that a length may be below zero where distances contradict each other.
    """

    parent: Array
    length: Array
    leaves: int

    @property
    def root(self) -> int:
        """The node without a parent."""
        return int(np.flatnonzero(self.parent < 0)[0])

    def children(self) -> list[list[int]]:
        """Of each node, ascending."""
        found: list[list[int]] = [[] for _ in self.parent]
        for node, above in enumerate(self.parent.tolist()):
            if above >= 0:
                found[above].append(node)
        return found

    def newick(self, names: Sequence[str]) -> str:
        """The tree as text, names of leaves quoted where they need it."""
        children = self.children()
        text: dict[int, str] = {}
        for node in reversed(_down(children, self.root)):
            mine = _quoted(names[node]) if node < self.leaves else f"({','.join(text.pop(child) for child in children[node])})"
            text[node] = mine + ("" if node == self.root else f":{self.length[node]:.6g}")
        return text[self.root] + ";"

    def distances(self) -> Array:
        """(leaves, leaves) float64 lengths of the ways between leaves."""
        lines = [self._line(leaf) for leaf in range(self.leaves)]
        deep = self.depths()
        out = np.zeros((self.leaves, self.leaves))
        for i, mine in enumerate(lines):
            above = set(mine)
            for j in range(i):
                meet = next(node for node in lines[j] if node in above)
                out[i, j] = out[j, i] = deep[i] + deep[j] - 2 * deep[meet]
        return out

    def depths(self) -> Array:
        """(nodes,) float64 length of the way from the root."""
        out = np.zeros(len(self.parent))
        for node in _down(self.children(), self.root)[1:]:
            out[node] = out[self.parent[node]] + self.length[node]
        return out

    def _line(self, node: int) -> list[int]:
        line = [node]
        while self.parent[line[-1]] >= 0:
            line.append(int(self.parent[line[-1]]))
        return line


def neighbour_joining(distances: Array) -> Tree:
    """The tree of Saitou and Nei (1987, https://doi.org/10.1093/oxfordjournals.molbev.a040454), as of Studier and Keppler (1988).

    distances: (n, n) symmetric, finite. At each step the pair with the smallest (m - 2) d_ij - r_i - r_j is joined, r the sums
    of rows of the m nodes left, the first such pair in order; the root is the last node, which joins three. Time n^3, memory n^2.
    Raises BiocosmosError for under 2 leaves, and for distances that are no symmetric matrix of numbers.
    """
    d = np.array(distances, np.float64)
    if d.ndim != 2 or d.shape[0] != d.shape[1] or len(d) < 2:
        raise BiocosmosError(f"a tree needs the distances of at least 2 barcodes, a square of numbers, not {d.shape}")
    if not np.isfinite(d).all() or not np.allclose(d, d.T):
        raise BiocosmosError("a tree needs every distance, the same both ways: leave out barcodes that cannot be compared")
    leaves = len(d)
    total = max(2 * leaves - 2, leaves + 1)
    parent, length = np.full(total, -1, np.int64), np.zeros(total)
    nodes = np.arange(leaves)
    new = leaves
    while len(nodes) > 3:
        m, r = len(nodes), d.sum(axis=1)
        q = (m - 2) * d - r[:, None] - r[None, :]
        q[np.tril_indices(m)] = np.inf
        i, j = divmod(int(q.argmin()), m)
        half = (r[i] - r[j]) / (2 * (m - 2))
        for place, above in ((i, d[i, j] / 2 + half), (j, d[i, j] / 2 - half)):
            parent[nodes[place]], length[nodes[place]] = new, above
        joined = (d[i] + d[j] - d[i, j]) / 2
        keep = np.delete(np.arange(m), [i, j])
        d, nodes = _with(d[np.ix_(keep, keep)], joined[keep]), np.append(nodes[keep], new)
        new += 1
    parent[nodes] = new
    if len(nodes) == 3:
        length[nodes] = [(d[a, b] + d[a, c] - d[b, c]) / 2 for a, b, c in ((0, 1, 2), (1, 0, 2), (2, 0, 1))]
    else:
        length[nodes] = d[0, 1] / 2
    return Tree(parent[: new + 1], length[: new + 1], leaves)


def _with(d: Array, row: Array) -> Array:
    out = np.zeros((len(d) + 1, len(d) + 1))
    out[:-1, :-1] = d
    out[-1, :-1] = out[:-1, -1] = row
    return out


def midpoint_rooted(tree: Tree) -> Tree:
    """The same tree with its root in the middle of the longest way between two leaves (Farris 1972); lengths below zero count as
    zero for that."""
    near: list[list[tuple[int, float]]] = [[] for _ in tree.parent]
    for node, above in enumerate(tree.parent.tolist()):
        if above >= 0:
            near[node].append((above, float(tree.length[node])))
            near[above].append((node, float(tree.length[node])))
    if tree.leaves < 3:
        return tree
    start, _ = _farthest(near, 0, tree.leaves)
    end, came = _farthest(near, start, tree.leaves)
    way = [end]
    while way[-1] != start:
        way.append(came[way[-1]][0])
    steps = [max(came[node][1], 0.0) for node in way[:-1]]
    half, walked, at = sum(steps) / 2, 0.0, 0
    while at < len(steps) - 1 and walked + steps[at] < half:
        walked += steps[at]
        at += 1
    below, above, whole = way[at], way[at + 1], came[way[at]][1]
    part = min(max(half - walked, 0.0), max(whole, 0.0))
    root = len(near)
    near.append([(below, part), (above, whole - part)])
    near[below] = [(root, part) if node == above else (node, far) for node, far in near[below]]
    near[above] = [(root, whole - part) if node == below else (node, far) for node, far in near[above]]
    return _hung(near, root, tree.leaves)


def _hung(near: list[list[tuple[int, float]]], root: int, leaves: int) -> Tree:
    """The tree hung from ``root``, without inner nodes that have one branch below."""
    parent, length = np.full(len(near), -1, np.int64), np.zeros(len(near))
    order = [root]
    for node in order:
        for other, far in near[node]:
            if other != parent[node]:
                parent[other], length[other] = node, far
                order.append(other)
    below = np.bincount(parent[parent >= 0], minlength=len(near))
    for node in order[1:]:
        while parent[node] != root and below[parent[node]] == 1:
            length[node] += length[parent[node]]
            parent[node] = parent[parent[node]]
    kept = [node for node in range(len(near)) if node < leaves or node == root or below[node] > 1]
    place = np.full(len(near) + 1, -1, np.int64)
    place[kept] = np.arange(len(kept))
    return Tree(place[parent[kept]], length[kept], leaves)


def _farthest(near: list[list[tuple[int, float]]], start: int, leaves: int) -> tuple[int, dict[int, tuple[int, float]]]:
    """(the leaf farthest from ``start``, node -> (the one before it on the way, the length of that branch))."""
    came: dict[int, tuple[int, float]] = {start: (-1, 0.0)}
    walked, queue = {start: 0.0}, [start]
    for node in queue:
        for other, far in near[node]:
            if other not in came:
                came[other], walked[other] = (node, far), walked[node] + max(far, 0.0)
                queue.append(other)
    return max((leaf for leaf in range(leaves) if leaf != start), key=lambda leaf: walked[leaf]), came


def _down(children: list[list[int]], root: int) -> list[int]:
    """All nodes, each before those below it."""
    order = [root]
    for node in order:
        order += children[node]
    return order


def _quoted(name: str) -> str:
    return name if re.fullmatch(r"[\w.|-]+", name) else "'" + name.replace("'", "''") + "'"
