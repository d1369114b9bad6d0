"""DynamicViT: a small network before some blocks decides which tokens stay, and is trained with the rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar, Literal, NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

from biocosmos.encoders.reduction.selection import DROPPED, kept, largest
from biocosmos.encoders.reduction.spec import Reduction
from biocosmos.encoders.reduction.tokens import Clues, Place, Reducer, StageShape, Step, Tokens
from biocosmos.nn.distillation import divergence


class KeepPredictor(nn.Module):
    """Whether to keep each token: (b, n, c) tokens -> (b, n, 2) log probabilities of keeping and of dropping it.

        z = GELU(W LN(x));  local_i = the first half of z_i;  global = mean over tokens still kept of the second half
        log p_i = log softmax(MLP([local_i, global]))

    Rao et al., "DynamicViT", NeurIPS 2021 (https://arxiv.org/abs/2106.02034), equations 1 to 5. In the public code the small
    number that guards the mean stands outside its denominator, and an image with no token left has no mean; here it is zero.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.local = width // 2
        self.inward = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.GELU())
        self.outward = nn.Sequential(
            nn.Linear(width, width // 2), nn.GELU(), nn.Linear(width // 2, width // 4), nn.GELU(), nn.Linear(width // 4, 2)
        )
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)

    def forward(self, x: torch.Tensor, policy: torch.Tensor | None = None) -> torch.Tensor:
        """x: (b, n, c) floats; policy: (b, n) floats, 1 where a token is still kept, 0 where not; None: all are."""
        z = self.inward(x)
        near, far = z[..., : self.local], z[..., self.local :]
        if policy is None:
            overall = far.mean(dim=1, keepdim=True)
        else:
            weights = policy.to(far.dtype).unsqueeze(-1)
            overall = (far * weights).sum(dim=1, keepdim=True) / weights.sum(dim=1, keepdim=True).clamp_min(1.0)
        scores = self.outward(torch.cat([near, overall.expand(-1, x.shape[1], -1)], dim=-1))
        return F.log_softmax(scores.float(), dim=-1)


class DynamicViT(Reducer):
    """Keeps the K patch tokens of which a trained predictor is surest that they should stay.

    While training, tokens are drawn instead, kept or dropped by the straight-through Gumbel softmax of the predictor (one that
    was dropped stays so). All of them are computed, and the dropped ones are attended to by none but themselves
    (:mod:`~biocosmos.encoders.reduction.policy`). How many stay is learnt: train with :class:`DynamicVitLoss`.

    Rao et al., NeurIPS 2021 (https://arxiv.org/abs/2106.02034), as compared in Haurum et al., ICCVW 2023. The published code
    leaves tokens sorted by score (``published``); here they stay in the order of the image.
    """

    place: ClassVar[Place] = "before"
    needs: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, shape: StageShape, reduction: Reduction) -> None:
        super().__init__(shape, reduction)
        self.predictor = KeepPredictor(shape.width)
        self.share = shape.keep / (shape.grid[0] * shape.grid[1])
        self.decision: torch.Tensor | None = None

    def reduce(self, tokens: Tokens, clues: Clues | None) -> Step:
        """See :class:`~biocosmos.encoders.reduction.tokens.Reducer`."""
        before = None if tokens.policy is None else tokens.policy[:, tokens.prefix :]
        scores = self.predictor(tokens.x[:, tokens.prefix :], before)
        if not self.training:
            return kept(tokens, largest(scores[..., 0], self.keep, by_score=self.reduction.published))
        decision = F.gumbel_softmax(scores, hard=True)[..., 0]
        if before is not None:
            decision = decision * before
        self.decision = decision
        policy = torch.cat([decision.new_ones(decision.shape[0], tokens.prefix), decision], dim=1)
        places = torch.arange(tokens.patches, device=decision.device).expand(decision.shape[0], -1)
        return Step(replace(tokens, policy=policy), torch.where(decision > 0.5, places, DROPPED))

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "decision": None}  # it hangs on the graph of its batch, which cannot be copied


class Drawn(NamedTuple):
    """What the stages of a network drew for a batch.

    decisions: (b, patches) floats 0 or 1 with a gradient, one a stage; shares: of all patches, that each should keep.
    """

    decisions: list[torch.Tensor]
    shares: list[float]


def drawn(network: nn.Module) -> Drawn:
    """What the DynamicViT stages in ``network`` drew in the last forward pass in training, first to last; they forget it."""
    stages = [module for module in network.modules() if isinstance(module, DynamicViT)]
    found = [(stage.decision, stage.share) for stage in stages if stage.decision is not None]
    for stage in stages:
        stage.decision = None
    return Drawn([decision for decision, _ in found], [share for _, share in found])


class DynamicVitLoss(nn.Module):
    """What DynamicViT is trained with beside the loss of its labels (equations 12 to 16 of the paper):

        ratio * 1/L sum_l mean_b (mean_i D_bi^l - r_l)^2         as many tokens stay as should
      + classes * KL(softmax(teacher logits) || softmax(logits))     the answer of the dense network
      + tokens * mean over kept tokens of KL(softmax(t_i) || softmax(x_i)), or of (t_i - x_i)^2

    Args:
        ratio, classes, tokens: weights of the three parts; those published are the default.
        compared: "kl" over channels, as published, or "mse", of the tokens of the last layer.
    """

    def __init__(
        self, *, ratio: float = 2.0, classes: float = 0.5, tokens: float = 0.5, compared: Literal["kl", "mse"] = "kl"
    ) -> None:
        super().__init__()
        self.ratio, self.classes, self.tokens, self.compared = ratio, classes, tokens, compared

    def forward(
        self,
        decisions: Sequence[torch.Tensor],
        shares: Sequence[float],
        *,
        logits: tuple[torch.Tensor, torch.Tensor] | None = None,
        features: tuple[torch.Tensor, torch.Tensor] | None = None,
    ) -> torch.Tensor:
        """The sum of the parts, each left out where its tensors are not given.

        Args:
            decisions, shares: see :class:`Drawn`.
            logits: (b, classes) of the network and of its dense teacher.
            features: (b, patches, c) tokens after the last norm, of the network and of its dense teacher, in the same places.

        Returns: () float32.
        """
        total = torch.zeros((), device=next((t.device for t in decisions), None))
        if decisions:
            off = [(each.float().mean(dim=1) - share).square().mean() for each, share in zip(decisions, shares, strict=True)]
            total = total + self.ratio * torch.stack(off).mean()
        if logits is not None:
            total = total + self.classes * divergence(logits[0], logits[1].detach()).mean()
        if features is not None:
            total = total + self.tokens * self._of_tokens(*features, decisions[-1] if decisions else None)
        return total

    def _of_tokens(self, x: torch.Tensor, teacher: torch.Tensor, decision: torch.Tensor | None) -> torch.Tensor:
        squares = self.compared == "mse"
        each = (x.float() - teacher.detach().float()).square().mean(dim=-1) if squares else divergence(x, teacher.detach())
        if decision is None:
            return each.mean()
        stays = decision.detach().float()
        return (each * stays).sum() / stays.sum().clamp_min(1.0)
