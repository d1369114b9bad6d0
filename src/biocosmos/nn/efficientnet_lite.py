"""EfficientNet-lite0 as a plain module, for inference: the default encoder without the seconds that importing timm takes.

Tan and Le, EfficientNet, 2019 (arXiv:1905.11946), in the lite form of the TensorFlow release: no squeeze-and-excitation, ReLU6,
padding as TensorFlow's SAME. The same function as timm's ``tf_efficientnet_lite0`` without its classifier, its tensors in the
same order (tested).
"""

from __future__ import annotations

from typing import cast

import torch
from torch import nn
from torch.nn import functional as F

FEATURES = 1280
_STEM = 32
_EPS = 1e-3
# repeats, kernel, stride of the first, expansion, channels: table 1 of the paper
_STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)


class EfficientNetLite0(nn.Module):
    """(n, 3, size, size) float32, normalised -> (n, 1280) features."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = _Layer(3, _STEM, 3, stride=2)
        blocks: list[nn.Module] = []
        width = _STEM
        for repeats, kernel, stride, expansion, channels in _STAGES:
            for number in range(repeats):
                blocks.append(_Block(width, channels, kernel, stride if number == 0 else 1, expansion))
                width = channels
        self.blocks = nn.Sequential(*blocks)
        self.head = _Layer(width, FEATURES, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x: (n, 3, size, size). Returns: (n, 1280)."""
        maps: torch.Tensor = self.head(self.blocks(self.stem(x)))
        return maps.mean(dim=(2, 3))


class _Block(nn.Module):
    """Expand (unless by one), filter each channel, and project back; added to its input where the shapes allow."""

    def __init__(self, width: int, channels: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = width * expansion
        layers = [_Layer(width, inner, 1)] if expansion > 1 else []
        layers += [_Layer(inner, inner, kernel, stride=stride, groups=inner), _Layer(inner, channels, 1, active=False)]
        self.layers = nn.Sequential(*layers)
        self.adds = stride == 1 and width == channels

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = cast(torch.Tensor, self.layers(x))
        return out + x if self.adds else out


class _Layer(nn.Module):
    """A convolution without bias, its batch norm, and ReLU6."""

    def __init__(self, width: int, channels: int, kernel: int, *, stride: int = 1, groups: int = 1, active: bool = True) -> None:
        super().__init__()
        same = kernel // 2 if stride == 1 else 0
        self.conv = nn.Conv2d(width, channels, kernel, stride, same, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(channels, eps=_EPS)
        self.active = active

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.conv.stride[0] > 1:
            x = F.pad(x, _same(x.shape[-1], self.conv) + _same(x.shape[-2], self.conv))
        x = self.norm(self.conv(x))
        return F.relu6(x) if self.active else x


def _same(side: int, conv: nn.Conv2d) -> tuple[int, int]:
    """Pixels before and after, so that ceil(side / stride) remain; the odd one goes behind."""
    kernel, stride = conv.kernel_size[0], conv.stride[0]
    needed = max((-(-side // stride) - 1) * stride + kernel - side, 0)
    return needed // 2, needed - needed // 2
