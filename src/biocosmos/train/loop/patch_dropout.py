"""Leave out some patches of a vision transformer in each training step (PatchDropout).

A step is cheaper by about as much as is left out. Evaluation sees all patches, and a saved folder knows nothing of it.
"""

from __future__ import annotations

import torch
from torch import nn

from biocosmos.errors import BiocosmosError


class PatchDropout(nn.Module):
    """Leaves int(n (1 - share)) of the n patch tokens, at least one, other ones for each image and step; all in evaluation.

    Liu et al., "PatchDropout", WACV 2023 (https://arxiv.org/abs/2208.07220); Li et al., "FLIP", CVPR 2023 (https://arxiv.org/abs/2212.00794),
    who drop half and more. The cost of a step falls with the share, and what is learnt holds for all patches.

    Args:
        share: of the patch tokens that is dropped, 0 to below 1.
        prefix: tokens at the front that stay (CLS, registers, distillation token).
    """

    def __init__(self, share: float, prefix: int) -> None:
        super().__init__()
        _check(share)
        self.share, self.prefix = share, prefix

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x: (b, n, c) floats. Returns: (b, prefix + what is left, c), in the order of the image."""
        if not self.training or self.share == 0:
            return x
        front, patches = x[:, : self.prefix], x[:, self.prefix :]
        count = max(1, int(patches.shape[1] * (1 - self.share)))
        drawn = torch.rand(patches.shape[:2], device=x.device).argsort(dim=1)[:, :count].sort(dim=1).values
        return torch.cat([front, patches.gather(1, drawn.unsqueeze(-1).expand(-1, -1, x.shape[2]))], dim=1)

    def extra_repr(self) -> str:
        return f"{self.share:g}"


def drop_patches(image: nn.Module, share: float) -> None:
    """Train this image tower with PatchDropout: put it where timm and open_clip have a place for it. 0 takes it out again.

    Positions are added before, so any plain transformer can be trained so, and its weights stay as they are.

    Args:
        image: an image tower, reduced or not, changed in place. share: of the patches that is dropped, 0 to below 1.

    Raises:
        BiocosmosError: a share out of range; a network without such a place.
    """
    _check(share)
    for network in image.modules():
        prefix = getattr(network, "num_prefix_tokens", None)
        if isinstance(prefix, int) and _has(network, "patch_drop", "_pos_embed"):
            _put(network, "patch_drop", share, prefix)
            return
        if _has(network, "patch_dropout", "class_embedding"):
            _put(network, "patch_dropout", share, 1)
            return
    raise BiocosmosError(
        "--patch-dropout is for vision transformers of timm and open_clip, which this encoder is not: leave it out"
    )


def _has(network: nn.Module, *names: str) -> bool:
    return all(hasattr(network, name) for name in names)


def _put(network: nn.Module, name: str, share: float, prefix: int) -> None:
    """Put it in; networks with rotary positions, which come later, are told which patches are left."""
    made: nn.Module | None
    if hasattr(network, "rope"):
        from timm.layers import PatchDropoutWithIndices  # here, because it takes seconds

        made = PatchDropoutWithIndices(share, num_prefix_tokens=prefix) if share else None
    else:
        made = PatchDropout(share, prefix) if share else nn.Identity()
    setattr(network, name, made if made is None else made.train(network.training))


def _check(share: float) -> None:
    if not 0 <= share < 1:
        raise BiocosmosError(f"cannot drop a share of {share:g} of the patches: give 0 to below 1")
