"""ATS, adaptive token sampling: as many tokens as the attention of CLS is spread over."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import torch

from biocosmos.encoders.reduction.selection import assignment_of
from biocosmos.encoders.reduction.tokens import Clues, Place, Reducer, Step, Tokens, is_traced

SMALLEST_SUM = 1e-6


def significance(clues: Clues) -> torch.Tensor:
    """(b, patch tokens) float32, summing to one: s_j ~ sum_h A_h[CLS, j] |v_hj|, of the paper's section 3.1.

    Without a CLS token A[CLS] is the mean over all rows. Places without a token have 0.
    """
    lengths = clues.values[:, :, clues.prefix :].float().norm(dim=-1)
    found = (clues.class_attention() * lengths).sum(dim=1)
    shares: torch.Tensor = found / (found.sum(dim=1, keepdim=True) + SMALLEST_SUM)
    return shares


def sample_points(count: int, *, published: bool = False, device: torch.device | None = None) -> torch.Tensor:
    """(count,) float32, rising: where the distribution is sampled, (2i + 1) / 2K for i = 0 .. K - 1.

    As ``published`` they are (2i + 1) / 2(K + 1), of which the public code loses the last one: tokens at the end of the image
    are sampled less.
    """
    parts = count + published
    return (2 * torch.arange(count, device=device, dtype=torch.float32) + 1) / (2 * parts)


def sampled(scores: torch.Tensor, points: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
    """Which tokens the points fall on: each on the one whose cumulated score is nearest (of equals, the first).

    Args:
        scores: (b, n) float32, summing to one; points: (k,) float32; mask: (b, n) bool, True where there is a token.

    Returns: (b, n) bool, at most k True in each row.
    """
    distance = (points[None, :, None] - scores.cumsum(dim=1)[:, None]).abs()
    if mask is not None:
        distance = distance.masked_fill(~mask[:, None], torch.inf)
    hits = distance.argmin(dim=-1)
    return torch.zeros_like(scores).scatter(1, hits, 1.0) > 0


class AdaptiveSampling(Reducer):
    """Keeps the patch tokens on which K samples of their significance fall, K or fewer: as many as the image needs.

    Fayyaz et al., "Adaptive Token Sampling for Efficient Vision Transformers", ECCV 2022 (https://arxiv.org/abs/2111.15667),
    section 3: the significance of tokens is cumulated in the order of the image, and sampled at K even steps. Rows of the
    attention matrix are sampled, with keys and values of all tokens.

    Images with fewer tokens than others of their batch are filled up; ``mask`` says so, and what is filled in is attended to by
    no token. An image with K tokens or fewer keeps them. ``published`` samples it all the same, at the points of the public code,
    see :func:`sample_points`. While a model is being exported, K tokens are always computed.
    """

    place: ClassVar[Place] = "inside"
    pixels_decide: ClassVar[bool] = True

    def idle(self, tokens: Tokens) -> bool:
        """See :class:`~biocosmos.encoders.reduction.tokens.Reducer`; the public code samples few tokens too."""
        return self.shape.before <= self.keep or (super().idle(tokens) and not self.reduction.published)

    def reduce(self, tokens: Tokens, clues: Clues | None) -> Step:
        """See :class:`~biocosmos.encoders.reduction.tokens.Reducer`."""
        assert clues is not None
        published = self.reduction.published
        there = None if tokens.mask is None else tokens.mask[:, tokens.prefix :]
        points = sample_points(self.keep, published=published, device=tokens.x.device)
        hit = sampled(significance(clues), points, there)
        if there is not None and not published:
            hit = torch.where(there.sum(dim=1, keepdim=True) <= self.keep, there, hit)
        return _packed(tokens, hit, min(self.keep, tokens.patches))


def _packed(tokens: Tokens, hit: torch.Tensor, most: int) -> Step:
    """The tokens that are hit, (b, n) bool, at the front, the others behind a mask."""
    counts = hit.sum(dim=1)
    padded = True
    if not (torch.compiler.is_exporting() or is_traced()):  # a graph has one shape for all images
        fewest, most = (int(count) for count in torch.stack(counts.aminmax()).tolist())
        padded = fewest < most
    chosen = hit.to(torch.uint8).argsort(dim=1, descending=True, stable=True)[:, :most]
    mask = torch.arange(most, device=hit.device) < counts.unsqueeze(1)
    left = replace(tokens, mask=None).selected(chosen)
    front = mask.new_ones(hit.shape[0], tokens.prefix)
    assignment = torch.where(hit, assignment_of(chosen, tokens.patches), -1)
    return Step(replace(left, mask=torch.cat([front, mask], dim=1) if padded else None), assignment)
