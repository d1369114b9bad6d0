"""One softmax for each level, and the classes that agree best with all of them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from biocosmos.nn.heads.features import LastFeatures, classifier
from biocosmos.nn.heads.output import HeadOutput, answer, full_precision
from biocosmos.nn.tree import OnTree, Tree


def agree(levels: Sequence[Tensor], paths: Tensor, known: Tensor) -> Tensor:
    """Score of each class: L / (number of its levels) * sum over its levels of log p at that level.

    levels: L of (n, n_l) log p; paths: (C, L) int64, column of the class's node at each level, known: (C, L) bool, whether it has
    one. Returns (n, C). The factor lets a class with null ranks compete with those that are judged at all of them; a class
    without any has the score of a guess among all, -L log C.
    """
    total = len(levels)
    share = torch.where(known.any(1), total / known.sum(1).clamp_min(1), 0.0).to(levels[0].dtype)
    scores = levels[0].new_zeros(len(levels[0]), len(paths))
    for level, column, has in zip(levels, paths.unbind(1), known.unbind(1)):
        scores = scores + level.index_select(1, column.clamp_min(0)) * (share * has)
    guess = -total * torch.tensor(float(len(paths))).log().item()
    return scores + guess * (~known.any(1)).to(scores.dtype)


class LevelHead(OnTree):
    """p at each level = softmax of that level's linear layer on that level's features; classes are scored by :func:`agree`.

    features: a module from (taps, extra) to L tensors (n, width_l) with attribute ``widths``; the kinds of this family differ in
    it alone. ``logits`` = the score + the sum over levels of log sum exp of the raw scores, which is common to a row and makes
    them, for a class with all levels, the sum of its raw scores: energies mean something.
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
        sums = [level.logsumexp(1, keepdim=True) for level in raw]
        levels = [level - total for level, total in zip(raw, sums)]
        logits = agree(levels, self.tree.paths, self.tree.known) + sum(sums)
        return answer(self.tree, logits, features[-1], levels)


class SharedFeatures(nn.Module):
    """The same features for every level: independent multitask learning."""

    def __init__(self, levels: int, channels: Sequence[int], *, hidden: int, dropout: float, extra: int) -> None:
        super().__init__()
        self.last = LastFeatures(channels, hidden, dropout, extra)
        self.widths = [self.last.width] * levels

    def forward(self, taps: list[Tensor], extra: Tensor | None) -> list[Tensor]:
        """As :class:`LastFeatures`, once for each level."""
        return [self.last(taps, extra)] * len(self.widths)
