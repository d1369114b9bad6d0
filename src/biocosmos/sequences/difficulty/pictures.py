"""What an encoder is shown of an individual: its box alone, or the whole frame with all but the box out of focus."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from biocosmos.sequences.difficulty.coverage import Floats

Pixels = npt.NDArray[np.uint8]
BLUR_SIZE, BLUR_SIGMA = 201, 38.0
"""Of the public code of MOTCOM."""
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet, per channel, on values from 0 to 1."""


def blurred(pixels: Pixels, size: int = BLUR_SIZE, sigma: float = BLUR_SIGMA) -> Pixels:
    """A frame out of focus: a separable Gaussian of ``size`` x ``size`` pixels (odd), mirrored around the pixels at the edges.

    pixels: (height, width, 3) uint8; so is what is returned, rounded.
    """
    from scipy import fft

    reach = size // 2
    kernel = np.exp(-(np.arange(-reach, reach + 1) ** 2) / (2 * sigma**2))
    kernel = (kernel / kernel.sum()).astype(np.float32)
    found = pixels.astype(np.float32)
    for axis in (0, 1):
        around = [(reach, reach) if each == axis else (0, 0) for each in range(3)]
        shape = [-1 if each == axis else 1 for each in range(3)]
        wide = np.pad(found, around, mode="reflect")
        length = fft.next_fast_len(wide.shape[axis], real=True)
        waves = fft.rfft(wide, length, axis=axis) * fft.rfft(kernel, length).reshape(shape)
        found = np.take(fft.irfft(waves, length, axis=axis), np.arange(2 * reach, wide.shape[axis]), axis=axis)
    soft: Pixels = np.clip(np.rint(found), 0, 255).astype(np.uint8)
    return soft


def blurred_around(pixels: Pixels, box: Floats, size: int = BLUR_SIZE, sigma: float = BLUR_SIGMA) -> Iterator[Pixels]:
    """For each box the whole frame out of focus, the box in it sharp, as the public code of MOTCOM shows it.

    pixels: (height, width, 3) uint8. box: (n, 4) float64 x, y, width, height, 0-based, cut to whole pixels. Yields
    (height, width, 3) uint8, each a copy.
    """
    soft = blurred(pixels, size, sigma)
    for x, y, width, height in box.astype(np.int64):
        picture = soft.copy()
        inside = (slice(max(y, 0), y + height), slice(max(x, 0), x + width))
        picture[inside] = pixels[inside]
        yield picture


def crops(pixels: Pixels, box: Floats) -> Iterator[Pixels | None]:
    """Every pixel that a box touches, (h, w, 3) uint8; None for a box of which nothing is in the picture."""
    high, wide = pixels.shape[:2]
    for x, y, width, height in box:
        left, top = max(math.floor(x), 0), max(math.floor(y), 0)
        right, bottom = min(math.ceil(x + width), wide), min(math.ceil(y + height), high)
        yield np.ascontiguousarray(pixels[top:bottom, left:right]) if right > left and bottom > top else None


def normalised(pixels: Pixels) -> npt.NDArray[np.float32]:
    """(height, width, 3) uint8 as (3, height, width) float32, with the mean and deviation of ImageNet, as torchvision's networks
    take it."""
    values = pixels.astype(np.float32) / np.float32(255)
    found = (values - np.array(MEAN, np.float32)) / np.array(STD, np.float32)
    return np.ascontiguousarray(found.transpose(2, 0, 1))
