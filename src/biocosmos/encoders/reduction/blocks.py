"""The blocks of timm's and open_clip's vision transformers, taken apart: attention, then the MLP, with a place between them."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import nn

from biocosmos.errors import BiocosmosError

Heads = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


class Block(Protocol):
    """One block. x: (b, n, c), residual stream."""

    heads: int
    scale: float

    def heads_of(self, x: torch.Tensor) -> Heads:
        """Queries, keys, values, (b, heads, n, d) each, of the normalised tokens."""

    def attended(self, x: torch.Tensor, found: torch.Tensor) -> torch.Tensor:
        """x with what attention found, (b, heads, n, d), projected and added."""

    def mlp(self, x: torch.Tensor) -> torch.Tensor:
        """x with its MLP added."""

    def whole(self, x: torch.Tensor) -> torch.Tensor:
        """The block as it is."""


class TimmBlock:
    """A ``timm.models.vision_transformer.Block`` with plain attention."""

    def __init__(self, block: Any) -> None:
        self.block, self.attn = block, block.attn
        self.heads, self.scale = block.attn.num_heads, block.attn.scale

    def heads_of(self, x: torch.Tensor) -> Heads:
        """See :class:`Block`."""
        attn = self.attn
        b, n, _ = x.shape
        q, k, v = attn.qkv(self.block.norm1(x)).reshape(b, n, 3, self.heads, -1).permute(2, 0, 3, 1, 4).unbind(0)
        return attn.q_norm(q), attn.k_norm(k), v

    def attended(self, x: torch.Tensor, found: torch.Tensor) -> torch.Tensor:
        """See :class:`Block`."""
        block, attn = self.block, self.attn
        flat = found.transpose(1, 2).flatten(2)
        if isinstance(norm := getattr(attn, "norm", None), nn.Module):
            flat = norm(flat)
        return x + block.drop_path1(block.ls1(attn.proj_drop(attn.proj(flat))))  # type: ignore[no-any-return]

    def mlp(self, x: torch.Tensor) -> torch.Tensor:
        """See :class:`Block`."""
        block = self.block
        return x + block.drop_path2(block.ls2(block.mlp(block.norm2(x))))  # type: ignore[no-any-return]

    def whole(self, x: torch.Tensor) -> torch.Tensor:
        """See :class:`Block`."""
        return self.block(x)  # type: ignore[no-any-return]


class OpenClipBlock:
    """An ``open_clip.transformer.ResidualAttentionBlock``; batch_first: how its transformer hands tokens over."""

    def __init__(self, block: Any, batch_first: bool) -> None:
        self.block, self.batch_first = block, batch_first
        self.heads = block.attn.num_heads
        self.scale = block.attn.head_dim**-0.5

    def heads_of(self, x: torch.Tensor) -> Heads:
        """See :class:`Block`."""
        attn = self.block.attn
        b, n, _ = x.shape
        joined = nn.functional.linear(self.block.ln_1(x), attn.in_proj_weight, attn.in_proj_bias)
        q, k, v = joined.reshape(b, n, 3, self.heads, -1).permute(2, 0, 3, 1, 4).unbind(0)
        return q, k, v

    def attended(self, x: torch.Tensor, found: torch.Tensor) -> torch.Tensor:
        """See :class:`Block`."""
        block = self.block
        return x + block.ls_1(block.attn.out_proj(found.transpose(1, 2).flatten(2)))  # type: ignore[no-any-return]

    def mlp(self, x: torch.Tensor) -> torch.Tensor:
        """See :class:`Block`."""
        block = self.block
        return x + block.ls_2(block.mlp(block.ln_2(x)))  # type: ignore[no-any-return]

    def whole(self, x: torch.Tensor) -> torch.Tensor:
        """See :class:`Block`."""
        if self.batch_first:
            return self.block(x)  # type: ignore[no-any-return]
        return self.block(x.transpose(0, 1)).transpose(0, 1)  # type: ignore[no-any-return]


def taken_apart(block: nn.Module, *, batch_first: bool = True) -> Block:
    """A block of either library. Raises BiocosmosError, naming it, for one that computes in another order."""
    attn = getattr(block, "attn", None)
    kind = type(block).__name__, type(attn).__name__
    if kind == ("Block", "Attention") and hasattr(attn, "qkv") and getattr(attn, "gate", None) is None:
        return TimmBlock(block)
    if kind == ("ResidualAttentionBlock", "MultiheadAttention") and not hasattr(block, "ln_1_kv"):
        return OpenClipBlock(block, batch_first)
    raise BiocosmosError(
        f"its blocks ({' with '.join(kind)}) are not plain ones of a vision transformer, and tokens cannot be taken out between "
        "their parts: use it as it is"
    )
