"""Modules that do not move while the rest trains: those that are frozen whole, and batch norms whose statistics are kept."""

from __future__ import annotations

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


def hold_still(model: nn.Module, *, norms: bool) -> None:
    """Put the modules of ``model`` that are frozen whole in evaluation mode, and all batch norms if ``norms``.

    To be called after each ``train()``: modules are looked up anew, since batch norms may have been replaced by those of many
    processes.
    """
    for module in model.modules():
        own = list(module.parameters())
        frozen = bool(own) and not any(weights.requires_grad for weights in own)
        if frozen or (norms and isinstance(module, _BatchNorm)):
            module.eval()
