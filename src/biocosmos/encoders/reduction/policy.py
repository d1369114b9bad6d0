"""Attention while dropping is being learnt: all tokens stay, and those that would be dropped are not looked at.

Rao et al., "DynamicViT", NeurIPS 2021, equation 11.
"""

from __future__ import annotations

import torch

SMALL = 1e-6
"""As published: what a token that nobody may look at is divided by."""


def attention_under_policy(
    queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, scale: float, policy: torch.Tensor
) -> torch.Tensor:
    """Attention in which each token sees itself and those whose policy is 1.

    Args:
        queries, keys, values: (b, heads, n, d). policy: (b, n) floats 0 or 1, with a gradient.

    Returns: (b, heads, n, d).
    """
    n = policy.shape[1]
    logits = (queries @ keys.transpose(-2, -1)).float() * scale
    seen = policy[:, None, None, :].float()
    own = torch.eye(n, device=policy.device, dtype=torch.float32)
    seen = seen + (1 - seen) * own
    weights = (logits - logits.amax(dim=-1, keepdim=True)).exp() * seen
    weights = (weights + SMALL / n) / (weights.sum(dim=-1, keepdim=True) + SMALL)
    return weights.to(values.dtype) @ values
