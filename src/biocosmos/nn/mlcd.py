"""Multi-label cluster discrimination: several nearest centres are the positives of an image.

An et al., Multi-label Cluster Discrimination for Visual Representation Learning, ECCV 2024 (arXiv 2407.17331).
"""

from __future__ import annotations

import math

from torch import Tensor

from biocosmos.errors import BiocosmosError
from biocosmos.nn.distributed import Group, log1p_sum_exp
from biocosmos.nn.margins import CombinedMargin
from biocosmos.nn.partial_fc import PartialFC


class MultiLabelPartialFC(PartialFC):
    """L = mean over images of log(1 + sum_{j in negatives} exp(s_j)) + log(1 + sum_{i in positives} exp(-s_i)).

    s_j = scale * cosine, s_i = scale * cosine with margin. Splitting positives from negatives avoids the pairs s_j - s_i of the
    joint form log(1 + sum_j sum_i exp(s_j - s_i)), whose gradient for one positive depends on the others.

    positives: labels per image, at most ``classes``; every other parameter, the sampling of negatives and the spreading over
    processes as in :class:`biocosmos.nn.partial_fc.PartialFC`. The published code lacks training; the formula is the paper's.
    """

    def __init__(
        self,
        dim: int,
        classes: int,
        *,
        margin: CombinedMargin | None = None,
        sample_rate: float = 1.0,
        features: int | None = None,
        sub_centres: int = 1,
        group: Group = None,
        seed: int = 0,
        positives: int = 8,
    ) -> None:
        super().__init__(
            dim,
            classes,
            margin=margin,
            sample_rate=sample_rate,
            features=features,
            sub_centres=sub_centres,
            group=group,
            seed=seed,
        )
        if not 1 <= positives <= classes:
            raise BiocosmosError(f"MLCD: positives = {positives}, but it must be between 1 and the {classes} classes")
        self.positives = positives

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """As :meth:`PartialFC.forward`, with labels: (batch, positives) int64; a label repeated in a row counts once."""
        return super().forward(embeddings, labels)

    def _label_shape(self, batch: int) -> tuple[int, ...]:
        return (batch, self.positives)

    def _loss(self, cosines: Tensor, columns: Tensor) -> Tensor:
        columns = columns.sort(1).values
        columns[:, 1:].masked_fill_(columns[:, 1:] == columns[:, :-1], -1)
        rows, slots = (columns >= 0).nonzero(as_tuple=True)
        own = (rows, columns[rows, slots])
        foreign = self.margin.negatives(cosines).index_put(own, cosines.new_tensor(-math.inf))
        # one column for each label; what other processes hold, or a repeat, is left out by -inf
        near = cosines.new_full(columns.shape, -math.inf).index_put((rows, slots), -self.margin.positives(cosines[own]))
        return (log1p_sum_exp(foreign, self.group) + log1p_sum_exp(near, self.group)).mean()

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, positives={self.positives}"
