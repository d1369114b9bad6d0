"""Leave the first stages of a model as they are: they see edges and textures, and cost most of a training step."""

from __future__ import annotations

from typing import Any

from torch import nn

from biocosmos.errors import BiocosmosError


def freeze_stages(model: nn.Module, stages: int) -> None:
    """Stop the gradients of the first ``stages`` groups of layers, the stem being the first, as timm groups them.

    Modules that are frozen whole must be kept in evaluation mode, or their batch statistics move. Raises BiocosmosError when timm
    does not say how the model is grouped, or nothing would be left to train.
    """
    grouped: Any = next((part for part in model.modules() if hasattr(part, "group_matcher")), None)
    if grouped is None:
        raise BiocosmosError("--freeze-stages knows the stages of timm models only: leave it out for this encoder")
    import timm.models  # here, because it takes seconds

    groups = timm.models.group_parameters(grouped, grouped.group_matcher(coarse=True))
    if not 0 < stages < len(groups):
        raise BiocosmosError(
            f"--freeze-stages must be 1 to {len(groups) - 1} for this model, not {stages}: it has {len(groups)} stages"
        )
    names = {name for group in sorted(groups)[:stages] for name in groups[group]}
    for name, weights in grouped.named_parameters():
        if name in names:
            weights.requires_grad_(False)
