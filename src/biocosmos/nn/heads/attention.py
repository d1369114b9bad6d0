"""BA-CNN: the network decides itself, for each image, which branches and positions a rank listens to."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from biocosmos.nn.heads.branches import COARSE, branch_widths, check_taps
from biocosmos.nn.heads.features import Extra, as_map, dense, pooled, spread, standardise

GRID = 4
"""Maps are averaged down to at most this many positions a side before they are attended to."""


class AttentionFeatures(nn.Module):
    """f_l = dense(h_l, sum_j a_lj v_j), a_l = softmax over the positions j of all branches of q_l . k_j / sqrt(d).

    Pizarro, Nanculef and Valle 2023, An attention-based architecture for hierarchical classification with CNNs, IEEE Access 11
    (doi:10.1109/ACCESS.2023.3263472). Its body was not at hand; its abstract says that "the neural net decides how branches must
    be connected" by "an attention mechanism that dynamically determines how branches influence each other during training and
    inference". The reading built: scaled dot-product attention (Vaswani et al. 2017, arXiv:1706.03762) with one head of
    d = 256; h_l is the rank's own branch (a dense block on its averaged tap), q_l a projection of h_l; keys and values are
    projections, with a learned vector for each branch added, of the positions of the taps of all ranks, finer ones included:
    branches influence each other both ways, and it is the coarsest rank that gains most in published figures.

    give: the ranks to give features of; None is all. Every rank's tap is attended to in any case.
    """

    def __init__(
        self,
        ranks: int,
        channels: Sequence[int],
        *,
        hidden: int,
        dropout: float,
        extra: int,
        give: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        self.channels = list(channels)
        self.taps = spread(len(channels), ranks)
        self.give = list(range(ranks)) if give is None else list(give)
        self.seen = sorted(set(self.taps))
        widths = [branch_widths(ranks, hidden)[rank] for rank in self.give]
        used = [self.taps[rank] for rank in self.give]
        self.norms = nn.ModuleDict({str(tap): standardise(channels[tap]) for tap in self.seen})
        self.bodies = nn.ModuleList(dense(channels[tap], [width], dropout) for tap, width in zip(used, widths))
        self.queries = nn.ModuleList(nn.Linear(width, COARSE) for width in widths)
        self.tokens = nn.ModuleDict({str(tap): nn.Linear(channels[tap], COARSE) for tap in self.seen})
        self.branch = nn.ParameterDict({str(tap): nn.Parameter(torch.zeros(COARSE)) for tap in self.seen})
        self.key, self.value = nn.Linear(COARSE, COARSE), nn.Linear(COARSE, COARSE)
        self.last = nn.ModuleList(dense(width + COARSE, [width], dropout) for width in widths)
        self.extra = Extra(extra)
        self.widths = [width + extra for width in widths]

    def forward(self, taps: list[Tensor], extra: Tensor | None) -> list[Tensor]:
        """taps: (n, c, h, w) or (n, c), one at least a map; extra: (n, k) or None. Returns a (n, width) for each rank given."""
        check_taps(taps, self.channels)
        tokens = torch.cat([self._tokens(taps[tap], str(tap)) for tap in self.seen], 1)
        key, value = self.key(tokens), self.value(tokens)
        features = []
        for rank, body, query, last in zip(self.give, self.bodies, self.queries, self.last):
            tap = self.taps[rank]
            own = body(self.norms[str(tap)](pooled(taps[tap])))
            heard = nn.functional.scaled_dot_product_attention(query(own)[:, None], key, value).squeeze(1)
            features.append(self.extra(last(torch.cat([own, heard], 1)), extra))
        return features

    def _tokens(self, tap: Tensor, name: str) -> Tensor:
        """(n, positions, d) of one branch."""
        positions = as_map(tap, GRID).flatten(2).transpose(1, 2)
        return self.tokens[name](self.norms[name](positions)) + self.branch[name]  # type: ignore[no-any-return]
