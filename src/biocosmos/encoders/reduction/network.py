"""A vision transformer that computes with fewer and fewer tokens: timm's or open_clip's, its weights where they are.

    patches -> blocks ... -> [stage] -> fewer tokens -> blocks ... -> pooled features

Blocks before the first stage run as they are. From there on attention is torch's scaled_dot_product_attention with, where a
method wants it, the logarithm of what each token stands for as an additive bias.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import nn

from biocosmos.encoders.reduction.blocks import taken_apart
from biocosmos.encoders.reduction.methods import make_reducers
from biocosmos.encoders.reduction.policy import attention_under_policy, seen
from biocosmos.encoders.reduction.spec import Reduction
from biocosmos.encoders.reduction.tokens import Clues, Step, Tokens, composed, is_traced
from biocosmos.encoders.towers import DIGEST_LENGTH, plain_state, weights_digest
from biocosmos.errors import BiocosmosError


@dataclass(frozen=True)
class StageTrace:
    """One stage of one batch.

    Attributes:
        block: in which, counted from 0.
        assignment: (b, patch tokens before) int64, see :class:`~biocosmos.encoders.reduction.tokens.Step`.
        source: (b, patches) int64, which patch token after the stage each patch of the image is in, -1 where it was dropped.
        size: (b, patch tokens after) float32, patches each stands for.
        mask: (b, patch tokens after) bool.
        features: (b, c) the CLS token after the stage's block, or the mean of the tokens without one.
    """

    block: int
    assignment: torch.Tensor
    source: torch.Tensor
    size: torch.Tensor
    mask: torch.Tensor
    features: torch.Tensor


@dataclass
class Trace:
    """What a reduced network did with a batch.

    grid: rows and columns of patches; stages: of the network, those too that had nothing to do; last: (b, c) as
    :attr:`StageTrace.features`, after the last block; tokens: (b, prefix + patch tokens, c) what is left in the end, normed."""

    grid: tuple[int, int]
    stages: list[StageTrace] = field(default_factory=list)
    last: torch.Tensor | None = None
    tokens: torch.Tensor | None = None
    source: torch.Tensor | None = None


class ReducedVit(nn.Module):
    """The image tower of an encoder with a reduction of its tokens: (b, 3, size, size) -> (b, dim) features.

    Args:
        image: the tower as it was loaded: a timm VisionTransformer, or open_clip's with such inside; it becomes ``dense``.
        reduction: see :class:`~biocosmos.encoders.reduction.spec.Reduction`.
        size: side of the images, pixels.

    Weights of the stages, of those methods that have some, are in ``steps``, by the number of the block.

    Raises:
        BiocosmosError: no vision transformer, blocks of another kind, stages it has no blocks for.
    """

    def __init__(self, image: nn.Module, reduction: Reduction, size: int) -> None:
        super().__init__()
        self.dense, self.reduction, self.size = image, reduction, size
        network = network_of(image)
        self.grid = network.grid(size)
        blocks = network.blocks()
        made = make_reducers(
            reduction, width=network.width, heads=taken_apart(blocks[0]).heads, grid=self.grid, blocks=len(blocks)
        )
        for block in blocks:
            taken_apart(block)
        self.steps = nn.ModuleDict({str(block): step for block, step in made.items()})
        self._trace: Trace | None = None

    @property
    def trained_part(self) -> nn.Module:
        """The image tower without a text tower beside it; weights and stages are shared."""
        part = getattr(self.dense, "trained_part", None)
        if part is None:
            return self
        shared = ReducedVit(part, self.reduction, self.size)
        shared.steps = self.steps
        return shared

    def digest_over(self, digest: str) -> str:
        """Digest of the encoder: of its weights (``digest``), the reduction, and the weights of the stages."""
        steps = plain_state(self.steps)
        own = weights_digest(steps) if steps else ""
        return hashlib.sha256(f"{digest} {self.reduction} {own}".encode()).hexdigest()[:DIGEST_LENGTH]

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """images: (b, 3, size, size) floats, normalised. Returns: (b, dim) features."""
        network = network_of(self.dense)
        tokens = Tokens(network.embedded(images), network.prefix)
        if self._trace is not None:
            count = tokens.patches
            tokens = replace(tokens, source=torch.arange(count, device=images.device).expand(len(images), -1))
        tokens = self.run_blocks(tokens, network)
        if self._trace is not None:
            self._trace.last, self._trace.source = _class_or_mean(tokens, network.has_class), tokens.source
            self._trace.tokens = network.normed(tokens.x)
        return network.pooled(tokens)

    def trace(self, images: torch.Tensor) -> tuple[torch.Tensor, Trace]:
        """The features, and what was done to the tokens on the way. Not for several threads at once."""
        with self._tracing() as trace:
            return self(images), trace

    @contextmanager
    def _tracing(self) -> Iterator[Trace]:
        self._trace = trace = Trace(self.grid)
        try:
            yield trace
        finally:
            self._trace = None

    # ------------------------------------------------------------------ the blocks

    def run_blocks(self, tokens: Tokens, network: Network, first: int = 0) -> Tokens:
        """All blocks from number ``first`` on, with the stages in their places."""
        clues: Clues | None = None
        proportional = False
        for number in range(first, len(network.blocks())):
            step: Any = self._stage(number)
            if step is not None and step.idle(tokens):
                step = None  # the block runs as it is, to the last bit
            done: Step | None = None
            if step is not None and step.place == "before":
                done = step(tokens, clues)
                tokens, proportional = self._after(tokens, done), proportional or step.proportional
                step = None
            if step is None:
                tokens, clues = self.block(number, tokens, network, proportional)
            else:
                tokens, clues = self.attention(number, tokens, network, proportional)
                done = step(tokens, clues)
                tokens, proportional = self._after(tokens, done), proportional or step.proportional
                tokens = self.mlp(number, tokens, network)
            if self._trace is not None and self._stage(number) is not None:
                self._record(number, tokens, None if done is None else done.assignment, network.has_class)
        return tokens

    def _stage(self, number: int) -> Any:
        """The stage in block ``number``, or None."""
        return self.steps[str(number)] if str(number) in set(self.steps) else None

    def _looked_at(self, number: int, tokens: Tokens) -> bool:
        """Whether the stage before the next block asks for this block's attention, to reduce these tokens."""
        following = self._stage(number + 1)
        asks = following is not None and following.place == "before" and "attention" in following.needs
        return asks and not following.idle(tokens)

    def block(self, number: int, tokens: Tokens, network: Network, proportional: bool) -> tuple[Tokens, Clues | None]:
        """A block without a stage in it; with the clues of its attention where the stage before the next block asks for them."""
        block = taken_apart(network.blocks()[number], batch_first=network.batch_first)
        odd = self._looked_at(number, tokens) or _confusing(block.heads, tokens.x.shape[1])
        if _plain(tokens, proportional) and not odd:
            return replace(tokens, x=block.whole(tokens.x)), None
        tokens, clues = self.attention(number, tokens, network, proportional)
        return self.mlp(number, tokens, network), clues

    def attention(self, number: int, tokens: Tokens, network: Network, proportional: bool) -> tuple[Tokens, Clues]:
        """The first half of a block, up to where a stage "between" stands."""
        block = taken_apart(network.blocks()[number], batch_first=network.batch_first)
        q, k, v = block.heads_of(tokens.x)
        bias = tokens.bias(proportional)
        clues = Clues(q, k, v, block.scale, tokens.prefix, network.has_class, bias, tokens.size, tokens.mask)
        if tokens.policy is not None:
            found = attention_under_policy(q, k, v, block.scale, tokens.policy)
        else:
            found = _attended(q, k, v, bias, block.scale)
        return replace(tokens, x=block.attended(tokens.x, found)), clues

    def mlp(self, number: int, tokens: Tokens, network: Network) -> Tokens:
        """The second half of a block."""
        block = taken_apart(network.blocks()[number], batch_first=network.batch_first)
        return replace(tokens, x=block.mlp(tokens.x))

    def _after(self, before: Tokens, done: Step) -> Tokens:
        if done.assignment is None or before.source is None:
            return replace(done.tokens, source=before.source)
        return replace(done.tokens, source=composed(before.source, done.assignment))

    def _record(self, number: int, tokens: Tokens, assignment: torch.Tensor | None, has_class: bool) -> None:
        assert self._trace is not None and tokens.source is not None
        if assignment is None:  # no image of this batch had too many: all tokens stayed where they were
            assignment = torch.arange(tokens.patches, device=tokens.x.device).expand(len(tokens.x), -1)
        size, mask = tokens.sizes()[:, tokens.prefix :], tokens.mask
        there = torch.ones_like(size, dtype=torch.bool) if mask is None else mask[:, tokens.prefix :]
        features = _class_or_mean(tokens, has_class)
        self._trace.stages.append(StageTrace(number, assignment, tokens.source, size, there, features))


