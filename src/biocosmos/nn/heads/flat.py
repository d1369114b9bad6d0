"""One softmax over all classes, summed up the tree."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from biocosmos.nn.heads.features import LastFeatures, classifier
from biocosmos.nn.heads.output import HeadOutput, answer
from biocosmos.nn.tree import OnTree, Tree


class FlatHead(OnTree):
    """p(class) = softmax of a linear layer; p(node) = sum of p over the classes at or below it.

    It serves two kinds, which differ in the criterion only: "flat" learns from the deepest node, "marginalised" from every rank
    of the same softmax. ``logits`` are the layer's own numbers, so energies and maximum logits are what papers mean by them.
    """

    def __init__(self, tree: Tree, channels: Sequence[int], *, hidden: int, dropout: float, extra: int) -> None:
        super().__init__(tree)
        self.features = LastFeatures(channels, hidden, dropout, extra)
        self.scores = classifier(self.features.width, len(tree.classes))

    def forward(self, taps: list[Tensor], extra: Tensor | None = None) -> HeadOutput:
        """taps: shallow to deep, the last (n, c) or (n, c, h, w) is used; extra: (n, k) or None."""
        x = self.features(taps, extra)
        return answer(self.tree, self.scores(x), x)
