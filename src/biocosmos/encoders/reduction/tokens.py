"""What passes through a transformer whose tokens are reduced: the tokens, what is known of the attention, what a step did."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import torch
from torch import nn

from biocosmos.encoders.reduction.spec import Reduction

Place = Literal["before", "between", "inside"]


@dataclass(frozen=True)
class Tokens:
    """The tokens of a batch, at one place of the network.

    Attributes:
        x: (b, n, c) floats, the ``prefix`` tokens (CLS, registers, distillation) first, then the patch tokens.
        size: (b, n) float32, patches each token stands for, 1 for the prefix; None: all one.
        mask: (b, n) bool, True where there is a token, where images have different numbers of them; None: all.
        policy: (b, n) floats 0 or 1 with a gradient: tokens that are kept, while dropping is being learnt; None otherwise.
        source: (b, patches) int64, which patch token (counted without the prefix) each patch of the image is in, -1 where it was
            dropped; None: not traced. The network keeps it.
    """

    x: torch.Tensor
    prefix: int
    size: torch.Tensor | None = None
    mask: torch.Tensor | None = None
    policy: torch.Tensor | None = None
    source: torch.Tensor | None = None

    @property
    def patches(self) -> int:
        """Patch tokens."""
        return self.x.shape[1] - self.prefix

    def sizes(self) -> torch.Tensor:
        """(b, n) float32: :attr:`size`, written out."""
        return self.x.new_ones(self.x.shape[:2], dtype=torch.float32) if self.size is None else self.size

    def selected(self, chosen: torch.Tensor) -> Tokens:
        """The prefix and the patch tokens ``chosen``: (b, k) int64, counted without the prefix. ``source`` stays as it is."""
        rows = chosen
        if self.prefix:  # of nothing and something OpenVINO makes no row
            front = torch.arange(self.prefix, device=chosen.device).expand(chosen.shape[0], -1)
            rows = torch.cat([front, chosen + self.prefix], dim=1)
        return replace(
            self,
            x=rows_of(self.x, rows),
            size=None if self.size is None else self.size.gather(1, rows),
            mask=None if self.mask is None else self.mask.gather(1, rows),
            policy=None if self.policy is None else self.policy.gather(1, rows),
        )

    def bias(self, proportional: bool) -> torch.Tensor | None:
        """What is added to attention's logits: (b, 1, 1, n), log size if attention is proportional, -inf where no token is."""
        bias = self.size.log() if proportional and self.size is not None else None
        if self.mask is not None:
            start = torch.zeros_like(self.mask, dtype=torch.float32) if bias is None else bias
            bias = start.masked_fill(~self.mask, -torch.inf)
        return None if bias is None else bias[:, None, None].to(self.x.dtype)


@dataclass(frozen=True)
class Clues:
    """What is known of a block's attention.

    Attributes:
        queries, keys, values: (b, heads, n, d), the prefix first.
        scale: of the logits.
        prefix, size, mask: as in :class:`Tokens`, when attention was computed.
        has_class: whether token 0 is a CLS token.
        bias: (b, 1, 1, n), as it was added to the logits; None: nothing was.
    """

    queries: torch.Tensor
    keys: torch.Tensor
    values: torch.Tensor
    scale: float
    prefix: int
    has_class: bool = True
    bias: torch.Tensor | None = None
    size: torch.Tensor | None = None
    mask: torch.Tensor | None = None

    @property  # not cached: torch.compile cannot enter the lock of one
    def mean_keys(self) -> torch.Tensor:
        """(b, patch tokens, d) float32: keys averaged over heads."""
        return self.keys[:, :, self.prefix :].float().mean(dim=1)

    def attention(self) -> torch.Tensor:
        """(b, heads, n, n) float32, rows summing to one, as the block had it."""
        return self._rows(self.queries)

    def class_attention(self) -> torch.Tensor:
        """(b, heads, patch tokens) float32: how much CLS attends to each; without a CLS token the mean over all tokens."""
        if self.has_class:
            return self._rows(self.queries[:, :, :1])[:, :, 0, self.prefix :]
        rows = self._rows(self.queries)
        if self.mask is None:
            return rows.mean(dim=2)[..., self.prefix :]
        there = self.mask[:, None, :, None].float()
        return ((rows * there).sum(dim=2) / there.sum(dim=2))[..., self.prefix :]

    def _rows(self, queries: torch.Tensor) -> torch.Tensor:
        logits = queries.float() @ self.keys.float().transpose(-2, -1) * self.scale
        if self.bias is not None:
            logits = logits + self.bias.float()
        return logits.softmax(dim=-1)


