"""One softmax for each rank, and the classes that agree best with all of them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from biocosmos.nn.heads.features import LastFeatures, classifier
from biocosmos.nn.heads.output import HeadOutput, answer, full_precision
from biocosmos.nn.tree import OnTree, Tree


def agree(scores: Sequence[Tensor], paths: Tensor, known: Tensor) -> Tensor:
    """Score of each class: L / (number of its ranks) * sum over its ranks of log p at that rank.

    scores: per rank, (n, n_l) log p; paths: (C, L) int64, column of the class's node at each rank; known: (C, L) bool, whether it
    has one. Returns (n, C). The factor lets a class with null ranks compete with those that are judged at all of them; a class
    without any has the score of a guess among all, -L log C.
    """
    ranks = len(scores)
    share = torch.where(known.any(1), ranks / known.sum(1).clamp_min(1), 0.0).to(scores[0].dtype)
    total = scores[0].new_zeros(len(scores[0]), len(paths))
    for log_p, column, has in zip(scores, paths.unbind(1), known.unbind(1)):
        total = total + log_p.index_select(1, column.clamp_min(0)) * (share * has)
    guess = -ranks * torch.tensor(float(len(paths))).log().item()
    return total + guess * (~known.any(1)).to(total.dtype)


class RankHead(OnTree):
    """p at each rank = softmax of that rank's linear layer on that rank's features; classes are scored by :func:`agree`.

    features: a module from (taps, extra) to L tensors (n, width_l) with attribute ``widths``; the kinds of this family differ in
    it alone. ``logits`` = the score + the sum over ranks of log sum exp of the raw scores, which is common to a row and makes
    them, for a class with all ranks, the sum of its raw scores: energies mean something.
    """

    def __init__(self, tree: Tree, features: nn.Module) -> None:
        super().__init__(tree)
        self.features = features
        widths: list[int] = features.widths  # type: ignore[assignment]
        self.scores = nn.ModuleList(classifier(width, len(at)) for width, at in zip(widths, tree.nodes_at))

    def forward(self, taps: list[Tensor], extra: Tensor | None = None) -> HeadOutput:
        """taps: shallow to deep, (n, c, h, w) or (n, c); extra: (n, k) or None."""
        features = self.features(taps, extra)
        raw = [full_precision(linear(x)) for linear, x in zip(self.scores, features)]
        sums = [scores.logsumexp(1, keepdim=True) for scores in raw]
        log_p = [scores - total for scores, total in zip(raw, sums)]
        logits = agree(log_p, self.tree.paths, self.tree.known) + sum(sums)
        return answer(self.tree, logits, features[-1], log_p)


class SharedFeatures(nn.Module):
    """The same features for every rank: independent multitask learning."""

    def __init__(self, ranks: int, channels: Sequence[int], *, hidden: int, dropout: float, extra: int) -> None:
        super().__init__()
        self.last = LastFeatures(channels, hidden, dropout, extra)
        self.widths = [self.last.width] * ranks

    def forward(self, taps: list[Tensor], extra: Tensor | None) -> list[Tensor]:
        """As :class:`LastFeatures`, once for each rank."""
        return [self.last(taps, extra)] * len(self.widths)
