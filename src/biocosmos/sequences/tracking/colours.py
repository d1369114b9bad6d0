"""What crops look like without any encoder: the colours of their middle."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

LEVELS = 4
"""Of each of red, green and blue."""
MIDDLE = 0.7
"""Side of the ellipse that is looked at, over that of the box: corners show what the animal sits on."""
MOST_SIDE = 64
"""Pixels of a side that are looked at, evenly, of a larger crop."""


def colours(pixels: NDArray[np.uint8], boxes: NDArray[Any]) -> NDArray[np.float32]:
    """(m, 64) float32 vectors of length 1 whose cosine is the Bhattacharyya coefficient of two histograms of colours.

    pixels: (height, width, 3) uint8; boxes: (m, 4) x, y, width, height; a row of nan for a box outside the picture. Between two
    levels a pixel counts for both, by distance (Swain, Ballard: Color Indexing, 1991; it does not change as an animal turns).
    """
    out = np.full((len(boxes), LEVELS**3), np.nan, np.float32)
    for row, box in enumerate(np.asarray(boxes, np.float64)):
        crop = _middle(pixels, box)
        if len(crop):
            counts = _histogram(crop)
            out[row] = np.sqrt(counts / counts.sum())
    return out


def _middle(pixels: NDArray[np.uint8], box: NDArray[np.float64]) -> NDArray[np.float64]:
    """(k, 3) float64 from 0 to 1: pixels inside the ellipse."""
    x, y, width, height = box
    height_of, width_of = pixels.shape[:2]
    columns = np.linspace(-1, 1, int(np.clip(width * MIDDLE, 1, MOST_SIDE)))
    rows = np.linspace(-1, 1, int(np.clip(height * MIDDLE, 1, MOST_SIDE)))
    across = np.round(x + width / 2 + columns * width * MIDDLE / 2).astype(np.int64)
    down = np.round(y + height / 2 + rows * height * MIDDLE / 2).astype(np.int64)
    inside = (rows[:, None] ** 2 + columns[None] ** 2 <= 1) & ((down >= 0) & (down < height_of))[:, None]
    inside &= ((across >= 0) & (across < width_of))[None]
    chosen = pixels[np.clip(down, 0, height_of - 1)[:, None], np.clip(across, 0, width_of - 1)[None]]
    return np.asarray(chosen[inside], np.float64) / 255


def _histogram(crop: NDArray[np.float64]) -> NDArray[np.float64]:
    """(LEVELS ** 3,) weights."""
    place = np.clip(crop, 0, 1) * (LEVELS - 1)
    low = np.minimum(place.astype(np.int64), LEVELS - 2)
    share = place - low
    counts = np.zeros(LEVELS**3)
    for corner in range(8):
        step = np.array([corner >> 2 & 1, corner >> 1 & 1, corner & 1])
        weight = np.where(step, share, 1 - share).prod(axis=1)
        index = (low + step) @ np.array([LEVELS**2, LEVELS, 1])
        counts += np.bincount(index, weights=weight, minlength=LEVELS**3)
    return counts