class Network:
    """The parts of a vision transformer around its blocks; subclasses for each library."""

    model: Any
    prefix: int
    has_class: bool
    width: int
    batch_first = True

    def grid(self, size: int) -> tuple[int, int]:
        """Rows and columns of patches."""
        raise NotImplementedError

    def blocks(self) -> nn.ModuleList:
        """The blocks, in order."""
        raise NotImplementedError

    def embedded(self, images: torch.Tensor) -> torch.Tensor:
        """Images to tokens before the first block."""
        raise NotImplementedError

    def normed(self, x: torch.Tensor) -> torch.Tensor:
        """Tokens after the last block, with the norm of the end where the network has it before pooling."""
        raise NotImplementedError

    def pooled(self, tokens: Tokens) -> torch.Tensor:
        """Features of the image."""
        raise NotImplementedError


class TimmNetwork(Network):
    """``timm.models.vision_transformer.VisionTransformer``, with or without CLS, registers, distillation token."""

    def __init__(self, model: Any) -> None:
        self.model, self.prefix, self.width = model, model.num_prefix_tokens, model.embed_dim
        self.has_class = model.cls_token is not None

    def grid(self, size: int) -> tuple[int, int]:
        """See :class:`Network`."""
        rows, columns = self.model.patch_embed.patch_size
        if getattr(self.model, "dynamic_img_size", False):
            return -(-size // rows), -(-size // columns)
        return tuple(self.model.patch_embed.grid_size)

    def blocks(self) -> nn.ModuleList:
        """See :class:`Network`."""
        return self.model.blocks  # type: ignore[no-any-return]

    def embedded(self, images: torch.Tensor) -> torch.Tensor:
        """See :class:`Network`."""
        model = self.model
        return model.norm_pre(model.patch_drop(model._pos_embed(model.patch_embed(images))))  # type: ignore[no-any-return]

    def normed(self, x: torch.Tensor) -> torch.Tensor:
        """See :class:`Network`."""
        return self.model.norm(x)  # type: ignore[no-any-return]

    def pooled(self, tokens: Tokens) -> torch.Tensor:
        """See :class:`Network`. Means are weighted by what tokens stand for."""
        model, x = self.model, self.normed(tokens.x)
        plain = tokens.size is None and tokens.mask is None and tokens.policy is None
        if plain or (model.attn_pool is None and model.global_pool == "token"):
            return model.forward_head(x)  # type: ignore[no-any-return]
        first = 0 if model.pool_include_prefix else self.prefix
        if model.attn_pool is not None:
            bias = tokens.bias(True)
            if tokens.policy is not None:
                bias = seen(tokens.policy)[:, None, None].to(x.dtype)
            pooled = model.attn_pool(x[:, first:], attn_mask=None if bias is None else bias[..., first:])
        else:
            pooled = _weighted(x, tokens, first, model.global_pool)
        return model.head(model.head_drop(model.fc_norm(pooled)))  # type: ignore[no-any-return]


class OpenClipNetwork(Network):
    """``open_clip.transformer.VisionTransformer``, which always has a CLS token."""

    prefix = 1
    has_class = True

    def __init__(self, model: Any) -> None:
        self.model, self.width = model, model.conv1.out_channels
        self.batch_first = model.transformer.batch_first

    def grid(self, size: int) -> tuple[int, int]:
        """See :class:`Network`."""
        return tuple(self.model.grid_size)

    def blocks(self) -> nn.ModuleList:
        """See :class:`Network`."""
        return self.model.transformer.resblocks  # type: ignore[no-any-return]

    def embedded(self, images: torch.Tensor) -> torch.Tensor:
        """See :class:`Network`."""
        return self.model._embeds(images)  # type: ignore[no-any-return]

    def normed(self, x: torch.Tensor) -> torch.Tensor:
        """See :class:`Network`."""
        model = self.model
        return x if model.final_ln_after_pool or model.attn_pool is not None else model.ln_post(x)

    def pooled(self, tokens: Tokens) -> torch.Tensor:
        """See :class:`Network`. Means are weighted by what tokens stand for."""
        model = self.model
        plain = tokens.size is None and tokens.mask is None and tokens.policy is None
        if plain or (model.attn_pool is None and model.pool_type == "tok"):
            pooled, _ = model._pool(tokens.x)
        elif model.attn_pool is not None:
            raise BiocosmosError(
                f"this model pools its tokens by attention ({type(model.attn_pool).__name__}), which cannot weigh merged ones: "
                "choose a reduction that drops tokens, such as topk"
            )
        else:
            pooled = _weighted(self.normed(tokens.x), tokens, 1, "avg")
            pooled = model.ln_post(pooled) if model.final_ln_after_pool else pooled
        return pooled if model.proj is None else pooled @ model.proj  # type: ignore[no-any-return]


def network_of(image: nn.Module) -> Network:
    """The vision transformer in an image tower. Raises BiocosmosError, naming what it is instead."""
    model: Any = getattr(image, "model", image)
    model = getattr(model, "visual", model)
    model = getattr(model, "trunk", model)  # open_clip's towers of timm
    if (
        hasattr(model, "blocks")
        and hasattr(model, "_pos_embed")
        and hasattr(model, "patch_embed")
        and hasattr(model, "attn_pool")
    ):
        if model is not image and hasattr(getattr(image, "visual", getattr(image, "model", image)), "trunk"):
            raise BiocosmosError("open_clip's towers that are timm models are not reduced: load the timm model by itself")
        return TimmNetwork(model)
    if hasattr(model, "transformer") and hasattr(model, "class_embedding") and hasattr(model, "_embeds"):
        return OpenClipNetwork(model)
    kind = type(model).__name__
    attends = any("Attention" in type(part).__name__ for part in model.modules())
    if not attends and sum(isinstance(part, nn.Conv2d) for part in model.modules()) > 1:
        raise BiocosmosError(
            f"it is a convolutional network ({kind}) and has no tokens to reduce: name a vision transformer, or use it as it is"
        )
    raise BiocosmosError(f"{kind} is no vision transformer of timm or open_clip, and has no tokens to reduce: use it as it is")


def _attended(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, bias: torch.Tensor | None, scale: float) -> torch.Tensor:
    """q, k, v: (b, heads, n, d); bias: (b, 1, 1, n). Returns: (b, heads, n, d)."""
    b, heads, n, _ = q.shape
    if not _confusing(heads, n):
        return nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=bias, scale=scale)
    q, k, v = (each.flatten(0, 1) for each in (q, k, v))
    if bias is not None:
        bias = bias.expand(b, heads, 1, n).flatten(0, 1)
    found = nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=bias, scale=scale)
    return found.reshape(b, heads, n, -1)


