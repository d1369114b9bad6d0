"""Agglomerative token clustering (Haurum et al., ECCV 2024, https://arxiv.org/abs/2409.11923).

The two closest clusters of keys, averaged over heads, are merged until K are left, by cosine distance and a linkage; a token
becomes the mean of its cluster's, weighted by the patches each stands for.
"""

from __future__ import annotations

from typing import cast

import torch

from biocosmos.encoders.reduction.clustering import Linkage, agglomerate
from biocosmos.encoders.reduction.merging import merged
from biocosmos.encoders.reduction.tokens import Clues, Reducer, Step, Tokens


class AgglomerativeClustering(Reducer):
    """Clusters of keys, as many as are to stay.

    The published code for self-supervised networks, which removes a number of tokens in each block, counts CLS among the clusters
    and so removes one token fewer; ``published`` does so too.
    """

    proportional = True

    def forward(self, tokens: Tokens, clues: Clues | None) -> Step:
        """See :class:`~biocosmos.encoders.reduction.tokens.Reducer`."""
        assert clues is not None
        keep = self.keep
        if self.reduction.published and self.reduction.remove:
            keep = max(1, tokens.patches - self.reduction.remove + int(clues.has_class))
        if tokens.patches <= keep:
            return Step(tokens, None)
        with torch.autocast(tokens.x.device.type, enabled=False):
            labels = agglomerate(clues.mean_keys, keep, cast(Linkage, self.reduction.variant))
        return merged(tokens, labels, keep)
