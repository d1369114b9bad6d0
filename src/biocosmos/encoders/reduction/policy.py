"""Attention while dropping is being learnt: all tokens stay, and those that would be dropped are not looked at."""

from __future__ import annotations

import torch
from torch.nn import functional as F

SMALLEST_POLICY = 1e-6
"""What a dropped token still weighs: its logarithm is finite, and so is its gradient."""


def seen(policy: torch.Tensor) -> torch.Tensor:
    """policy: floats, 0 or 1 with a gradient. Returns: float32, alike, what is added to the logits of attention to a token."""
    return (policy.float() + SMALLEST_POLICY).log()


def attention_under_policy(
    queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, scale: float, policy: torch.Tensor
) -> torch.Tensor:
    """Attention to tokens that are kept and to oneself, differentiable in what is kept:

        A_ij ~ exp(q_i k_j scale) G_ij,   G_ij = 1 if i = j, else policy_j

    Rao et al., "DynamicViT", NeurIPS 2021, equations 10 and 11, with log G_ij as an additive bias of torch's own attention.

    Args:
        queries, keys, values: (b, heads, n, d). policy: (b, n) floats, 0 or 1 with a gradient.

    Returns: (b, heads, n, d).
    """
    own = torch.eye(policy.shape[1], dtype=torch.float32, device=policy.device)
    allowed = policy.float().unsqueeze(1)
    allowed = allowed + (1.0 - allowed) * own
    bias = seen(allowed).unsqueeze(1).to(queries.dtype)
    return F.scaled_dot_product_attention(queries, keys, values, attn_mask=bias, scale=scale)