def _confusing(heads: int, tokens: int) -> bool:
    """Whether heads must be laid beside images in a graph: with as many tokens as heads, OpenVINO 2026.4 takes the one for the
    other, and what its attention gives in float32 is wrong."""
    return heads == tokens and is_traced()


def _plain(tokens: Tokens, proportional: bool) -> bool:
    """Whether a block may run as it is."""
    return tokens.mask is None and tokens.policy is None and not (proportional and tokens.size is not None)


def _class_or_mean(tokens: Tokens, has_class: bool) -> torch.Tensor:
    return tokens.x[:, 0] if has_class else _weighted(tokens.x, tokens, tokens.prefix, "avg")


def _weighted(x: torch.Tensor, tokens: Tokens, first: int, kind: str) -> torch.Tensor:
    """The tokens from ``first`` on, pooled as timm does, each counted for the patches it stands for."""
    x, weights = x[:, first:], tokens.sizes()[:, first:]
    there = None if tokens.mask is None else tokens.mask[:, first:]
    if there is not None:
        weights = weights * there
    if tokens.policy is not None:
        weights = weights * tokens.policy[:, first:]
    weights = weights.to(x.dtype).unsqueeze(-1)
    mean = (x * weights).sum(dim=1) / weights.sum(dim=1)
    if kind == "avg":
        return mean
    if kind in ("max", "avgmax"):
        lowest = x if there is None else x.masked_fill(~there.unsqueeze(-1), -torch.inf)
        return lowest.amax(dim=1) if kind == "max" else 0.5 * (lowest.amax(dim=1) + mean)
    raise BiocosmosError(f"this model pools its tokens as '{kind}', which is not known: use it as it is")