@dataclass(frozen=True)
class Step:
    """What a reduction did.

    tokens: after it; assignment: (b, patch tokens before) int64, which patch token after it each is in (of soft merges, that of
    the largest weight), -1 where it was dropped; None: nothing was reduced.
    """

    tokens: Tokens
    assignment: torch.Tensor | None


@dataclass(frozen=True)
class StageShape:
    """Where a stage stands: width and heads of the network; the grid of patches (rows, columns); patch tokens before the stage if
    all before it kept what they should; how many it keeps; its number, counted from 0; how many stages there are; in which block,
    counted from 0, of how many."""

    width: int
    heads: int
    grid: tuple[int, int]
    before: int
    keep: int
    stage: int
    stages: int
    block: int = 0
    blocks: int = 12


class Reducer(nn.Module):
    """One stage of one method; subclasses say ``place`` and ``needs`` and compute ``reduce``.

    place: "before" the block, "between" its attention and its MLP, or "inside" (as between: rows of attention are sampled).
    needs: "attention" where clues are wanted: of this block (between, inside) or of the block before (before).
    proportional: attention after it adds the logarithm of sizes to its logits.
    """

    place: ClassVar[Place] = "between"
    needs: ClassVar[frozenset[str]] = frozenset({"attention"})
    proportional: ClassVar[bool] = False
    pixels_decide: ClassVar[bool] = False
    """Whether how many tokens are left depends on the image."""

    def __init__(self, shape: StageShape, reduction: Reduction) -> None:
        super().__init__()
        self.shape, self.reduction, self.keep = shape, reduction, shape.keep

    def idle(self, tokens: Tokens) -> bool:
        """Whether there is nothing to do, so that a network may run the block as it is, to the last bit: :attr:`keep` patch
        tokens or fewer."""
        return tokens.patches <= self.keep

    def forward(self, tokens: Tokens, clues: Clues | None) -> Step:
        """Reduce; where the stage is :meth:`idle`, tokens stay as they are."""
        return Step(tokens, None) if self.idle(tokens) else self.reduce(tokens, clues)

    def reduce(self, tokens: Tokens, clues: Clues | None) -> Step:
        """Reduce, where there is something to do."""
        raise NotImplementedError

    def extra_repr(self) -> str:
        return f"{self.shape.before} -> {self.keep}"


class HostReducer(Reducer):
    """A stage whose choice no graph of operations can make, such as clustering: the network computes what is ``asked``, that is
    ``answered`` on the host, and the network goes on with the answer ``applied``. A runtime of graphs is cut between
    (:mod:`~biocosmos.encoders.reduction.segments`).
    """

    def asked(self, tokens: Tokens, clues: Clues | None) -> torch.Tensor:
        """What the choice is made by, such as the mean keys: (b, patch tokens, d)."""
        raise NotImplementedError

    def answered(self, asked: torch.Tensor, *, has_class: bool) -> torch.Tensor:
        """The choice, of a shape that no image decides: (b, patch tokens) int64."""
        raise NotImplementedError

    def applied(self, tokens: Tokens, answer: torch.Tensor, *, has_class: bool) -> Step:
        """Reduce, by that."""
        raise NotImplementedError

    def reduce(self, tokens: Tokens, clues: Clues | None) -> Step:
        """See :class:`Reducer`."""
        has_class = clues is not None and clues.has_class
        answer = self.answered(self.asked(tokens, clues), has_class=has_class)
        return self.applied(tokens, answer, has_class=has_class)


def is_traced() -> bool:
    """Whether operations are being recorded for a graph of fixed shapes, as OpenVINO takes them."""
    return torch._C._get_tracing_state() is not None


def rows_of(x: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    """x: (b, n, c), rows: (b, k) int64. Returns: (b, k, c), those rows, copied whole (on CPUs 16 times as fast as gather)."""
    b, n, _ = x.shape
    first = torch.arange(0, b * n, n, device=x.device).unsqueeze(1)
    return x.flatten(0, 1).index_select(0, (rows + first).flatten()).reshape(b, rows.shape[1], x.shape[2])


def unmerge(values: torch.Tensor, source: torch.Tensor, *, fill: float = 0.0) -> torch.Tensor:
    """Dense again.

    values: (b, patch tokens, c) of what is left; source: as in :class:`Tokens`. Returns: (b, patches, c), each patch with what
    its token has, ``fill`` where it was dropped.
    """
    found = values.gather(1, source.clamp_min(0).unsqueeze(-1).expand(-1, -1, values.shape[2]))
    return found.masked_fill((source < 0).unsqueeze(-1), fill)


def composed(source: torch.Tensor, assignment: torch.Tensor) -> torch.Tensor:
    """Where patches are after one step more; shapes as in :class:`Tokens` and :class:`Step`."""
    return torch.where(source < 0, -1, assignment.gather(1, source.clamp_min(0)))
