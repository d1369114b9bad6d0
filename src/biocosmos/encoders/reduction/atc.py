"""Agglomerative token clustering (Haurum et al., ECCV 2024, https://arxiv.org/abs/2409.11923).

The two closest clusters of keys, averaged over heads, are merged until K are left, by cosine distance and a linkage; a token
becomes the mean of its cluster's, weighted by the patches each stands for.
"""

from __future__ import annotations

from typing import cast

import torch

from biocosmos.encoders.reduction.clustering import Linkage, agglomerate
from biocosmos.encoders.reduction.merging import merged
from biocosmos.encoders.reduction.tokens import Clues, HostReducer, Step, Tokens


class AgglomerativeClustering(HostReducer):
    """Clusters of keys, as many as are to stay.

    The published code for self-supervised networks, which removes a number of tokens in each block, counts CLS among the clusters
    and so removes one token fewer; ``published`` does so too.
    """

    proportional = True

    def asked(self, tokens: Tokens, clues: Clues | None) -> torch.Tensor:
        """(b, patch tokens, d) float32 keys, averaged over heads."""
        assert clues is not None
        return clues.mean_keys

    def answered(self, asked: torch.Tensor, *, has_class: bool) -> torch.Tensor:
        """(b, patch tokens) int64 labels of clusters."""
        return agglomerate(asked, self._count(asked.shape[1], has_class), cast(Linkage, self.reduction.variant))

    def applied(self, tokens: Tokens, answer: torch.Tensor, *, has_class: bool) -> Step:
        """See :class:`~biocosmos.encoders.reduction.tokens.HostReducer`."""
        return merged(tokens, answer, self._count(tokens.patches, has_class))

    def _count(self, patches: int, has_class: bool) -> int:
        if self.reduction.published and self.reduction.remove:
            return min(patches, max(1, patches - self.reduction.remove + int(has_class)))
        return self.keep
