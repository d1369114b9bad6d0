"""Which tokens stay, for the methods that choose among them: by score, in the order of the image."""

from __future__ import annotations

import torch

from biocosmos.encoders.reduction.tokens import Step, Tokens

DROPPED = -1


def descending(scores: torch.Tensor) -> torch.Tensor:
    """scores: (b, n). Returns: (b, n) int64 rows, the largest first, of equal ones the lowest."""
    return torch.sort(scores, dim=1, descending=True, stable=True).indices


def places(chosen: torch.Tensor) -> torch.Tensor:
    """0, 1, 2 ... for each image; chosen: (b, k). Returns: (b, k) int64."""
    return torch.arange(chosen.shape[1], device=chosen.device).expand_as(chosen)


def largest(scores: torch.Tensor, count: int, *, by_score: bool = False) -> torch.Tensor:
    """The ``count`` largest of each row; of equal scores those that stand first.

    Args:
        scores: (b, n) floats. count: 1 to n.
        by_score: the largest first, as the published code leaves them; else in the order of the row, which is that of the image.

    Returns: (b, count) int64 indices.
    """
    chosen = descending(scores)[:, :count]
    return chosen if by_score else chosen.sort(dim=1).values


def assignment_of(chosen: torch.Tensor, before: int) -> torch.Tensor:
    """chosen: (b, k) int64 of ``before`` tokens. Returns: (b, before) int64, the place of each among them, -1 if dropped."""
    return chosen.new_full((chosen.shape[0], before), DROPPED).scatter(1, chosen, places(chosen))


def kept(tokens: Tokens, chosen: torch.Tensor) -> Step:
    """The step that leaves the prefix and the patch tokens ``chosen``, (b, k) int64."""
    return Step(tokens.selected(chosen), assignment_of(chosen, tokens.patches))
