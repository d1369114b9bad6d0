"""How soft merges begin, so that they can be trained.

Logits that are all alike make all mixtures the same, the mean of the image, and their gradients the same; logits of the published
PatchMerger, with a standard deviation of sqrt(c), make each mixture one token, and others get no gradient. Between them: a
softmax over n normal logits of standard deviation s is spread over n * exp(-s^2 / 2) tokens if n is large (the exponential of its
entropy), a fair share of n / K at s = sqrt(2 ln K). Of few tokens it takes a few times as many.
"""

from __future__ import annotations

import math

import torch


def fair_deviation(count: int) -> float:
    """Standard deviation of the logits with which each of ``count`` mixtures begins near its share of the tokens."""
    return math.sqrt(2 * math.log(max(count, 2)))


def as_published(linear: torch.nn.Linear) -> None:
    """timm's start of a vision transformer: weights cut normal with deviation 0.02, no bias."""
    torch.nn.init.trunc_normal_(linear.weight, std=0.02)
    torch.nn.init.zeros_(linear.bias)
