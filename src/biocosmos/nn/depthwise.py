"""Depthwise convolutions whose weight gradient is fast on a CPU."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

FAST_WIDTH = 3
"""oneDNN's depthwise kernel for weight gradients (jit_dw) takes kernels of at most this width, and no padding that makes a kernel
taller than the map fit; all else goes through matrix products, channel by channel, 10 to 100 times as slow (ONEDNN_VERBOSE=1)."""
Pair = tuple[int, int]


def use_fast_depthwise(model: nn.Module) -> int:
    """Give the depthwise convolutions of ``model`` a weight gradient that is fast on a CPU, in place.

    Weights, their names and all results stay; on another device, in another precision than float32 and under autocast torch
    computes as before. ``nn.Conv2d`` and timm's ``Conv2dSame`` are known, with one filter a channel and no dilation.

    Returns:
        the number of layers that were changed; 0 the second time.
    """
    changed = 0
    for module in model.modules():
        fast = _SUBCLASS.get(f"{type(module).__module__.partition('.')[0]}.{type(module).__name__}")
        if fast is not None and isinstance(module, nn.Conv2d) and _gains(module):
            module.__class__ = fast
            changed += 1
    return changed


def depthwise(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, stride: Pair, padding: Pair) -> torch.Tensor:
    """``F.conv2d`` with one filter a channel and another way to the weight gradient; differentiable as often as conv2d is.

    Args:
        x: (n, c, h, w); weight: (c, 1, kernel height, kernel width); bias: (c,) or None.
        stride, padding: (rows, columns); zeros are padded.

    Returns:
        (n, c, h', w')
    """
    result: torch.Tensor = _Depthwise.apply(x, weight, stride, padding)
    return result if bias is None else result + bias[:, None, None]


class _Depthwise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor, stride: Pair, padding: Pair) -> torch.Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.padding = stride, padding
        return F.conv2d(x, weight, None, stride, padding, 1, len(weight))

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, torch.Tensor | None, None, None]:
        x, weight = ctx.saved_tensors
        (gradient,) = gradients
        wanted_x, wanted_weight = ctx.needs_input_grad[:2]
        of_x = _gradients(gradient, x, weight, ctx.stride, ctx.padding, of_x=True) if wanted_x else None
        of_weight = _weight_gradient(gradient, x, weight, ctx.stride, ctx.padding) if wanted_weight else None
        return of_x, of_weight, None, None


def _weight_gradient(gradient: torch.Tensor, x: torch.Tensor, weight: torch.Tensor, stride: Pair, padding: Pair) -> torch.Tensor:
    """A few columns of the kernel at a time: each is the weight gradient of a narrow kernel on other columns of ``x``."""
    rows = padding[0]
    if weight.shape[-2] > x.shape[-2]:
        x, rows = F.pad(x, (0, 0, rows, rows)), 0
    kernel, around = weight.shape[-1], padding[1]
    middle = (kernel - FAST_WIDTH) // 2
    strips = []
    if kernel > FAST_WIDTH and kernel % 2 and around - middle in (0, 1):  # a centre that oneDNN pads itself; no copy
        for column in range(kernel):
            if not middle <= column < middle + FAST_WIDTH:
                strips.append(_column(gradient, x, weight[..., column : column + 1], stride, rows, column - around))
            elif column == middle:
                centre = weight[..., middle : middle + FAST_WIDTH]
                strips.append(_gradients(gradient, x, centre, stride, (rows, around - middle), of_x=False))
        return torch.cat(strips, dim=-1)
    if around:
        x = F.pad(x, (around, around))
    reach = stride[1] * (gradient.shape[-1] - 1)
    for first in range(0, kernel, FAST_WIDTH):
        strip = weight[..., first : first + FAST_WIDTH]
        seen = x[..., first : first + reach + strip.shape[-1]]
        strips.append(_gradients(gradient, seen, strip, stride, (rows, 0), of_x=False))
    return torch.cat(strips, dim=-1)


def _column(gradient: torch.Tensor, x: torch.Tensor, column: torch.Tensor, stride: Pair, rows: int, offset: int) -> torch.Tensor:
    """The gradient of one column of the kernel, which sees the columns ``offset``, ``offset`` + stride ... of ``x``; those that
    lie beyond it are left out instead of padded."""
    step = stride[1]
    first = -(min(offset, 0) // step)
    last = min((x.shape[-1] - 1 - offset) // step, gradient.shape[-1] - 1)
    if last < first:
        return torch.zeros_like(column)
    seen = x[..., first * step + offset : last * step + offset + 1]
    return _gradients(gradient[..., first : last + 1], seen, column, stride, (rows, 0), of_x=False)


def _gradients(
    gradient: torch.Tensor, x: torch.Tensor, weight: torch.Tensor, stride: Pair, padding: Pair, *, of_x: bool
) -> torch.Tensor:
    mask = [of_x, not of_x, False]
    both = torch.ops.aten.convolution_backward(
        gradient, x, weight, None, stride, padding, (1, 1), False, (0, 0), len(weight), mask
    )
    result: torch.Tensor = both[0 if of_x else 1]
    return result


class FastConv2d(nn.Conv2d):
    """``nn.Conv2d`` with :func:`depthwise` where that is faster."""

    def _conv_forward(self, input: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        if not _slow(input, weight, self.padding[0]):
            return F.conv2d(input, weight, bias, self.stride, self.padding, 1, self.groups)
        return depthwise(input, weight, bias, self.stride, self.padding)  # type: ignore[arg-type]


class FastConv2dSame(nn.Conv2d):
    """timm's ``Conv2dSame`` (TensorFlow's padding: what a stride needs, the odd one at the end) with :func:`depthwise`."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """input: (n, c, h, w). Returns: (n, c, ceil(h / stride), ceil(w / stride))."""
        sides = []
        for length, kernel, stride in zip(input.shape[:1:-1], self.kernel_size[::-1], self.stride[::-1]):  # columns first
            missing = max((-(-length // stride) - 1) * stride + kernel - length, 0)
            sides += [missing // 2, missing - missing // 2]
        padded = F.pad(input, sides)
        if not _slow(padded, self.weight, 0):
            return F.conv2d(padded, self.weight, self.bias, self.stride, 0, 1, self.groups)
        return depthwise(padded, self.weight, self.bias, self.stride, (0, 0))  # type: ignore[arg-type]


_SUBCLASS: dict[str, type[nn.Conv2d]] = {"torch.Conv2d": FastConv2d, "timm.Conv2dSame": FastConv2dSame}


def _gains(layer: nn.Conv2d) -> bool:
    plain = layer.dilation == (1, 1) and layer.padding_mode == "zeros" and not isinstance(layer.padding, str)
    return plain and layer.groups == layer.in_channels == layer.out_channels and layer.kernel_size != (1, 1)


def _slow(x: torch.Tensor, weight: torch.Tensor, padding: int | str) -> bool:
    """Whether torch's own weight gradient would be asked for, and would be the slow one. padding: of the rows."""
    rows, columns = weight.shape[-2:]
    return (
        torch.is_grad_enabled()
        and weight.requires_grad
        and (columns > FAST_WIDTH or (padding != 0 and rows > x.shape[-2]))
        and x.ndim == 4
        and x.device.type == "cpu"
        and x.dtype == weight.dtype == torch.float32
        and not torch.is_autocast_enabled("cpu")
    )
