"""A softmax among siblings at every node, multiplied down the path."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from biocosmos.nn.heads.features import LastFeatures, classifier
from biocosmos.nn.heads.output import HeadOutput, full_precision
from biocosmos.nn.tree import OnTree, Tree, group_logsumexp


class ConditionalHead(OnTree):
    """p(node) = product of p(v | parent of v) down the path, p(v | parent) = softmax among the siblings.

    Redmon and Farhadi 2017, YOLO9000, section 4 (arXiv:1612.08242). A class with other classes under it has one more sibling
    among its children: "stops here". An only child has p = 1. ``logits`` = log p(class) + the log of the sum at the root, which
    is common to a row: a product has no other energy.
    """

    _group: Tensor
    _node: Tensor
    _own: Tensor

    def __init__(self, tree: Tree, channels: Sequence[int], *, hidden: int, dropout: float, extra: int) -> None:
        super().__init__(tree)
        self.features = LastFeatures(channels, hidden, dropout, extra)
        nodes = torch.cat(tree.nodes_at).sort().values
        stops = tree.inner.nonzero().squeeze(1)
        parents, group = torch.unique(torch.cat([tree.parent[nodes], stops]), return_inverse=True)
        self.groups = len(parents)  # the root's is the first: node numbers ascend
        place = torch.full_like(tree.parent, -1)
        place[nodes] = torch.arange(len(nodes), device=tree.device)
        # edges on the path to each node, its own last; the place behind the last edge is a certain one
        edges = len(nodes) + len(stops)
        above = tree.lineage
        path = torch.where((above >= 0) & (place[above.clamp_min(0)] >= 0), place[above.clamp_min(0)], edges)
        own = path[tree.classes]
        stop = torch.full_like(tree.parent, edges)
        stop[stops] = len(nodes) + torch.arange(len(stops), device=tree.device)
        for name, table in (
            ("_group", group),
            ("_node", path),
            ("_own", torch.cat([own, stop[tree.classes][:, None]], 1)),
            ("_empty", (tree.nearest != torch.arange(len(tree), device=tree.device))),
        ):
            self.register_buffer(name, table, persistent=False)
        self.scores = classifier(self.features.width, edges)

    def forward(self, taps: list[Tensor], extra: Tensor | None = None) -> HeadOutput:
        """taps: shallow to deep, the last (n, c) or (n, c, h, w) is used; extra: (n, k) or None."""
        x = self.features(taps, extra)
        scores = full_precision(self.scores(x))
        sums = group_logsumexp(scores, self._group, self.groups)
        given = torch.cat([scores - sums.index_select(1, self._group), scores.new_zeros(len(x), 1)], 1)
        log_p = self._along(given, self._node).masked_fill(self._empty, -torch.inf)  # type: ignore[arg-type]
        logits = self._along(given, self._own) + sums[:, :1]
        return HeadOutput(log_p, logits, None, full_precision(x))

    @staticmethod
    def _along(given: Tensor, path: Tensor) -> Tensor:
        return sum((given.index_select(1, step) for step in path.unbind(1)[1:]), given.index_select(1, path[:, 0]))
