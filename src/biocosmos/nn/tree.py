"""The tree of a head as tensors, and probabilities summed up along it."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from biocosmos.errors import BiocosmosError

NONE = -1
"""In every table of nodes or columns: there is no such thing."""


class Tree:
    """A taxonomy over L ranks (coarsest first), C of whose N nodes are classes; immutable.

    Args:
        parent: (N,) int64, -1 for the root, which is node 0; a parent's number is below its children's.
        rank: (N,) int64 in 0..L-1, -1 for the root; rises along every path, and may skip ranks (null ranks).
        ranks: L, at least 1.
        classes: (C,) int64 ascending, nodes below the root; a class may have other classes under it.

    Attributes (int64 tensors unless stated, all on ``device``; -1 where there is no such thing):
        lineage: (N, L) the node of v's path at each rank. depth: (N,) edges from the root.
        nodes_at: per rank, (n_l,) ascending nodes with a class at or below them.
        column: (N,) place of v in ``nodes_at`` of its rank. class_column: (N,) place of v in ``classes``.
        paths: (C, L) place in ``nodes_at`` of each class's ancestor-or-self. known: (C, L) bool, whether there is one.
        nearest: (N,) the deepest ancestor-or-self with a class at or below it (0: only the root).
        inner: (N,) bool, v is a class and has other classes below it.

    Raises:
        BiocosmosError: no classes, a rank at which none has a node, or arrays that do not describe such a tree.
    """

    def __init__(self, parent: Tensor, rank: Tensor, ranks: int, classes: Tensor) -> None:
        self.parent, self.rank, self.ranks, self.classes = parent.long(), rank.long(), int(ranks), classes.long()
        _check(self.parent, self.rank, self.ranks, self.classes)
        nodes = torch.arange(len(parent), device=parent.device)
        self.lineage = torch.full((len(nodes), self.ranks), NONE, device=parent.device)
        self.depth = torch.zeros_like(self.parent)
        here = nodes
        while bool((here > 0).any()):
            row = (here > 0).nonzero().squeeze(1)
            self.lineage[row, self.rank[here[row]]] = here[row]
            self.depth[row] += 1
            here = self.parent[here].clamp_min(0)
        self.class_column = torch.full_like(self.parent, NONE)
        self.class_column[self.classes] = torch.arange(len(classes), device=parent.device)
        self._number_columns(nodes)

    def _number_columns(self, nodes: Tensor) -> None:
        above = self.lineage[self.classes]
        self.nodes_at = [torch.unique(column[column >= 0]) for column in above.unbind(1)]
        for rank, at in enumerate(self.nodes_at):
            if not len(at):
                raise BiocosmosError(f"no class has a name at rank {rank} (0 is the coarsest): leave that rank out")
        self.column = torch.full_like(self.parent, NONE)
        for at in self.nodes_at:
            self.column[at] = torch.arange(len(at), device=nodes.device)
        self.known = above >= 0
        self.paths = torch.where(self.known, self.column[above.clamp_min(0)], NONE)
        # classes at or below each node
        pairs = above[self.known]
        self._mass = torch.bincount(torch.cat([pairs, torch.zeros_like(self.classes)]), minlength=len(nodes))
        self.inner = (self.class_column >= 0) & (self._mass > 1)
        held = torch.where(self._mass > 0, nodes, 0)
        self.nearest = torch.where(self.lineage >= 0, held[self.lineage.clamp_min(0)], 0).amax(1)

    def __len__(self) -> int:
        return len(self.parent)

    def __repr__(self) -> str:
        return f"Tree({len(self)} nodes, {len(self.classes)} classes, {self.ranks} ranks)"

    @property
    def device(self) -> torch.device:
        """Where the tensors are."""
        return self.parent.device

    def to(self, device: torch.device | str) -> Tree:
        """The same tree on another device; itself if it is there."""
        if torch.empty(0, device=device).device == self.device:
            return self
        return Tree(self.parent.to(device), self.rank.to(device), self.ranks, self.classes.to(device))

    def __reduce__(self) -> tuple[Any, ...]:
        return Tree, (self.parent, self.rank, self.ranks, self.classes)

    @cached_property
    def under(self) -> Tensor:
        """(C, N) float32, 1 where class c is node v or below it."""
        table = torch.zeros(len(self.classes), len(self), device=self.device)
        above = self.lineage[self.classes]
        rows = torch.arange(len(self.classes), device=self.device)[:, None].expand_as(above)[self.known]
        table[rows, above[self.known]] = 1
        table[:, 0] = 1
        return table

    @cached_property
    def _summing(self) -> tuple[Tensor, Tensor, int, Tensor]:
        """Pairs (class, slot) of the nodes that hold several classes, the slots, and where each node finds its sum."""
        several = ((self._mass > 1) & (self.depth > 0)).nonzero().squeeze(1)
        slot = torch.full_like(self.parent, NONE)
        slot[several] = torch.arange(len(several), device=self.device)
        above = self.lineage[self.classes].clamp_min(0)
        rows, at = (slot[above] >= 0).nonzero(as_tuple=True)
        c, s = len(self.classes), len(several)
        source = torch.full_like(self.parent, c + s + 1)  # log 0: a node without classes
        source[above[self.known]] = torch.arange(c, device=self.device)[:, None].expand_as(above)[self.known]
        source[several] = c + torch.arange(s, device=self.device)
        source[0] = c + s  # log 1: the root
        return rows, slot[above[rows, at]], s, source

    def sum_up(self, log_p: Tensor) -> Tensor:
        """log p of every node from log p of the classes, safe however small p is.

        log_p: (n, C) floats, log-softmax over the classes. Returns: (n, N); the root is 0, nodes without a class -inf (constants,
        so gradients stay finite).
        """
        rows, slots, count, source = self._summing
        sums = group_logsumexp(log_p.index_select(1, rows), slots, count)
        ends = log_p.new_zeros(len(log_p), 2)
        ends[:, 1] = -torch.inf
        return torch.cat([log_p, sums, ends], 1).index_select(1, source)


class OnTree(nn.Module):
    """A module with a tree that moves with it from device to device, and is no part of its state."""

    tree: Tree
    _anchor: Tensor

    def __init__(self, tree: Tree) -> None:
        super().__init__()
        self.tree = tree
        self.register_buffer("_anchor", torch.empty(0, device=tree.device), persistent=False)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> OnTree:
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        if self._anchor.device.type != "meta":
            self.tree = self.tree.to(self._anchor.device)
        return self


def group_logsumexp(scores: Tensor, group: Tensor, groups: int) -> Tensor:
    """log sum exp of the columns of each group: scores (n, P) finite, group (P,) int64 in 0..groups-1, each with a column.
    Returns (n, groups). Every group has its own maximum taken off, so nothing over- or underflows to log 0."""
    index = group.expand(len(scores), -1)
    with torch.no_grad():
        highest = scores.new_full((len(scores), groups), -torch.inf).scatter_reduce(1, index, scores, "amax")
    parts = (scores - highest.index_select(1, group)).exp()
    return scores.new_zeros(len(scores), groups).scatter_add(1, index, parts).log() + highest


def _check(parent: Tensor, rank: Tensor, ranks: int, classes: Tensor) -> None:
    nodes = torch.arange(len(parent), device=parent.device)
    below = parent[1:].clamp_min(0)
    fits = (
        ranks >= 1
        and len(rank) == len(parent) > 1
        and int(parent[0]) == NONE
        and int(rank[0]) == NONE
        and bool((parent[1:] >= 0).all())
        and bool((parent[1:] < nodes[1:]).all())
        and bool((rank[1:] > rank[below]).all())
        and int(rank.max()) < ranks
    )
    if not fits:
        raise BiocosmosError(
            "a tree needs parents numbered before their children, the root first, and ranks that rise along paths"
        )
    if not len(classes) or int(classes[0]) < 1 or int(classes[-1]) >= len(parent) or bool((classes.diff() <= 0).any()):
        raise BiocosmosError("the classes of a tree must be ascending nodes below its root, at least one")
