"""SBA-CNN: a network of its own for each taxon of a rank (living, non-living), and a gate that shares a specimen out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from biocosmos.errors import BiocosmosError
from biocosmos.nn.heads.attention import AttentionFeatures
from biocosmos.nn.heads.branches import COARSE
from biocosmos.nn.heads.features import LastFeatures, classifier
from biocosmos.nn.heads.multitask import SharedFeatures, agree
from biocosmos.nn.heads.output import HeadOutput, answer, full_precision
from biocosmos.nn.tree import NONE, OnTree, Tree


class SegregatedHead(OnTree):
    """p(class) = p(branch) p(class | branch): one branch for each node of ``split_rank``, and "rest" for classes without one.

    The gate is a softmax over branches; inside a branch every rank below has its own softmax over the branch's nodes, and
    classes are scored as in :func:`biocosmos.nn.heads.multitask.agree`. On feature maps the gate and the branches are BA-CNNs,
    on one vector each has a hidden layer. The published network routes a specimen by its true branch in training and by the
    gate's decision in use, which loses every specimen the gate is wrong about; here the gate's probability shares it out.
    Training is the same: -log p of a node under the split is the gate's loss plus that of the true branch alone.

    ``rank_scores`` of the output: at and above the split sums of p(class), below it p(branch) p(node | branch), which sum to 1
    only where every class has a name at that rank. ``logits`` = log p(class) + log sum exp of the gate's scores. ``features``:
    the finest features of all branches, one after the other.

    Raises BiocosmosError if the tree has no rank below ``split_rank``.
    """

    _order: Tensor
    _branch: Tensor

    def __init__(
        self, tree: Tree, channels: Sequence[int], *, hidden: int, dropout: float, extra: int, split_rank: int = 0
    ) -> None:
        super().__init__(tree)
        if not 0 <= split_rank < tree.ranks - 1:
            raise BiocosmosError(f"head 'sbacnn' splits at a rank above the finest, 0 to {tree.ranks - 2}, not {split_rank}")
        self.split_rank = split_rank
        branch = torch.where(tree.known[:, split_rank], tree.paths[:, split_rank], len(tree.nodes_at[split_rank]))
        names, branch = torch.unique(branch, return_inverse=True)
        how: dict[str, Any] = {"hidden": hidden, "dropout": dropout, "extra": extra}
        self.gate_features: nn.Module
        if len(channels) > 1:
            self.gate_features = AttentionFeatures(tree.ranks, channels, give=[split_rank], **how)
        else:
            self.gate_features = SharedFeatures(1, channels, **how)
        self.gate = classifier(self.gate_features.widths[0], len(names))
        self.branches = nn.ModuleList()
        members: list[Tensor] = []
        places: list[list[Tensor]] = [[] for _ in range(tree.ranks)]
        for number in range(len(names)):
            rows = (branch == number).nonzero().squeeze(1)
            rest = not bool(tree.known[rows, split_rank].all())
            ranks = [i for i in range(tree.ranks) if (rest and i != split_rank) or i > split_rank]
            part = Branch(tree, rows, ranks, channels, **how)
            self.branches.append(part)
            members.append(rows)
            for rank, nodes in zip(part.ranks, part.nodes):
                places[rank].append(nodes)
        self.register_buffer("_order", torch.cat(members).argsort(), persistent=False)
        self.register_buffer("_branch", branch, persistent=False)
        for rank in range(split_rank + 1, tree.ranks):
            self.register_buffer(f"_order_{rank}", torch.cat(places[rank]).argsort(), persistent=False)

    def forward(self, taps: list[Tensor], extra: Tensor | None = None) -> HeadOutput:
        """taps: shallow to deep, (n, c, h, w) or (n, c); extra: (n, k) or None."""
        scores = full_precision(self.gate(self.gate_features(taps, extra)[0]))
        gate = scores.log_softmax(1)
        classes, features = [], []
        below: dict[int, list[Tensor]] = {rank: [] for rank in range(self.split_rank + 1, self.tree.ranks)}
        for number, branch in enumerate(self.branches):
            assert isinstance(branch, Branch)
            given, by_rank, x = branch(taps, extra)
            share = gate[:, number : number + 1]
            classes.append(given + share)
            features.append(x)
            for rank, log_p in zip(branch.ranks, by_rank):
                if rank in below:
                    below[rank].append(log_p + share)
        joint = torch.cat(classes, 1).index_select(1, self._order)
        output = answer(self.tree, joint + scores.logsumexp(1, keepdim=True), torch.cat(features, 1))
        output.rank_scores = [output.log_p.index_select(1, at) for at in self.tree.nodes_at[: self.split_rank + 1]]
        for rank, parts in below.items():
            output.rank_scores.append(torch.cat(parts, 1).index_select(1, self.get_buffer(f"_order_{rank}")))
        return output


class Branch(nn.Module):
    """The classes ``rows`` of a tree, told apart by the nodes they have at ``ranks``; those without any nodes fall away.

    nodes: per rank, the places in ``tree.nodes_at`` that the branch has.
    """

    _paths: Tensor
    _known: Tensor

    def __init__(
        self, tree: Tree, rows: Tensor, ranks: Sequence[int], channels: Sequence[int], *, hidden: int, dropout: float, extra: int
    ) -> None:
        super().__init__()
        self.ranks = [rank for rank in ranks if bool(tree.known[rows, rank].any())]
        self.nodes: list[Tensor] = []
        paths = []
        for rank in self.ranks:
            column = tree.paths[rows, rank]
            nodes = torch.unique(column[column >= 0])
            self.nodes.append(nodes)
            paths.append(torch.where(column >= 0, torch.searchsorted(nodes, column), NONE))
        empty = rows.new_full((len(rows), 0), NONE)
        self.register_buffer("_paths", torch.stack(paths, 1) if paths else empty, persistent=False)
        self.register_buffer("_known", self._paths >= 0, persistent=False)
        self.features: nn.Module
        give = self.ranks or [tree.ranks - 1]
        if len(channels) > 1:
            how: dict[str, Any] = {"hidden": hidden, "dropout": dropout, "extra": extra}
            self.features = AttentionFeatures(tree.ranks, channels, give=give, **how)
            widths: list[int] = self.features.widths
        else:
            last = LastFeatures(channels, hidden or COARSE, dropout, extra)
            self.features, widths = last, [last.width] * len(give)
        self.scores = nn.ModuleList(classifier(width, len(nodes)) for width, nodes in zip(widths, self.nodes))

    def forward(self, taps: list[Tensor], extra: Tensor | None) -> tuple[Tensor, list[Tensor], Tensor]:
        """log p(class | branch) (n, C_b), log p of each rank's nodes in the branch, and the finest features."""
        given = self.features(taps, extra)
        features = given if isinstance(given, list) else [given] * max(len(self.ranks), 1)
        by_rank = [full_precision(linear(x)).log_softmax(1) for linear, x in zip(self.scores, features)]
        if not by_rank:  # classes that are the branch's own taxon, or none that can be told apart
            alike = full_precision(features[-1]).new_zeros(len(features[-1]), len(self._paths))
            return alike.log_softmax(1), by_rank, features[-1]
        return agree(by_rank, self._paths, self._known).log_softmax(1), by_rank, features[-1]
