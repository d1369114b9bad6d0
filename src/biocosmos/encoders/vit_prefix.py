"""The first blocks of a vision transformer of timm apart from the rest, so that what they give can be kept.

Between patches and blocks such a network adds positions and prepends tokens, which are no modules of their own: it is no chain of
layers to be cut anywhere (:meth:`~biocosmos.encoders.feature_maps.Trunk.frozen_prefix`), and is cut between two blocks here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from biocosmos.encoders.reduction.network import ReducedVit, TimmNetwork
from biocosmos.encoders.reduction.tokens import Tokens
from biocosmos.errors import BiocosmosError


class VitFront(nn.Module):
    """Patches, positions and the first blocks, always in evaluation mode.

    model: the transformer, whose weights these are; blocks: how many.
    """

    def __init__(self, model: Any, blocks: int) -> None:
        super().__init__()
        self._network = (TimmNetwork(model),)  # in a tuple, so that the weights behind are not listed
        self.patch_embed, self.norm_pre = model.patch_embed, model.norm_pre
        for name, weights in model.named_parameters(recurse=False):
            self.register_parameter(name, weights)
        self.blocks = nn.ModuleList(model.blocks[:blocks])

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """images: (n, 3, size, size) float32, normalised. Returns: (n, c, tokens, 1), the tokens that come first included."""
        x = self._network[0].embedded(images)
        for block in self.blocks:
            x = block(x)
        return x.transpose(1, 2).unsqueeze(-1)

    def __deepcopy__(self, memo: dict[int, Any]) -> VitFront:
        import copy

        return VitFront(copy.deepcopy(self._network[0].model, memo), len(self.blocks)).eval()

    def _apply(self, fn: Any, recurse: bool = True) -> VitFront:
        self._network[0].model._apply(fn, recurse)  # positions and class token are the model's own
        return self

    def train(self, mode: bool = True) -> VitFront:
        """Stays in evaluation mode."""
        return super().train(False)


class VitBack(nn.Module):
    """The rest: what :class:`VitFront` gave -> [features].

    image: the tower, reduced or not; model: the transformer in it; first: number of the first block that is left.
    """

    def __init__(self, image: nn.Module, model: Any, projection: nn.Module | None, first: int) -> None:
        super().__init__()
        self.image, self.projection, self.first = image, projection, first
        self._network = (TimmNetwork(model),)

    def forward(self, kept: torch.Tensor) -> list[torch.Tensor]:
        """kept: (n, c, tokens, 1)."""
        network = self._network[0]
        tokens = Tokens(kept.squeeze(-1).transpose(1, 2), network.prefix)
        if isinstance(self.image, ReducedVit):
            tokens = self.image.run_blocks(tokens, network, self.first)
        else:
            for block in network.blocks()[self.first :]:
                tokens = Tokens(block(tokens.x), network.prefix)
        features = network.pooled(tokens)
        return [features if self.projection is None else self.projection(features)]


def is_vit(model: Any) -> bool:
    """Whether it is timm's plain vision transformer."""
    from timm.models.vision_transformer import VisionTransformer  # here, because it takes seconds

    return isinstance(model, VisionTransformer)


def vit_parts(image: nn.Module, model: Any, projection: nn.Module | None, stages: int) -> tuple[VitFront, VitBack]:
    """The tower cut after ``stages`` groups of layers, the patches and positions being the first, each block one more.

    Weights of the front no longer ask for gradients. Raises BiocosmosError where that leaves no block to train, or the first
    stage that reduces tokens lies in the front.
    """
    blocks = stages - 1
    if not 0 <= blocks < len(model.blocks):
        raise BiocosmosError(
            f"frozen stages must be 1 to {len(model.blocks)} for this model, not {stages}: patches and positions, then the blocks"
        )
    if isinstance(image, ReducedVit):
        _refuse_cut_reduction(image, blocks)
    front = VitFront(model, blocks)
    for weights in front.parameters():
        weights.requires_grad_(False)
    return front.eval(), VitBack(image, model, projection, blocks)


def _refuse_cut_reduction(image: ReducedVit, blocks: int) -> None:
    for number, step in _steps(image):
        needed = number - (step.place == "before" and "attention" in step.needs)
        if needed < blocks:
            looks = " and looks at the block before" if needed < number else ""
            raise BiocosmosError(
                f"reduction {image.reduction} takes tokens away in block {number}{looks}: "
                f"--freeze-stages may be {needed + 1} at most with --cache-views, not {blocks + 1}"
            )


def _steps(image: ReducedVit) -> Iterator[tuple[int, Any]]:
    for number, step in image.steps.items():
        yield int(number), step
