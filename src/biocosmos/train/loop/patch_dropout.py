"""Leave out some patches of a vision transformer in each training step (PatchDropout; Liu et al., WACV 2023, arXiv:2208.07220).

A step is cheaper by about as much as is left out. Evaluation sees all patches, and a saved folder knows nothing of it.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from biocosmos.errors import BiocosmosError


def drop_patches(image: nn.Module, share: float) -> None:
    """Let the vision transformer in ``image`` drop ``share`` of its patches, 0 to below 1, in training mode; class token and
    registers stay. Raises BiocosmosError for a model that is none of timm's or open_clip's transformers."""
    for part in image.modules():
        if hasattr(part, "patch_drop") and hasattr(part, "patch_embed"):  # timm
            from timm.layers import PatchDropout  # here, because it takes seconds

            timm_part: Any = part
            timm_part.patch_drop = PatchDropout(share, num_prefix_tokens=timm_part.num_prefix_tokens)
            return
        if hasattr(part, "patch_dropout") and hasattr(part, "class_embedding"):  # open_clip
            from open_clip.transformer import PatchDropout as OpenClipPatchDropout

            open_clip_part: Any = part
            open_clip_part.patch_dropout = OpenClipPatchDropout(share)
            return
    raise BiocosmosError(
        "--patch-dropout is for vision transformers of timm and open_clip, which this encoder is not: leave it out"
    )
