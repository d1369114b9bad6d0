"""Top-K: the patch tokens that CLS attends to most (Haurum et al., "Which Tokens to Use?", ICCVW 2023)."""

from __future__ import annotations

import torch

from biocosmos.encoders.reduction.tokens import Clues, Reducer, Step, Tokens


def dropped_and_kept(chosen: torch.Tensor, count: int) -> torch.Tensor:
    """chosen: (b, k) int64 of ``count`` tokens. Returns: (b, count) int64, their places among the chosen, -1 for the others."""
    places = torch.full((len(chosen), count), -1, dtype=torch.int64, device=chosen.device)
    return places.scatter(1, chosen, torch.arange(chosen.shape[1], device=chosen.device).expand_as(chosen))


class TopK(Reducer):
    """Keeps the K tokens of the largest attention of CLS, averaged over heads, largest first."""

    def forward(self, tokens: Tokens, clues: Clues | None) -> Step:
        """See :class:`~biocosmos.encoders.reduction.tokens.Reducer`."""
        if tokens.patches <= self.keep:
            return Step(tokens, None)
        assert clues is not None
        chosen = clues.class_attention().mean(dim=1).topk(self.keep, dim=1).indices
        return Step(tokens.selected(chosen), dropped_and_kept(chosen, tokens.patches))
