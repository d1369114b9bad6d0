"""Batch norms folded into the convolutions before them: the same function of the images, with fewer passes over the maps."""

from __future__ import annotations

import copy

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

TOLERANCE = 1e-3
"""Largest difference to the model as it was, relative to its largest output, before folding is given up."""


def folded(model: nn.Module, example: torch.Tensor) -> nn.Module:
    """A copy for inference of ``model`` whose batch norms are part of the convolutions whose output they take.

    w' = w * gamma / sqrt(variance + eps) for each filter, and likewise its bias. Which convolution a norm follows is seen by
    running ``example``, one input of the model, through it. If the copy then computes anything else (a convolution's output
    is used twice), it is returned unfolded.
    """
    copied = copy.deepcopy(model).eval().requires_grad_(False)
    with torch.no_grad():
        expected = copied(example)
    plain = copy.deepcopy(copied)
    for convolution, norm in _pairs(copied, example):
        _fold(copied, convolution, norm)
    with torch.no_grad():
        difference = (copied(example) - expected).abs().max()
    return copied if float(difference) <= TOLERANCE * float(expected.abs().max()) else plain


def _pairs(model: nn.Module, example: torch.Tensor) -> list[tuple[str, str]]:
    """(convolution, batch norm that takes its output), by name."""
    given_by: dict[int, tuple[str, torch.Tensor]] = {}  # with the tensor, so that its id stays its own
    pairs: list[tuple[str, str]] = []

    def after(name: str, out: torch.Tensor) -> None:
        given_by[id(out)] = name, out

    def before(name: str, given: torch.Tensor) -> None:
        if id(given) in given_by:
            pairs.append((given_by[id(given)][0], name))

    hooks = []
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d):
            hooks.append(module.register_forward_hook(lambda _m, _given, out, name=name: after(name, out)))
        elif isinstance(module, nn.BatchNorm2d) and module.track_running_stats:
            hooks.append(module.register_forward_pre_hook(lambda _m, given, name=name: before(name, given[0])))
    try:
        with torch.no_grad():
            model(example)
    finally:
        for hook in hooks:
            hook.remove()
    return pairs


def _fold(model: nn.Module, convolution: str, norm: str) -> None:
    conv, batch_norm = model.get_submodule(convolution), model.get_submodule(norm)
    assert isinstance(conv, nn.Conv2d) and isinstance(batch_norm, nn.BatchNorm2d)
    mean, variance = batch_norm.running_mean, batch_norm.running_var
    assert mean is not None and variance is not None
    conv.weight, conv.bias = fuse_conv_bn_weights(
        conv.weight, conv.bias, mean, variance, batch_norm.eps, batch_norm.weight, batch_norm.bias
    )
    rest = [part for part in (getattr(batch_norm, "drop", None), getattr(batch_norm, "act", None)) if part is not None]
    parent, _, own = norm.rpartition(".")
    setattr(model.get_submodule(parent), own, nn.Sequential(*rest))
